"""Unconstrained orderings against bsym, an independent program (in the `test` extra)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sse_screen.structures.orderings import OrderingSpace

if TYPE_CHECKING:
    from pymatgen.core import Structure

bsym = pytest.importorskip("bsym", reason="bsym is not installed: pip install 'sse-screen[test]' brings it")


def bsym_degeneracies(structure: Structure, distribution: dict[str, int]) -> Counter[int]:
    """Unique substitutions of the site marked Xe, counted by their degeneracies."""
    from bsym.interface.pymatgen import unique_structure_substitutions

    unique = unique_structure_substitutions(structure, "Xe", distribution, atol=1e-3)
    return Counter(found.number_of_equivalent_configurations for found in unique)


def marked(structure: Structure, sites: tuple[int, ...]) -> Structure:
    """The same crystal with every disordered site of one sublattice as Xe, the others left out."""
    from pymatgen.core import Structure

    keep = [i for i, site in enumerate(structure) if site.is_ordered or i in sites]
    species = ["Xe" if i in sites else structure[i].specie for i in keep]
    return Structure(structure.lattice, species, structure.frac_coords[keep])


@pytest.mark.parametrize("n_sulfur", [1, 2, 3])
def test_anions_of_argyrodite(argyrodite: Structure, n_sulfur: int) -> None:
    doubled = argyrodite * (2, 1, 1)
    numbers = {"4a": {"S": n_sulfur, "Cl": 8 - n_sulfur}, "4d": {"S": 8 - n_sulfur, "Cl": n_sulfur}}
    space = OrderingSpace(doubled, {"4a": numbers["4a"], "4d": {"S": 8}}, check_charge=False)
    own = Counter(ordering.degeneracy for ordering in space.enumerate())
    pool = next(pool for pool in space.pools if pool.label == "4a")
    other = next(pool for pool in space.pools if pool.label == "4d")
    crystal = doubled.copy()
    for index in other.sites:
        crystal.replace(index, "Br")
    expected = bsym_degeneracies(marked(crystal, pool.sites), {"S": n_sulfur, "Cl": 8 - n_sulfur})
    assert own == expected


@pytest.mark.parametrize(("ions", "unique"), [(2, None), (3, None)])
def test_tetrahedral_lithium_of_llzo(cubic_llzo: Structure, ions: int, unique: int | None) -> None:
    """24d of the conventional garnet cell, 96 operations."""
    space = OrderingSpace(cubic_llzo, {"24d": ions, "96h": 0}, check_charge=False)
    own = Counter(ordering.degeneracy for ordering in space.enumerate())
    sites = next(pool.sites for pool in space.pools if pool.label == "24d")
    expected = bsym_degeneracies(marked(cubic_llzo, sites), {"Li": ions, "He": 24 - ions})
    assert own == expected
    assert np.sum([size * number for size, number in own.items()]) == space.count().labelled
