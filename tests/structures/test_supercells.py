"""Supercells: what must hold for every cell and length, and known cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.structures.prototypes import build_prototype
from sse_screen.structures.supercells import (
    perpendicular_widths,
    supercell_matrix,
    supercell_with_minimum_length,
)

NAMES = ["li3n", "licl", "li6ps5cl", "li3ycl6", "li7p3s11", "li3ybr6", "li"]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(NAMES), st.floats(3.0, 14.0))
def test_widths_composition_and_density(name: str, minimum_length_A: float) -> None:
    crystal = build_prototype(name)
    large = supercell_with_minimum_length(crystal, minimum_length_A)
    assert perpendicular_widths(large.lattice.matrix).min() >= minimum_length_A - 1e-5
    assert large.composition.reduced_formula == crystal.composition.reduced_formula
    assert len(large) % len(crystal) == 0
    assert large.density == pytest.approx(crystal.density, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.floats(2.5, 12)] * 3), st.tuples(*[st.floats(60, 120)] * 3), st.floats(4.0, 14.0))
def test_never_larger_than_multiples_of_the_given_vectors(
    lengths: tuple[float, ...], angles: tuple[float, ...], minimum_length_A: float
) -> None:
    try:
        lattice = Lattice.from_parameters(*lengths, *angles)
    except ValueError:
        return
    if not lattice.volume > 1.0:
        return
    matrix = supercell_matrix(lattice.matrix, minimum_length_A)
    simple = np.ceil((minimum_length_A - 1e-6) / perpendicular_widths(lattice.matrix)).prod()
    assert 1 <= round(abs(np.linalg.det(matrix))) <= simple
    assert perpendicular_widths(matrix @ lattice.matrix).min() >= minimum_length_A - 1e-5


@pytest.mark.parametrize(
    ("name", "minimum_length_A", "n_atoms", "widths"),
    [
        # The primitive cell of a face-centred cubic crystal gives the cubic cell or its multiples.
        ("licl", 5.1, 8, [5.12954] * 3),
        ("licl", 10.2, 64, [10.25908] * 3),
        ("li6ps5cl", 9.8, 52, [9.859] * 3),
        ("li", 7.0, 16, [7.0186] * 3),
        ("li3ocl", 11.0, 120, [11.05445, 11.05445, 11.725011]),
        ("lgps", 8.0, 50, [8.787646, 8.787646, 12.657546]),
    ],
)
def test_known_cells(name: str, minimum_length_A: float, n_atoms: int, widths: list[float]) -> None:
    large = supercell_with_minimum_length(build_prototype(name), minimum_length_A)
    assert len(large) == n_atoms
    assert np.allclose(sorted(perpendicular_widths(large.lattice.matrix)), widths, atol=1e-4)


def test_large_enough_cell_is_untouched() -> None:
    crystal = build_prototype("lgps")
    same = supercell_with_minimum_length(crystal, 8.5)
    assert same == crystal
    assert np.array_equal(supercell_matrix(crystal.lattice.matrix, 8.5), np.eye(3))


def test_partial_occupancies_survive() -> None:
    crystal = build_prototype("li6ps5cl-disordered")
    large = supercell_with_minimum_length(crystal, 15.0)
    assert len(large) == 8 * 52
    assert large.composition.formula == "Li192 P32 S160 Cl32"


def test_widths_of_a_sheared_cell() -> None:
    """A shear by 45 degrees keeps the width along y and divides the one along x by the square root of 2."""
    widths = perpendicular_widths(np.array([[4.0, 0, 0], [4.0, 4.0, 0], [0, 0, 5.0]]))
    assert np.allclose(widths, [4 / np.sqrt(2), 4.0, 5.0])


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_length_is_refused(length: float) -> None:
    with pytest.raises(InputError, match="positive length"):
        supercell_with_minimum_length(build_prototype("li"), length)


def test_too_many_atoms_are_refused() -> None:
    with pytest.raises(InputError, match=r"LiCl with widths of at least 30 Å has 1728 atoms, more than 1000"):
        supercell_with_minimum_length(build_prototype("licl"), 30, maximum_atoms=1000)


def test_orientation_is_positive() -> None:
    left = Structure(Lattice([[0, 0, 4.0], [0, 4.0, 0], [4.0, 0, 0]]), ["Li"], [[0, 0, 0]])
    matrix = supercell_matrix(left.lattice.matrix, 7.0)
    assert np.linalg.det(matrix) > 0
