"""Gumbel top-k against successive draws, ground states always in, the basis decides."""

import numpy as np
import pytest

from sse_screen.thermodynamics.boltzmann_selection import boltzmann_selection, gumbel_top_k
from sse_screen.thermodynamics.composition_space import elemental_space, end_member_space, place_on_hull
from sse_screen.thermodynamics.hull import HullError


def test_gumbel_top_k_is_successive_sampling_without_replacement():
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(0)
    draws = np.array([gumbel_top_k(np.log(weights) - 1000.0, 2, rng) for _ in range(20_000)])
    for first in range(4):
        for second in set(range(4)) - {first}:
            expected = weights[first] * weights[second] / (1 - weights[first])
            found = ((draws[:, 0] == first) & (draws[:, 1] == second)).mean()
            assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / 20_000))


def test_weights_far_below_underflow_are_still_ordered():
    drawn = gumbel_top_k(np.array([0.0, -5e3, -1e4, -2e4]), 3, np.random.default_rng(1))
    assert drawn.tolist() == [0, 1, 2]
    with pytest.raises(HullError, match="draw 5 of 4"):
        gumbel_top_k(np.zeros(4), 5, np.random.default_rng(1))


def series(n_orderings=40, seed=0):
    """Orderings of a pseudo-binary series, 20 to 21 atoms a formula."""
    rng = np.random.default_rng(seed)
    formulas, energies = [], []
    for x in (0, 1, 2, 3):
        formulas += [f"Na{1 + x}Zr2Si{x}P{3 - x}O12"] * n_orderings
        energies += list(-8.0 + np.sort(rng.exponential(0.005, n_orderings)))
    space = end_member_space(formulas, ["NaZr2P3O12", "Na4Zr2Si3O12"])
    return place_on_hull(space, np.array(energies))


def test_ground_states_are_always_in_and_the_choice_is_repeatable():
    placed = series()
    first, second = (
        boltzmann_selection(
            placed, basis="formula_unit", temperature_K=800, n_selected=20, rng=np.random.default_rng(5)
        )
        for _ in range(2)
    )
    assert first.indices.tolist() == second.indices.tolist()
    assert set(first.ground_states) == {0, 40, 80, 120} <= set(first.indices)
    assert len(set(first.indices)) == 20
    assert first.probabilities.sum() == pytest.approx(1.0)


def test_basis_sharpens_the_choice():
    placed = series()
    sizes = {}
    for basis in ("atom", "formula_unit"):
        found = boltzmann_selection(
            placed, basis=basis, temperature_K=800, n_selected=4, rng=np.random.default_rng(0)
        )
        sizes[basis] = 1 / (found.probabilities**2).sum()
    assert sizes["formula_unit"] < 0.8 * sizes["atom"]
    with pytest.raises(TypeError):
        boltzmann_selection(placed, temperature_K=800, n_selected=4, rng=np.random.default_rng(0))


def test_cold_selection_takes_the_lowest():
    placed = series()
    found = boltzmann_selection(
        placed, basis="cell", temperature_K=0.01, n_selected=30, rng=np.random.default_rng(0)
    )
    above = placed.energies_above_hull("cell")
    limit = np.sort(np.delete(above, found.ground_states))[25]
    assert above[np.setdiff1d(found.indices, found.ground_states)].max() <= limit + 1e-12


def test_entry_below_the_hull_is_never_selected():
    space = elemental_space(["Li", "S", "Li2S", "Li2S"])
    placed = place_on_hull(space, np.array([-1.9, -4.1, -4.0, -9.0]), np.array([False, False, False, True]))
    found = boltzmann_selection(
        placed, basis="atom", temperature_K=800, n_selected=3, rng=np.random.default_rng(0)
    )
    assert found.indices.tolist() == [0, 1, 2]
    assert found.probabilities[3] == 0.0


def test_too_few_and_no_temperature_are_refused():
    placed = series()
    rng = np.random.default_rng(0)
    with pytest.raises(HullError, match="4 compositions"):
        boltzmann_selection(placed, basis="atom", temperature_K=800, n_selected=3, rng=rng)
    with pytest.raises(HullError, match="200 entries asked for, 160 are there"):
        boltzmann_selection(placed, basis="atom", temperature_K=800, n_selected=200, rng=rng)
    with pytest.raises(HullError, match="above zero"):
        boltzmann_selection(placed, basis="atom", temperature_K=0, n_selected=10, rng=rng)
