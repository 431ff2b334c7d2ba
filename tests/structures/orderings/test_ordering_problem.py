"""Enumeration, counting and sampling against brute force on small random problems."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings.bitmasks import BitLayout
from sse_screen.structures.orderings.counting import (
    FrontierSum,
    TooManyStatesError,
    conjugacy_classes,
    count,
)
from sse_screen.structures.orderings.enumeration import Enumerator
from sse_screen.structures.orderings.problem import OrderingProblem, clique_cover


def closure(generators: list[np.ndarray]) -> np.ndarray:
    """All products of some permutations."""
    n = len(generators[0])
    group = {tuple(range(n))}
    frontier = list(group)
    while frontier:
        fresh = {tuple(g[list(p)]) for p in frontier for g in generators} - group
        group |= fresh
        frontier = list(fresh)
    return np.array(sorted(group))


@st.composite
def problems(draw: st.DrawFn) -> OrderingProblem:
    """Ring-like problems: a dihedral group on up to three classes, conflicts made symmetric under it."""
    n = draw(st.integers(2, 6))
    n_classes = draw(st.integers(1, 3))
    turn, mirror = np.roll(np.arange(n), draw(st.integers(0, n - 1))), np.arange(n)[::-1]
    generators = [turn, mirror] if draw(st.booleans()) else [turn]
    group = closure([np.concatenate([g + c * n for c in range(n_classes)]) for g in generators])
    conflicts = np.zeros((n * n_classes,) * 2, dtype=bool)
    for _ in range(draw(st.integers(0, 4))):
        a, b = draw(st.tuples(*[st.integers(0, n * n_classes - 1)] * 2))
        conflicts[group[:, a], group[:, b]] = True
    conflicts |= conflicts.T
    targets = tuple(draw(st.lists(st.integers(0, n), min_size=n_classes, max_size=n_classes)))
    return OrderingProblem(np.repeat(np.arange(n_classes), n), targets, conflicts, group)


def brute_force(problem: OrderingProblem) -> dict[frozenset[int], int]:
    """Smallest member of every orbit to the size of the orbit."""
    orbits: dict[frozenset[int], int] = {}
    choices = [
        combinations(problem.members(number).tolist(), target)
        for number, target in enumerate(problem.targets)
    ]
    for parts in product(*choices):
        chosen = [v for part in parts for v in part]
        if problem.conflicts[np.ix_(chosen, chosen)].any():
            continue
        images = {frozenset(permutation[chosen].tolist()) for permutation in problem.permutations}
        key = min(images, key=sorted)
        orbits[key] = len(images)
    return orbits


@settings(max_examples=150, deadline=None)
@given(problems())
def test_enumeration_and_burnside_are_brute_force(problem: OrderingProblem) -> None:
    expected = brute_force(problem)
    numbers = count(problem)
    assert numbers.unique == len(expected)
    assert numbers.labelled == sum(expected.values())
    found: dict[frozenset[int], int] = {}
    layout = BitLayout(problem.classes)
    for words, degeneracies in Enumerator(problem).orbits():
        for row, degeneracy in zip(layout.unpack(words), degeneracies, strict=True):
            chosen = np.flatnonzero(row)
            images = [frozenset(permutation[chosen].tolist()) for permutation in problem.permutations]
            key = min(images, key=sorted)
            assert key not in found
            found[key] = int(degeneracy)
    assert found == expected


def test_samples_are_uniform_over_labelled_sets() -> None:
    """A hexagon with next neighbours excluded, two classes in conflict on the same site."""
    n = 6
    ring = np.eye(n, k=1, dtype=bool) | np.eye(n, k=n - 1, dtype=bool)
    ring |= ring.T
    conflicts = np.block(
        [[ring, np.eye(n, dtype=bool)], [np.eye(n, dtype=bool), np.zeros((n, n), dtype=bool)]]
    )
    problem = OrderingProblem(np.repeat([0, 1], n), (2, 3), conflicts, np.arange(2 * n)[None, :])
    frontier_sum = FrontierSum(problem.classes, np.ones(2 * n, dtype=int), conflicts, problem.targets)
    total = frontier_sum.total()
    assert total == 9 * 4
    samples = frontier_sum.sample(20_000, np.random.default_rng(7))
    assert not np.einsum("mi,ij,mj->m", samples, conflicts, samples).any()
    frequencies = Counter(row.tobytes() for row in samples)
    assert len(frequencies) == total
    assert chisquare(list(frequencies.values())).pvalue > 1e-3


def test_counts_beyond_64_bits_are_exact() -> None:
    """200 free vertices, 100 chosen: the central binomial coefficient."""
    from math import comb

    n = 200
    free = FrontierSum(np.zeros(n, dtype=int), np.ones(n, dtype=int), np.zeros((n, n), dtype=bool), (100,))
    assert free.total() == comb(200, 100)


def test_conjugacy_classes_of_the_symmetric_group() -> None:
    """S4 has five classes: 1, 6, 3, 8 and 6 elements."""
    group = closure([np.array([1, 0, 2, 3]), np.array([1, 2, 3, 0])])
    sizes = sorted(len(members) for members in conjugacy_classes(group))
    assert sizes == [1, 3, 6, 6, 8]


def test_clique_cover_uses_pairs() -> None:
    pairs = np.kron(np.eye(3, dtype=bool), np.ones((2, 2), dtype=bool)) & ~np.eye(6, dtype=bool)
    assert clique_cover(list(range(6)), pairs) == [[0, 1], [2, 3], [4, 5]]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 150), st.integers(0, 2**32 - 1))
def test_pack_and_unpack_are_inverse(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = BitLayout(np.sort(rng.integers(0, 3, size=n)))
    chosen = rng.random((5, n)) < 0.5
    assert (layout.unpack(layout.pack(chosen)) == chosen).all()


def test_samples_of_spaces_beyond_floats() -> None:
    """2000 free vertices: 10^600 sets; every vertex is chosen half the time."""
    n = 2000
    free = FrontierSum(np.zeros(n, dtype=int), np.ones(n, dtype=int), np.zeros((n, n), dtype=bool), (n // 2,))
    samples = free.sample(400, np.random.default_rng(2))
    assert (samples.sum(axis=1) == n // 2).all()
    assert abs(samples[:, :10].mean() - 0.5) < 0.05


def test_nothing_to_sample_is_refused() -> None:
    pair = np.array([[False, True], [True, False]])
    with pytest.raises(InputError, match="nothing to sample"):
        FrontierSum(np.zeros(2, int), np.ones(2, int), pair, (2,)).sample(1, np.random.default_rng(0))


def test_a_frontier_too_wide_is_refused() -> None:
    """A random dense graph of 100 vertices has no narrow frontier."""
    rng = np.random.default_rng(0)
    graph = np.triu(rng.random((100, 100)) < 0.5, 1)
    with pytest.raises(TooManyStatesError, match=r"Monte Carlo|smaller cell"):
        FrontierSum(np.zeros(100, int), np.ones(100, int), graph | graph.T, (5,)).total()
