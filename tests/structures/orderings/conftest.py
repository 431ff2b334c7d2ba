"""Crystals that the tests of orderings share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pymatgen.core import Structure


@pytest.fixture(scope="session")
def cubic_llzo() -> Structure:
    """Cubic Li7La3Zr2O12, 24d and 96h partly occupied (methods.md section 2)."""
    from pymatgen.core import Lattice, Structure

    return Structure.from_spacegroup(
        "Ia-3d",
        Lattice.cubic(12.968),
        [{"Li": 13 / 24}, {"Li": 43 / 96}, "La", "Zr", "O"],
        [(3 / 8, 0, 1 / 4), (0.0968, 0.6858, 0.5773), (1 / 8, 0, 1 / 4), (0, 0, 0), (0.282, 0.1008, 0.1949)],
    )


@pytest.fixture(scope="session")
def argyrodite() -> Structure:
    """Li6PS5Cl with S and Cl mixed on 4a and 4d; lithium on one 24-fold site."""
    from pymatgen.core import Lattice, Structure

    mixed = {"S": 0.5, "Cl": 0.5}
    return Structure.from_spacegroup(
        "F-43m",
        Lattice.cubic(9.85),
        [mixed, mixed, "P", "S", "Li"],
        [(0, 0, 0), (0.25, 0.25, 0.75), (0.5, 0.5, 0.5), (0.6182, 0.6182, 0.6182), (0.25, 0.0, 0.75)],
    )
