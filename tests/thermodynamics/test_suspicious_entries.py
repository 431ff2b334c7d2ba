"""The detector of energies too low to be true."""

import time

import numpy as np
import pytest

from sse_screen.thermodynamics.composition_space import elemental_space
from sse_screen.thermodynamics.suspicious_entries import JumpThresholds, suspicious_entries

FORMULAS = ["Li", "P", "S", "Li2S", "P2S5", "Li3PS4", "Li3PS4", "Li7PS6"]
# PBE-like energies, eV/atom.
ENERGIES = np.array([-1.90, -5.40, -4.13, -4.00, -4.55, -4.60, -4.58, -4.42])


def test_ordinary_system_has_none():
    assert suspicious_entries(elemental_space(FORMULAS), ENERGIES) == {}


def test_strongly_bound_salt_of_elements_alone_is_kept():
    # LiF forms with 3.1 eV per atom: it competes only with its elements, and that is no reason to doubt.
    assert suspicious_entries(elemental_space(["Li", "F", "LiF"]), np.array([-1.9, -1.86, -4.95])) == {}


@pytest.mark.parametrize(("index", "energy", "what"), [(6, -5.3, "its composition"), (7, -6.0, "competing")])
def test_collapsed_cell_is_flagged(index, energy, what):
    energies = ENERGIES.copy()
    energies[index] = energy
    found = suspicious_entries(elemental_space(FORMULAS), energies)
    assert list(found) == [index]
    assert what in found[index]


def test_one_wrong_entry_does_not_hide_another():
    energies = ENERGIES.copy()
    energies[[5, 7]] = -30.0, -12.0
    assert sorted(suspicious_entries(elemental_space(FORMULAS), energies)) == [5, 7]


def test_impossible_formation_energy_from_the_elements():
    found = suspicious_entries(elemental_space(["Li", "F", "LiF"]), np.array([-1.9, -1.86, -9.0]))
    assert "its elements" in found[2]


def test_limits_can_be_set():
    strict = JumpThresholds(below_same_composition_eV_per_atom=0.01)
    assert list(suspicious_entries(elemental_space(FORMULAS), ENERGIES, strict)) == [5]


def test_thousands_of_corners_are_searched_in_seconds():
    rng = np.random.default_rng(0)
    amounts = np.vstack([np.eye(4, dtype=int), rng.integers(1, 13, (6000, 4))])
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    energies = -(1.0 - (fractions**2).sum(axis=1)) + rng.exponential(0.01, len(fractions))
    energies[:4] = 0.0
    energies[2000] = -4.0
    formulas = [f"Li{a}P{b}S{c}O{d}" for a, b, c, d in amounts[4:]]
    space = elemental_space(["Li", "P", "S", "O", *formulas])
    start = time.perf_counter()
    assert list(suspicious_entries(space, energies)) == [2000]
    assert time.perf_counter() - start < 10.0
