"""Exact numbers of orderings, labelled and unique, and uniform samples of the labelled ones.

The labelled number is a sum over the independent sets of the conflict graph with a given number of vertices
in every class. Vertices are added one by one; a state is the choice on the frontier (vertices that still have
neighbours to come) with the counts so far, and states that differ only behind the frontier are merged
(a transfer matrix with a moving frontier). The unique number is Burnside's mean of the fixed sets over the
group: a set fixed by g is a union of cycles of g, so the same sum over the graph of cycles counts them, and
only once for every conjugacy class of operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings.problem import OrderingProblem, clique_cover

_MAX_STATES = 4_000_000
_EXACT_BELOW = 2.0**62


class TooManyStatesError(InputError):
    """The exact count needs more memory than is sensible."""


@dataclass(frozen=True)
class OrderingCount:
    """Numbers of orderings.

    Attributes
    ----------
    labelled : int
        All of them, symmetry ignored.
    unique : int
        Orbits under the space group of the disordered crystal.
    group_order : int
        Distinct permutations of the sites by the space group.
    """

    labelled: int
    unique: int
    group_order: int


@dataclass(frozen=True)
class _Step:
    """Add a vertex (slot -1: it does not join the frontier), or drop (vertex -1) the vertex in a slot."""

    vertex: int
    slot: int
    blocked_by: int = 0


@dataclass(frozen=True)
class _Layer:
    """States after a step: packed keys in ascending order and the number of ways to reach each."""

    keys: np.ndarray
    ways: np.ndarray


class FrontierSum:
    """Sum over independent sets with given weights in every class.

    Parameters
    ----------
    classes : ndarray of int, shape (n,)
        Class of every vertex.
    weights : ndarray of int, shape (n,)
        How much a vertex adds to the count of its class.
    conflicts : ndarray of bool, shape (n, n)
        Conflict graph; a vertex in conflict with itself is never chosen.
    targets : tuple of int
        Required count of every class.
    """

    def __init__(
        self, classes: np.ndarray, weights: np.ndarray, conflicts: np.ndarray, targets: tuple[int, ...]
    ) -> None:
        possible = np.flatnonzero(~np.diagonal(conflicts))
        self.vertices = possible
        self._classes = classes[possible]
        self._weights = weights[possible]
        self._targets = targets
        graph = conflicts[np.ix_(possible, possible)]
        self._steps, self.width = _plan([set(np.flatnonzero(row).tolist()) for row in graph])
        bits = [int(target).bit_length() for target in targets]
        self._offsets = [sum(bits[:number]) for number in range(len(bits))]
        self._fields = [(1 << width) - 1 for width in bits]
        self._frontier = sum(bits)
        if self._frontier + self.width > 63:
            raise TooManyStatesError(
                f"an exact count needs {self._frontier + self.width} bits a state and 63 fit: "
                "take a smaller cell or fewer kinds of sites"
            )
        self._remaining = self._bounds(graph)

    def _bounds(self, graph: np.ndarray) -> np.ndarray:
        """Upper bound of what the vertices after each step can still add to each class."""
        bounds = np.zeros((len(self._steps) + 1, len(self._targets)), dtype=np.int64)
        arrival = {step.vertex: time for time, step in enumerate(self._steps) if step.vertex >= 0}
        for number in range(len(self._targets)):
            members = np.flatnonzero(self._classes == number).tolist()
            for clique in clique_cover(members, graph):
                # the clique can still add the largest weight of its members to come
                heaviest = 0
                members_last_first = sorted(clique, key=lambda v: -arrival[v])
                starts = [arrival[v] + 1 for v in members_last_first[1:]] + [0]
                for vertex, start in zip(members_last_first, starts, strict=True):
                    heaviest = max(heaviest, int(self._weights[vertex]))
                    bounds[start : arrival[vertex] + 1, number] += heaviest
        return bounds

    def _count_in(self, keys: np.ndarray, number: int) -> np.ndarray:
        return (keys >> self._offsets[number]) & self._fields[number]

    def _reachable(self, layer: _Layer, after: int) -> _Layer:
        keep = np.ones(len(layer.keys), dtype=bool)
        for number, target in enumerate(self._targets):
            keep &= self._count_in(layer.keys, number) + self._remaining[after, number] >= target
        return layer if keep.all() else _Layer(layer.keys[keep], layer.ways[keep])

    def _advance(self, layer: _Layer, time: int) -> _Layer:
        step = self._steps[time]
        if step.vertex < 0:
            keys, ways = layer.keys & ~(1 << self._frontier + step.slot), layer.ways
        else:
            number, weight = int(self._classes[step.vertex]), int(self._weights[step.vertex])
            free = (layer.keys & step.blocked_by << self._frontier) == 0
            free &= self._count_in(layer.keys, number) + weight <= self._targets[number]
            added = layer.keys[free] + (weight << self._offsets[number])
            if step.slot >= 0:
                added |= 1 << self._frontier + step.slot
            keys, ways = np.concatenate([layer.keys, added]), np.concatenate([layer.ways, layer.ways[free]])
        merged = self._reachable(_merge(keys, ways), time + 1)
        if len(merged.keys) > _MAX_STATES:
            raise TooManyStatesError(
                f"an exact count needs more than {_MAX_STATES:,} states: the exclusion graph is too large; "
                "take a smaller cell, or draw orderings by Monte Carlo"
            )
        return merged

    def _scaled_layers(self) -> list[_Layer]:
        """States after every step, with numbers of ways relative to the largest of the layer."""
        found = [self._first(float)]
        for time in range(len(self._steps)):
            layer = self._advance(found[-1], time)
            if not len(layer.keys):
                raise InputError("there is nothing to sample: no set obeys the exclusions")
            found.append(_Layer(layer.keys, layer.ways / layer.ways.max()))
        return found

    def _first(self, dtype: type) -> _Layer:
        return self._reachable(_Layer(np.zeros(1, dtype=np.int64), np.array([1], dtype=dtype)), 0)

    def total(self) -> int:
        """Return the exact number of sets.

        Returns
        -------
        int
            The number.
        """
        with np.errstate(over="ignore"):
            estimate = self._total(float)
        if estimate < _EXACT_BELOW:
            return int(self._total(np.uint64))
        return int(self._total(object))

    def _total(self, dtype: type) -> float | int:
        layer = self._first(dtype)
        for time in range(len(self._steps)):
            layer = self._advance(layer, time)
        return layer.ways[0] if len(layer.ways) else 0

    def sample(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw sets uniformly and independently, by walking the layers backwards.

        Parameters
        ----------
        n_samples : int
            How many.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray of bool, shape (n_samples, n)
            Chosen vertices.

        Raises
        ------
        InputError
            If there is no such set.
        """
        layers = self._scaled_layers()
        chosen = np.zeros((n_samples, int(self.vertices.max(initial=-1)) + 1), dtype=bool)
        keys = np.full(n_samples, layers[-1].keys[0])
        for time in reversed(range(len(self._steps))):
            step, before = self._steps[time], layers[time]
            if step.vertex < 0:
                other = keys | (1 << self._frontier + step.slot)
                keys = np.where(_second(before, keys, other, None, rng), other, keys)
                continue
            weight = int(self._weights[step.vertex]) << self._offsets[int(self._classes[step.vertex])]
            if step.slot < 0:
                allowed = (keys & step.blocked_by << self._frontier) == 0
                taken = _second(before, keys, keys - weight, allowed, rng)
                keys = np.where(taken, keys - weight, keys)
            else:
                flag = 1 << self._frontier + step.slot
                taken = (keys & flag) != 0
                keys = np.where(taken, (keys & ~flag) - weight, keys)
            chosen[:, self.vertices[step.vertex]] = taken
        return chosen


def _second(
    layer: _Layer, first: np.ndarray, second: np.ndarray, allowed: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Choose between two predecessors with probabilities in the ratio of their ways."""
    ways = []
    for keys in (first, second):
        places = np.minimum(np.searchsorted(layer.keys, keys), len(layer.keys) - 1)
        ways.append(np.where(layer.keys[places] == keys, layer.ways[places], 0.0))
    if allowed is not None:
        ways[1] = np.where(allowed, ways[1], 0.0)
    return rng.random(len(first)) * (ways[0] + ways[1]) >= ways[0]


def _merge(keys: np.ndarray, ways: np.ndarray) -> _Layer:
    order = np.argsort(keys, kind="stable")
    keys, ways = keys[order], ways[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    if len(keys) == 0 or len(starts) == len(keys):
        return _Layer(keys, ways)
    return _Layer(keys[starts], np.add.reduceat(ways, starts))


def _plan(neighbours: list[set[int]]) -> tuple[list[_Step], int]:
    """Order the vertices so that the frontier stays narrow, greedily; return steps and its width."""
    lonely = [vertex for vertex, near in enumerate(neighbours) if not near]
    waiting = set(range(len(neighbours))).difference(lonely)
    slots: dict[int, int] = {}
    steps: list[_Step] = []
    free: list[int] = []
    width = 0

    def growth(vertex: int) -> tuple[int, int, int]:
        """Tell by how much the front grows with a vertex, then how many neighbours wait, then its number."""
        closing = sum(1 for u in neighbours[vertex] & slots.keys() if neighbours[u] & waiting == {vertex})
        stays = bool((neighbours[vertex] & waiting) - {vertex})
        return int(stays) - closing, len(neighbours[vertex] & waiting), vertex

    while waiting:
        near = {v for u in slots for v in neighbours[u]} & waiting
        vertex = min(near or waiting, key=growth)
        waiting.remove(vertex)
        blocked_by = sum(1 << slots[u] for u in neighbours[vertex] if u in slots)
        slot = -1
        if neighbours[vertex] & waiting:
            slot = free.pop() if free else width
            width = max(width, slot + 1)
        steps.append(_Step(vertex, slot, blocked_by))
        if slot >= 0:
            slots[vertex] = slot
        for done in [u for u in slots if not neighbours[u] & waiting]:
            free.append(slots.pop(done))
            steps.append(_Step(-1, free[-1]))
    return steps + [_Step(vertex, -1) for vertex in lonely], width


def conjugacy_classes(permutations: np.ndarray) -> list[np.ndarray]:
    """Split a permutation group into conjugacy classes.

    Parameters
    ----------
    permutations : ndarray of int, shape (order, n)
        All elements, distinct.

    Returns
    -------
    list of ndarray of int
        Indices of the elements of every class.
    """
    order, n = permutations.shape
    keys = np.random.default_rng(0).integers(0, 2**63, size=n, dtype=np.uint64)
    hashes = (permutations.astype(np.uint64) * keys).sum(axis=1)
    by_hash = np.argsort(hashes)
    inverses = np.argsort(permutations, axis=1)
    seen = np.zeros(order, dtype=bool)
    found = []
    for first in range(order):
        if seen[first]:
            continue
        # h g h^-1, for all h at once
        moved = np.take_along_axis(permutations, permutations[first][inverses], axis=1)
        images = (moved.astype(np.uint64) * keys).sum(axis=1)
        members = np.unique(by_hash[np.searchsorted(hashes, images, sorter=by_hash)])
        seen[members] = True
        found.append(members)
    return found


def _cycle_graph(problem: OrderingProblem, operation: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cycles of one operation as vertices: classes, lengths and conflicts."""
    from scipy.sparse import coo_matrix, csr_matrix
    from scipy.sparse.csgraph import connected_components

    n = problem.size
    edges = coo_matrix((np.ones(n), (np.arange(n), problem.permutations[operation])), shape=(n, n))
    n_cycles, labels = connected_components(edges, directed=False)
    lengths = np.bincount(labels, minlength=n_cycles)
    classes = np.zeros(n_cycles, dtype=np.int64)
    classes[labels] = problem.classes
    members = csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(n_cycles, n))
    conflicts = (members @ csr_matrix(problem.conflicts.astype(float)) @ members.T).toarray() > 0
    return classes, lengths, conflicts


def count(problem: OrderingProblem) -> OrderingCount:
    """Count the orderings exactly, labelled and up to symmetry (Burnside).

    Parameters
    ----------
    problem : OrderingProblem
        What to count.

    Returns
    -------
    OrderingCount
        Exact integers of any size.

    Raises
    ------
    TooManyStatesError
        If the conflict graph is too large for an exact sum.
    """
    order = len(problem.permutations)
    if problem.is_overfull:
        return OrderingCount(0, 0, order)
    fixed = 0
    labelled = 0
    for members in conjugacy_classes(problem.permutations):
        sets = FrontierSum(*_cycle_graph(problem, int(members[0])), problem.targets).total()
        fixed += len(members) * sets
        if (problem.permutations[members[0]] == np.arange(problem.size)).all():
            labelled = sets
    return OrderingCount(labelled, fixed // order, order)
