"""Supercells: wide enough, no larger than needed, same crystal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.structures.supercells import perpendicular_widths, supercell_with_minimum_length

lengths = st.floats(3, 9)
angles = st.floats(65, 115)


@given(lengths, lengths, lengths, angles, angles, angles, st.floats(2, 20))
def test_wide_enough_and_no_larger_than_needed(a, b, c, alpha, beta, gamma, minimum):
    cell = Structure(
        Lattice.from_parameters(a, b, c, alpha, beta, gamma), ["Li", "Cl"], [[0, 0, 0], [0.5] * 3]
    )
    widths = perpendicular_widths(cell.lattice.matrix)
    wide = supercell_with_minimum_length(cell, minimum)
    after = perpendicular_widths(wide.lattice.matrix)
    assert (after >= minimum - 1e-4).all()
    assert (after - widths < minimum + 1e-4).all()
    assert wide.density == pytest.approx(cell.density)
    assert wide.composition.reduced_formula == "LiCl"
    assert len(cell) == 2


def test_widths_of_a_hexagonal_cell():
    assert perpendicular_widths(Lattice.hexagonal(4, 6).matrix) == pytest.approx(
        [4 * np.sqrt(3) / 2] * 2 + [6]
    )


def test_a_length_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="minimum_length_A -1"):
        supercell_with_minimum_length(Structure(Lattice.cubic(3), ["Li"], [[0, 0, 0]]), -1)
