"""Merging by pair distances and ranking by electrostatics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings import (
    EwaldEnergy,
    OrderingSpace,
    lowest_ewald,
    merge_by_fingerprint,
    with_ewald_energies,
)
from sse_screen.structures.orderings.fingerprints import PairFingerprint, distance_shells

if TYPE_CHECKING:
    from pymatgen.core import Structure


@pytest.mark.parametrize(
    ("numbers", "merged", "labelled"), [((12, 44), 4_160, 426_024), ((11, 45), 65_958, 6_344_640)]
)
def test_published_numbers_of_distinct_pair_distances(
    cubic_llzo: Structure, numbers: tuple[int, int], merged: int, labelled: int
) -> None:
    space = OrderingSpace(cubic_llzo, dict(zip(("24d", "96h"), numbers, strict=True)), 2.0)
    count = total = 0
    for ordering in merge_by_fingerprint(space):
        count += 1
        total += ordering.degeneracy
    assert (count, total) == (merged, labelled)


def test_a_fingerprint_is_the_multiset_of_distances(cubic_llzo: Structure) -> None:
    """The hash splits 300 orderings exactly as sorted distances do."""
    space = OrderingSpace(cubic_llzo, {"24d": 12, "96h": 44}, 2.0)
    sets = next(space.enumerate_sets())[0][:300]
    positions = cubic_llzo.frac_coords[space.vertex_sites]
    shells = distance_shells(cubic_llzo.lattice.get_all_distances(positions, positions))
    upper = np.triu_indices(56, 1)
    exact = [tuple(np.sort(shells[np.ix_(row, row)][upper])) for row in sets]
    hashes = [tuple(row) for row in PairFingerprint(space)(sets)]
    assert len(set(exact)) < 300
    assert len(set(exact)) == len(set(hashes)) == len(set(zip(exact, hashes, strict=True)))


def test_fingerprints_do_not_change_under_symmetry(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite, {"4a+4d": {"S": 4, "Cl": 4}})
    fingerprint = PairFingerprint(space)
    (sets, _), *_ = space.enumerate_sets()
    for row in sets:
        images = row[np.argsort(space.problem.permutations, axis=1)]
        assert len(np.unique(fingerprint(images), axis=0)) == 1


def test_shells_separate_at_the_width() -> None:
    assert distance_shells(np.array([2.0, 1.0, 1.003, 2.1])).tolist() == [1, 0, 0, 2]


def test_ewald_energies_are_pymatgens(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite, {"4a+4d": {"S": 4, "Cl": 4}})
    ranked = lowest_ewald(space.enumerate(), EwaldEnergy.of_space(space), 3)
    energies = [ordering.ewald_energy_eV for ordering in ranked]
    every = sorted(
        o.ewald_energy_eV for o in with_ewald_energies(space.enumerate(), EwaldEnergy.of_space(space))
    )
    assert energies == pytest.approx(every[:3], abs=1e-9)
    for ordering in ranked:
        decorated = ordering.structure
        decorated.add_oxidation_state_by_element({"Li": 1, "P": 5, "S": -2, "Cl": -1})
        assert ordering.ewald_energy_eV == pytest.approx(EwaldSummation(decorated).total_energy, abs=1e-5)


def test_equivalent_orderings_have_one_ewald_energy(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite, {"4a+4d": {"S": 4, "Cl": 4}})
    energy = EwaldEnergy.of_space(space)
    (sets, degeneracies), *_ = space.enumerate_sets()
    for row, degeneracy in zip(sets, degeneracies, strict=True):
        images = np.unique(row[np.argsort(space.problem.permutations, axis=1)], axis=0)
        assert len(images) == degeneracy
        energies = [
            energy(o.sites) for o in space.orderings(images, np.ones(len(images)), [1.0] * len(images))
        ]
        assert np.ptp(energies) < 1e-6


def test_charged_cells_and_empty_rankings_are_refused(argyrodite: Structure) -> None:
    space = OrderingSpace(argyrodite, check_charge=False)
    with pytest.raises(InputError, match="neutral"):
        EwaldEnergy.of_space(space)
    neutral = OrderingSpace(argyrodite)
    with pytest.raises(InputError, match="at least one"):
        lowest_ewald(neutral.enumerate(), EwaldEnergy.of_space(neutral), 0)
