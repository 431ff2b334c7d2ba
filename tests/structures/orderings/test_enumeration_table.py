"""Every row of the table of cubic LLZO (methods.md section 2): count, enumeration, degeneracies."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sse_screen.structures.orderings import OrderingSpace
from sse_screen.structures.orderings.counting import count
from sse_screen.structures.orderings.enumeration import Enumerator
from sse_screen.structures.orderings.problem import OrderingProblem

if TYPE_CHECKING:
    from pymatgen.core import Structure

TABLE = {
    (8, 48): (80_019_456, 835_190),
    (9, 47): (86_900_736, 905_216),
    (10, 46): (35_417_088, 369_436),
    (11, 45): (6_344_640, 66_090),
    (12, 44): (426_024, 4_493),
    (13, 43): (1_056, 11),
}


def orbit_totals(problem: OrderingProblem) -> tuple[int, int]:
    labelled = unique = 0
    for sets, degeneracies in Enumerator(problem).orbits():
        unique += len(sets)
        labelled += int(degeneracies.sum())
    return labelled, unique


@pytest.mark.parametrize("numbers", TABLE)
def test_burnside_and_enumeration_agree_with_the_table(
    cubic_llzo: Structure, numbers: tuple[int, int]
) -> None:
    space = OrderingSpace(cubic_llzo, dict(zip(("24d", "96h"), numbers, strict=True)), 2.0)
    found = space.count()
    assert (found.labelled, found.unique) == TABLE[numbers]
    assert found.group_order == 96
    assert orbit_totals(space.problem) == TABLE[numbers]


def test_multiplicities_of_12_44(cubic_llzo: Structure) -> None:
    space = OrderingSpace(cubic_llzo, {"24d": 12, "96h": 44}, 2.0)
    degeneracies = [ordering.degeneracy for ordering in space.enumerate()]
    assert Counter(degeneracies) == {96: 4395, 48: 73, 24: 25}


@pytest.mark.parametrize(("ions", "labelled", "unique"), [(6, 134_596, 1_510), (12, 2_704_156, 28_676)])
def test_unconstrained_24d(cubic_llzo: Structure, ions: int, labelled: int, unique: int) -> None:
    space = OrderingSpace(cubic_llzo, {"24d": ions, "96h": 0}, check_charge=False)
    found = space.count()
    assert (found.labelled, found.unique) == (labelled, unique)
    assert orbit_totals(space.problem) == (labelled, unique)


@pytest.mark.parametrize("radius", [1.64, 2.0, 2.35])
def test_radii_between_two_shells_are_one_constraint(cubic_llzo: Structure, radius: float) -> None:
    found = OrderingSpace(cubic_llzo, {"24d": 13, "96h": 43}, radius).count()
    assert (found.labelled, found.unique) == TABLE[13, 43]


def test_no_two_ions_of_an_ordering_are_closer_than_the_radius(cubic_llzo: Structure) -> None:
    space = OrderingSpace(cubic_llzo, {"24d": 13, "96h": 43}, 2.0)
    orderings = list(space.enumerate())
    assert len(orderings) == 11
    for ordering in orderings:
        structure = ordering.structure
        assert structure.composition.reduced_formula == "Li7La3Zr2O12"
        lithium = structure.frac_coords[[site.specie.symbol == "Li" for site in structure]]
        distances = structure.lattice.get_all_distances(lithium, lithium)
        assert distances[np.triu_indices(len(lithium), 1)].min() > 2.3


def test_lattice_gas_on_the_exact_12_44_list(cubic_llzo: Structure) -> None:
    """Occupied 2.46 Å pairs over all labelled orderings: {40: 316368, 41: 97344, 42: 12000, 44: 312}."""
    space = OrderingSpace(cubic_llzo, {"24d": 12, "96h": 44}, 2.0)
    positions = cubic_llzo.frac_coords[space.vertex_sites]
    distances = cubic_llzo.lattice.get_all_distances(positions, positions)
    bonds = ((distances > 2.40) & (distances < 2.50)).astype(float)
    totals: Counter[int] = Counter()
    for sets, degeneracies in space.enumerate_sets():
        pairs = np.einsum("mi,ij,mj->m", sets, bonds, sets, optimize=True) / 2
        for number, degeneracy in zip(pairs.round().astype(int), degeneracies, strict=True):
            totals[int(number)] += int(degeneracy)
    assert totals == {40: 316_368, 41: 97_344, 42: 12_000, 44: 312}


def test_a_centred_cell_has_its_translations_in_the_group(cubic_llzo: Structure) -> None:
    primitive = cubic_llzo.get_primitive_structure()
    assert len(primitive) == len(cubic_llzo) // 2
    whole = count(OrderingSpace(cubic_llzo, {"24d": 6, "96h": 0}, check_charge=False).problem)
    half = count(OrderingSpace(primitive, {"24d": 3, "96h": 0}, check_charge=False).problem)
    assert (whole.group_order, half.group_order) == (96, 48)
    assert half.labelled == 220


def test_a_pool_of_both_sublattices_holds_all_six_ratios(cubic_llzo: Structure) -> None:
    """56 ions anywhere on 24d and 96h: exactly the six rows, 2.18 million orderings, in bounded memory."""
    space = OrderingSpace(cubic_llzo, {"24d+96h": 56}, 2.0)
    found = space.count()
    assert found.labelled == sum(labelled for labelled, _ in TABLE.values()) == 209_109_000
    assert found.unique == sum(unique for _, unique in TABLE.values()) == 2_180_436
    totals: Counter[str] = Counter()
    for sets, degeneracies in space.enumerate_sets():
        totals["unique"] += len(sets)
        totals["labelled"] += int(degeneracies.sum())
    assert totals == {"unique": 2_180_436, "labelled": 209_109_000}
