"""The hull against pymatgen, exact small cases, invariances and the speed bar."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from sse_screen.thermodynamics.hull import (
    HullError,
    decomposition,
    energies_above_hull,
    lower_hull,
    lowest_entries,
)

ELEMENTS = ("Li", "P", "S", "O", "Cl")


def random_system(n_elements, n_entries, seed, smooth=False):
    rng = np.random.default_rng(seed)
    amounts = rng.integers(0, 7, (n_entries, n_elements))
    amounts = np.vstack([np.eye(n_elements, dtype=int), amounts[amounts.sum(axis=1) > 0]])
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    if smooth:
        energies = fractions @ rng.normal(size=n_elements) - (1.0 - (fractions**2).sum(axis=1))
    else:
        energies = rng.normal(-3.0, 1.0, len(amounts))
    return amounts, fractions, energies


def pymatgen_distances(amounts, energies):
    entries = [
        PDEntry(
            Composition({el: int(n) for el, n in zip(ELEMENTS, row, strict=False) if n}), energy * row.sum()
        )
        for row, energy in zip(amounts, energies, strict=True)
    ]
    diagram = PhaseDiagram(entries)
    return np.array([diagram.get_e_above_hull(entry) for entry in entries])


@pytest.mark.parametrize("n_elements", [2, 3, 4, 5])
@pytest.mark.parametrize(("seed", "smooth"), [(0, False), (1, False), (2, True)])
def test_agrees_with_pymatgen_to_1e_9(n_elements, seed, smooth):
    amounts, fractions, energies = random_system(n_elements, 120, seed, smooth)
    ours = energies_above_hull(fractions, energies, lower_hull(fractions, energies))
    np.testing.assert_allclose(ours, pymatgen_distances(amounts, energies), rtol=0, atol=1e-9)


def test_exact_binary():
    # Convex corners at 0, 1/2 (-1) and 1; 1/4 at -0.3 lies 0.2 above the tie line from 0 to 1/2.
    x = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    fractions = np.column_stack([1 - x, x])
    energies = np.array([0.0, -0.3, -1.0, -0.4, 0.0])
    hull = lower_hull(fractions, energies)
    np.testing.assert_allclose(
        energies_above_hull(fractions, energies, hull), [0, 0.2, 0, 0.1, 0], atol=1e-14
    )
    assert hull.vertices.tolist() == [0, 2, 4]
    assert dict(decomposition(hull, fractions[1], fractions)) == pytest.approx({0: 0.5, 2: 0.5})


def test_ideal_mixture_leaves_every_entry_on_the_hull():
    _, fractions, _ = random_system(4, 50, 3)
    energies = fractions @ np.array([-1.0, -2.0, -3.0, -4.0])
    distances = energies_above_hull(fractions, energies, lower_hull(fractions, energies))
    np.testing.assert_allclose(distances, 0.0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.floats(0.1, 10.0),
)
def test_linear_energies_change_nothing_and_scale_goes_through(seed, slope, scale):
    _, fractions, energies = random_system(3, 40, seed)
    reference = energies_above_hull(fractions, energies, lower_hull(fractions, energies))
    moved = scale * energies + fractions @ np.array(slope)
    distances = energies_above_hull(fractions, moved, lower_hull(fractions, moved))
    np.testing.assert_allclose(distances, scale * reference, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_hull_is_below_all_and_products_give_its_energy_and_composition(seed):
    _, fractions, energies = random_system(4, 60, seed)
    hull = lower_hull(fractions, energies)
    distances = energies_above_hull(fractions, energies, hull)
    assert distances.min() == 0.0
    for i in range(0, len(energies), 7):
        products = decomposition(hull, fractions[i], fractions)
        assert sum(share * energies[j] for j, share in products) == pytest.approx(energies[i] - distances[i])
        np.testing.assert_allclose(
            sum(share * fractions[j] for j, share in products), fractions[i], atol=1e-9
        )


def test_compositions_on_a_plane_of_a_larger_space():
    # Three elements, all entries on the line Li2S - P2S5: the hull is the binary one.
    x = np.linspace(0, 1, 5)
    line = np.outer(1 - x, [2 / 3, 0, 1 / 3]) + np.outer(x, [0, 2 / 7, 5 / 7])
    energies = np.array([-4.0, -4.1, -4.6, -4.2, -4.4])
    binary = np.column_stack([1 - x, x])
    np.testing.assert_allclose(
        energies_above_hull(line, energies, lower_hull(line, energies)),
        energies_above_hull(binary, energies, lower_hull(binary, energies)),
        atol=1e-12,
    )
    with pytest.raises(HullError, match="outside"):
        lower_hull(line, energies).energies_at(np.array([[1.0, 0.0, 0.0]]))


def test_first_of_equal_entries_and_lowest_of_each_composition():
    fractions = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], dtype=float)
    energies = np.array([0.0, 0.0, -0.5, -1.0, -1.0])
    assert lowest_entries(fractions, energies).tolist() == [0, 1, 3]
    assert lower_hull(fractions, energies).vertices.tolist() == [0, 1, 3]


def test_entry_left_out_of_the_hull_may_lie_below_it():
    fractions = np.array([[1, 0], [0, 1], [0.5, 0.5]], dtype=float)
    hull = lower_hull(fractions[:2], np.zeros(2))
    assert energies_above_hull(fractions, np.array([0, 0, -7.0]), hull)[2] == pytest.approx(-7.0)


@pytest.mark.parametrize(
    ("fractions", "energies", "message"),
    [
        (np.array([[0.5, 0.5], [0.5, 0.5]]), np.zeros(2), "one composition"),
        (np.eye(2), np.array([0.0, np.nan]), "finite"),
        (np.eye(2), np.zeros(3), "belong together"),
    ],
)
def test_bad_input_is_refused(fractions, energies, message):
    with pytest.raises(HullError, match=message):
        lower_hull(fractions, energies)


@pytest.mark.parametrize("smooth", [False, True])
def test_a_hundred_thousand_entries_of_four_elements_within_three_seconds(smooth):
    # Smooth energies with little scatter are the hard case: tens of thousands of facets.
    rng = np.random.default_rng(7)
    amounts = np.vstack([np.eye(4), rng.integers(0, 13, (100_000, 4)) + np.array([1, 0, 0, 0])])
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    if smooth:
        energies = (fractions**2).sum(axis=1) + rng.exponential(0.05, len(fractions))
    else:
        energies = rng.normal(-3.0, 0.3, len(fractions))
    energies[:4] = 1.0 if smooth else -2.0
    start = time.process_time()
    distances = energies_above_hull(fractions, energies, lower_hull(fractions, energies))
    assert time.process_time() - start < 3.0
    assert distances.min() == 0.0


def test_boxes_of_planes_give_the_plain_maximum_also_for_repeated_points():
    _, fractions, energies = random_system(4, 3000, 9, smooth=True)
    hull = lower_hull(fractions, energies)
    assert len(hull.planes) > 500
    many = np.vstack([fractions, np.repeat(fractions[:2], 300, axis=0)])
    coordinates = (many - hull.origin) @ hull.axes.T
    plain = (coordinates @ hull.planes[:, :-1].T + hull.planes[:, -1]).max(axis=1) + many @ hull.baseline
    np.testing.assert_allclose(hull.energies_at(many), plain, atol=1e-12)
