"""Orderings of crystals: mixed sites, weights, ids, and everything that is refused."""

from __future__ import annotations

from collections import Counter
from math import comb
from typing import Any

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError, SseScreenError
from sse_screen.structures.orderings import (
    OrderingCount,
    OrderingSpace,
    TooManyOrderingsError,
    count_orderings,
    enumerate_orderings,
    parse_occupancy,
    sample_orderings,
)
from sse_screen.structures.orderings.site_mapping import identify


def test_anion_exchange_in_argyrodite(argyrodite: Structure) -> None:
    found = count_orderings(argyrodite)
    assert (found.labelled, found.unique) == (36, 2)
    orderings = list(enumerate_orderings(argyrodite))
    assert Counter(ordering.degeneracy for ordering in orderings) == {12: 1, 24: 1}
    for ordering in orderings:
        assert ordering.structure.is_ordered
        assert ordering.structure.composition.reduced_formula == "Li6PS5Cl"
        assert ordering.weight == ordering.degeneracy


def test_pooled_sublattices_share_one_total(argyrodite: Structure) -> None:
    classes = [{"4a": {"S": n, "Cl": 4 - n}, "4d": {"S": 4 - n, "Cl": n}} for n in range(5)]
    parts = [count_orderings(argyrodite, occupancy) for occupancy in classes]
    pooled = count_orderings(argyrodite, {"4a+4d": {"S": 4, "Cl": 4}})
    assert pooled.labelled == sum(part.labelled for part in parts) == comb(8, 4)
    assert pooled.unique == sum(part.unique for part in parts)


def test_orderings_are_distinct_crystals(argyrodite: Structure) -> None:
    """The unique orderings match no other; pymatgen's matcher is the independent judge."""
    orderings = list(enumerate_orderings(argyrodite, {"4a+4d": {"S": 4, "Cl": 4}}))
    matcher = StructureMatcher(primitive_cell=False, scale=False, ltol=0.01, stol=0.01, angle_tol=0.5)
    structures = [ordering.structure for ordering in orderings]
    groups = matcher.group_structures(structures)
    # the two full exchanges 4a = S and 4a = Cl differ only by the phosphorus and lithium around them
    assert len(groups) == len(structures) == 6


def test_three_species_and_vacancies_on_one_sublattice(cubic_llzo: Structure) -> None:
    """Li, Na and vacancies on a ring-free sublattice: the multinomial coefficient."""
    mixed = cubic_llzo.copy()
    mixed.replace_species({"Li": "Li"})
    for index, site in enumerate(cubic_llzo):
        if not site.is_ordered and abs(site.species.num_atoms - 13 / 24) < 1e-6:
            mixed.replace(index, {"Li": 0.25, "Na": 0.125})
    found = count_orderings(mixed, {"24d": {"Li": 6, "Na": 3}, "96h": 0}, check_charge=False)
    assert found.labelled == comb(24, 6) * comb(18, 3)
    orderings = enumerate_orderings(mixed, {"24d": {"Li": 2, "Na": 1}, "96h": 0}, check_charge=False)
    listed = list(orderings)
    assert sum(ordering.degeneracy for ordering in listed) == comb(24, 2) * 22
    assert all(len(ordering.sites["Li"]) == 2 and len(ordering.sites["Na"]) == 1 for ordering in listed)


def test_samples_have_ids_and_degeneracies_of_the_enumeration(cubic_llzo: Structure) -> None:
    occupancy = {"24d": 12, "96h": 44}
    space = OrderingSpace(cubic_llzo, occupancy, 2.0)
    listed = {ordering.id: ordering.degeneracy for ordering in space.enumerate()}
    assert len(listed) == 4493
    drawn = list(sample_orderings(cubic_llzo, occupancy, 2.0, n_samples=300, seed=5))
    assert all(listed[ordering.id] == ordering.degeneracy for ordering in drawn)
    assert sum(ordering.weight for ordering in drawn) == pytest.approx(426_024, rel=1e-12)


def test_weights_give_an_unbiased_partition_function(argyrodite: Structure) -> None:
    """Mean of many small samples against the exact sum, within four standard errors."""
    occupancy = {"4a+4d": {"S": 4, "Cl": 4}}
    exact = list(enumerate_orderings(argyrodite, occupancy))
    factor = {ordering.id: float(np.exp(-number)) for number, ordering in enumerate(exact)}
    z_exact = sum(ordering.weight * factor[ordering.id] for ordering in exact)
    space = OrderingSpace(argyrodite, occupancy)
    rng = np.random.default_rng(11)
    estimates = [
        sum(ordering.weight * factor[ordering.id] for ordering in space.sample(4, rng)) for _ in range(400)
    ]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - z_exact) < 4 * error


def test_a_seed_samples_beyond_the_limit(cubic_llzo: Structure) -> None:
    drawn = list(enumerate_orderings(cubic_llzo, {"24d": 9, "96h": 47}, 2.0, limit=50, seed=3))
    again = list(enumerate_orderings(cubic_llzo, {"24d": 9, "96h": 47}, 2.0, limit=50, seed=3))
    assert [ordering.id for ordering in drawn] == [ordering.id for ordering in again]
    assert sum(ordering.weight for ordering in drawn) == pytest.approx(86_900_736, rel=1e-12)
    with pytest.raises(TooManyOrderingsError, match=r"905,216 unique orderings .* sample"):
        enumerate_orderings(cubic_llzo, {"24d": 9, "96h": 47}, 2.0, limit=50)


def test_mean_occupancies_are_the_default(cubic_llzo: Structure) -> None:
    assert count_orderings(cubic_llzo, exclusion_radius_A=2.0).unique == 11


@pytest.mark.parametrize(
    ("occupancy", "radius", "message"),
    [
        ({"24d": 12, "96h": 43}, 2.0, "not neutral"),
        ({"24d": 12, "96h": 44}, 2.5, "no ordering has .* radius of 2.5 Å.*2.46"),
        ({"24d": 12, "96h": 44}, 5.0, "no ordering has .* radius of 5.0 Å.*4.89"),
        ({"24c": 12}, 2.0, "no disordered sublattice is called '24c'.*24d .*96h"),
        ({"24d": 25, "96h": 31}, 2.0, "25 ions do not fit on 24 sites"),
        ({"24d": {"Na": 12}, "96h": 44}, 2.0, "species 'Na' is not one of Li"),
        ({"24d": {"Li": -1}, "96h": 57}, 2.0, "-1 Li is negative"),
        ({"24d": 12, "24d+96h": 44}, 2.0, "24d is given twice"),
        (None, -1.0, "exclusion radius -1.0"),
        (None, float("nan"), "exclusion radius nan"),
    ],
)
def test_bad_input_is_refused(cubic_llzo: Structure, occupancy: Any, radius: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        count_orderings(cubic_llzo, occupancy, radius)


def test_a_mean_occupancy_that_is_no_number_of_ions_is_refused(cubic_llzo: Structure) -> None:
    odd = cubic_llzo.copy()
    for index, site in enumerate(cubic_llzo):
        if not site.is_ordered:
            odd.replace(index, {"Li": 0.47})
    with pytest.raises(InputError, match=r"24d: its mean occupancy is Li 11.280 .*24d=Li11"):
        count_orderings(odd)


def test_a_full_sublattice_cannot_lose_ions(argyrodite: Structure) -> None:
    with pytest.raises(InputError, match="must add up"):
        count_orderings(argyrodite, {"4a": {"S": 1, "Cl": 1}})
    with pytest.raises(InputError, match="say how many of each, such as 4a=S1Cl1"):
        count_orderings(argyrodite, {"4a": 4})


def test_an_ordered_crystal_is_refused(argyrodite: Structure) -> None:
    ordered = next(enumerate_orderings(argyrodite)).structure
    with pytest.raises(InputError, match="nothing to order"):
        count_orderings(ordered)


def test_oxidation_states_of_the_structure_are_used(argyrodite: Structure) -> None:
    charged = argyrodite.copy()
    charged.add_oxidation_state_by_element({"Li": 1, "P": 5, "S": -2, "Cl": -1})
    assert count_orderings(charged).unique == 2
    wrong = argyrodite.copy()
    wrong.add_oxidation_state_by_element({"Li": 1, "P": 3, "S": -2, "Cl": -1})
    with pytest.raises(InputError, match="charge of -8"):
        count_orderings(wrong)


def test_nothing_to_choose_gives_one_ordering(argyrodite: Structure) -> None:
    occupancy = {"4a": {"Cl": 4}, "4d": {"S": 4}}
    found = count_orderings(argyrodite, occupancy)
    assert (found.labelled, found.unique) == (1, 1)
    (only,) = enumerate_orderings(argyrodite, occupancy)
    (drawn,) = sample_orderings(argyrodite, occupancy, n_samples=3, seed=0)
    assert only.id == drawn.id
    assert (only.degeneracy, drawn.weight) == (1, 1.0)


@pytest.mark.parametrize("text", ["24d", "=3", "24d=", "24d=x", "24d=12;96h=44", "4a=S-1", "24d=1,24d=2"])
def test_an_occupancy_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--occupancy"):
        parse_occupancy(text)


def test_samples_of_a_pool_have_the_ids_of_its_enumeration(argyrodite: Structure) -> None:
    occupancy = {"4a+4d": {"S": 3, "Cl": 5}}
    listed = {
        o.id: o.degeneracy for o in OrderingSpace(argyrodite, occupancy, check_charge=False).enumerate()
    }
    drawn = sample_orderings(argyrodite, occupancy, n_samples=300, seed=2, check_charge=False)
    assert {o.id: o.degeneracy for o in drawn} == listed
    assert sum(listed.values()) == comb(8, 3)


def test_an_enumeration_that_misses_its_count_is_told(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite)
    wrong = OrderingCount(labelled=37, unique=3, group_order=96)
    with pytest.raises(SseScreenError, match="Burnside's count is 3"):
        list(space.enumerate(wrong))
    assert len(list(space.enumerate(space.count()))) == 2


def test_many_sublattices_of_one_site_are_one_problem():
    """Without symmetry every site is a sublattice: 3,432 ways to share seven ions out over fourteen."""
    rng = np.random.default_rng(0)
    grid = np.array([[i / 7, j / 2, 0.1] for i in range(7) for j in range(2)])
    places = grid + rng.uniform(-0.02, 0.02, (14, 3))
    lattice = Lattice.from_parameters(14.1, 8.3, 7.7, 81, 95, 103)
    species = [{"Br": 0.5, "Cl": 0.5}] * 14 + ["Li"] * 14
    crystal = Structure(lattice, species, np.vstack([places, places + 0.2]))
    names = "+".join(f"1a.{number + 1}" for number in range(14))
    space = OrderingSpace(crystal, {names: {"Br": 7, "Cl": 7}})
    found = list(space.enumerate(space.count()))
    assert len(found) == len({ordering.id for ordering in found}) == 3432
    assert {ordering.degeneracy for ordering in found} == {1}
    assert identify(space, found[99].sites) == (found[99].id, 1)
