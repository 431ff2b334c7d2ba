"""Orderings of repeated cells."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import pytest

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings import OrderingSpace, ordered_structure, repeat_sites, repeat_space

if TYPE_CHECKING:
    from pymatgen.core import Structure


def test_a_repeated_ordering_is_the_repeated_crystal(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite, {"4a": {"S": 1, "Cl": 3}, "4d": {"S": 3, "Cl": 1}})
    ordering = next(space.enumerate())
    repetitions = (2, 1, 3)
    big = repeat_space(space, repetitions)
    assert big.count_labelled() == comb(24, 6) * comb(24, 18)
    found = ordered_structure(big.structure, repeat_sites(ordering.sites, repetitions))
    expected = ordering.structure * repetitions
    assert found.composition == expected.composition
    for site in found:
        near = expected.get_sites_in_sphere(site.coords, 0.01)
        assert [other.specie for other in near] == [site.specie]


def test_repetitions_below_one_are_refused(argyrodite: Structure) -> None:
    with pytest.raises(InputError, match="at least 1"):
        repeat_space(OrderingSpace(argyrodite), (2, 0, 1))
