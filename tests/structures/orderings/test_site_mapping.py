"""Relaxed orderings put back on sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings import (
    OrderingSpace,
    identify,
    map_to_sites,
    merge_relaxed,
    ordered_structure,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure


@pytest.fixture(scope="module")
def garnet(cubic_llzo: Structure) -> OrderingSpace:
    return OrderingSpace(cubic_llzo, {"24d": 13, "96h": 43}, 2.0)


def test_noise_drift_and_strain_change_nothing(garnet: OrderingSpace) -> None:
    rng = np.random.default_rng(1)
    for ordering in garnet.enumerate():
        relaxed = ordering.structure
        relaxed.perturb(0.1, seed=int(rng.integers(1000)))
        relaxed.translate_sites(range(len(relaxed)), [0.3, -0.02, 0.9])
        relaxed.apply_strain(0.01)
        mapping = map_to_sites(garnet, ordering, relaxed)
        assert mapping.id == ordering.id
        assert mapping.degeneracy == ordering.degeneracy
        assert mapping.sites == ordering.sites
        assert mapping.moves == ()
        assert not mapping.contested
        assert mapping.largest_distance_A < 0.2


def test_a_jump_within_a_pair_is_found(garnet: OrderingSpace, cubic_llzo: Structure) -> None:
    """An ion carried over to its split partner 0.77 Å away is another ordering, or none of the space."""
    ordering = next(garnet.enumerate())
    old = next(site for site in ordering.sites["Li"] if cubic_llzo[site].species["Li"] < 0.5)
    distances = cubic_llzo.distance_matrix[old].copy()
    distances[old] = 9
    new = int(np.argmin(distances))
    assert distances[new] == pytest.approx(0.77, abs=0.01)
    sites = {"Li": tuple(sorted({*ordering.sites["Li"]} - {old} | {new}))}
    relaxed = ordering.structure
    number = relaxed.site_properties["parent_site"].index(old)
    relaxed.translate_sites([number], cubic_llzo[new].frac_coords - cubic_llzo[old].frac_coords)
    mapping = map_to_sites(garnet, ordering, relaxed)
    assert mapping.moves == (("Li", old, new),)
    assert mapping.sites == sites
    assert (mapping.id, mapping.degeneracy) == identify(garnet, sites)
    assert mapping.id != ordering.id


def test_equivalent_sites_have_one_id(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite, {"4a+4d": {"S": 4, "Cl": 4}})
    for ordering in space.enumerate():
        row = np.isin(space.vertex_sites, ordering.sites[str(space.vertex_species[0])])
        for permutation in space.problem.permutations[::7]:
            image = np.zeros_like(row)
            image[permutation[row]] = True
            (other,) = space.orderings(image[None, :], np.ones(1), [1.0])
            assert identify(space, other.sites) == (ordering.id, ordering.degeneracy)


def test_orderings_outside_the_space_have_no_id(argyrodite: Structure, garnet: OrderingSpace) -> None:
    space = OrderingSpace(argyrodite, {"4a": {"S": 1, "Cl": 3}, "4d": {"S": 3, "Cl": 1}})
    four_a, four_d = (pool.sites for pool in space.pools)
    assert identify(space, {"Cl": four_a, "S": four_d}) == (None, None)
    lithium = next(garnet.enumerate()).sites["Li"]
    assert identify(garnet, {"Li": lithium[:-1]}) == (None, None)


def test_the_lowest_of_every_basin_is_kept() -> None:
    found = merge_relaxed(["a", "b", "a", None], [-1.0, -2.0, -1.5, -9.0])
    assert found == {"a": 2, "b": 1}


def test_other_atoms_are_refused(garnet: OrderingSpace) -> None:
    first, second = list(garnet.enumerate())[:2]
    shorter = ordered_structure(garnet.structure, {"Li": first.sites["Li"][:-1]})
    with pytest.raises(InputError, match="other atoms"):
        map_to_sites(garnet, first, shorter)
    assert map_to_sites(garnet, first, first.structure).id != second.id
