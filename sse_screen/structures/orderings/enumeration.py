"""Symmetry-unique orderings: class by class, each under the stabiliser of the classes before it.

A class is filled clique by clique, breadth first in chunks of bounded size. Choices that leave too few open
cliques in this or a later class are dropped at once. A set of the class is kept when it is the smallest of
its images under the stabiliser of what has been chosen before; the stabiliser of the kept set is passed on.
So a kept ordering is the lexicographically smallest of its orbit, class by class, and its degeneracy is the
order of the group divided by that of its stabiliser.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sse_screen.structures.orderings.bitmasks import BitLayout, ImageTables
from sse_screen.structures.orderings.problem import OrderingProblem, clique_cover

_CHUNK = 2**16
_BATCH = 2**12


@dataclass(frozen=True)
class _Level:
    """One class, ready to be filled."""

    target: int
    cliques: list[list[int]]
    clique_masks: np.ndarray
    tables: ImageTables


@dataclass
class _States:
    """Partial orderings: chosen and open vertices as words, one row a state."""

    chosen: np.ndarray
    open: np.ndarray
    count: np.ndarray
    origin: np.ndarray
    spare: np.ndarray

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: np.ndarray | slice) -> _States:
        """Choose rows."""
        return _States(
            self.chosen[rows], self.open[rows], self.count[rows], self.origin[rows], self.spare[rows]
        )

    @staticmethod
    def join(parts: list[_States]) -> _States:
        """Put the rows of several together."""
        if len(parts) == 1:
            return parts[0]
        fields = ("chosen", "open", "count", "origin", "spare")
        return _States(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


class Enumerator:
    """Enumerate the orbits of an ordering problem.

    Parameters
    ----------
    problem : OrderingProblem
        What to enumerate.
    """

    def __init__(self, problem: OrderingProblem) -> None:
        self.problem = problem
        self.layout = BitLayout(problem.classes)
        conflicts = problem.conflicts & ~np.eye(problem.size, dtype=bool)
        self._forbidden = self.layout.pack(conflicts)
        self._levels = [self._level(number) for number in range(len(problem.targets))]
        self._affected = [self._affected_cliques(vertex) for vertex in range(problem.size)]
        self._tied = self._tied_within_level(conflicts)

    def _level(self, number: int) -> _Level:
        vertices = self.problem.members(number).tolist()
        cliques = clique_cover(vertices, self.problem.conflicts)
        rows = np.zeros((len(cliques), self.problem.size), dtype=bool)
        for row, clique in zip(rows, cliques, strict=True):
            row[clique] = True
        tables = ImageTables(self.layout, self.problem.permutations, number)
        return _Level(self.problem.targets[number], cliques, self.layout.pack(rows), tables)

    def _affected_cliques(self, vertex: int) -> list[tuple[int, np.ndarray]]:
        """Cliques of later classes that a choice of the vertex narrows: (class, words of the clique)."""
        own = int(self.problem.classes[vertex])
        found = []
        for number in range(own + 1, len(self._levels)):
            for clique, mask in zip(
                self._levels[number].cliques, self._levels[number].clique_masks, strict=True
            ):
                if self.problem.conflicts[vertex, clique].any():
                    found.append((number, mask))
        return found

    def _tied_within_level(self, conflicts: np.ndarray) -> np.ndarray:
        """Whether a vertex has conflicts outside its own clique, so that open vertices must be updated."""
        tied = np.zeros(self.problem.size, dtype=bool)
        for level in self._levels:
            for clique in level.cliques:
                others = np.ones(self.problem.size, dtype=bool)
                others[clique] = False
                later = others & (self.problem.classes >= self.problem.classes[clique[0]])
                tied[clique] = (conflicts[clique] & later).any(axis=1)
        return tied

    def orbits(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all orbits in chunks.

        Yields
        ------
        sets : ndarray of uint64, shape (m, n_words)
            Representatives, packed by ``layout``: the smallest of their orbits, class by class.
        degeneracies : ndarray of int64, shape (m,)
            Sizes of the orbits.
        """
        problem, order = self.problem, len(self.problem.permutations)
        possible = ~np.diagonal(problem.conflicts)
        open_words = self.layout.pack(possible[None, :])
        spare = [
            int(((level.clique_masks & open_words) != 0).any(axis=1).sum()) - level.target
            for level in self._levels
        ]
        if min(spare, default=0) < 0:
            return
        root = _States(
            np.zeros_like(open_words),
            open_words,
            np.zeros(1, dtype=np.int16),
            np.zeros(1, dtype=np.int32),
            np.array([spare], dtype=np.int16).reshape(1, len(spare)),
        )
        yield from self._descend(0, root, np.ones((1, order), dtype=bool))

    def _descend(
        self, number: int, roots: _States, stabilisers: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if number == len(self._levels):
            yield roots.chosen, stabilisers.shape[1] // stabilisers.sum(axis=1)
            return
        last = number == len(self._levels) - 1
        waiting: list[tuple[_States, np.ndarray]] = []
        for states in self._fill(number, roots):
            kept, stabiliser = self._canonical(number, states, stabilisers, last)
            if last:
                yield kept.chosen, stabiliser
                continue
            waiting.append((kept, stabiliser))
            if sum(len(part) for part, _ in waiting) >= _BATCH:
                yield from self._flush(number, waiting)
                waiting = []
        if waiting and not last:
            yield from self._flush(number, waiting)

    def _flush(
        self, number: int, waiting: list[tuple[_States, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        states = _States.join([part for part, _ in waiting])
        stabilisers = np.concatenate([rows for _, rows in waiting])
        for start in range(0, len(states), _BATCH):
            part = states.take(slice(start, start + _BATCH))
            part.origin = np.arange(len(part), dtype=np.int32)
            part.count = np.zeros(len(part), dtype=np.int16)
            yield from self._descend(number + 1, part, stabilisers[start : start + _BATCH])

    def _fill(self, number: int, roots: _States) -> Iterator[_States]:
        """Fill one class of all roots, in chunks, depth first over chunks."""
        level = self._levels[number]
        alive = np.stack([((roots.open & mask) != 0).any(axis=1) for mask in level.clique_masks], axis=1)
        # open cliques from step t on, for every root: the bound on what can still be chosen
        left = np.zeros((len(level.cliques) + 1, len(roots)), dtype=np.int16)
        left[:-1] = alive[:, ::-1].cumsum(axis=1)[:, ::-1].T
        stack = [(0, roots)]
        while stack:
            step, states = stack.pop()
            while step < len(level.cliques) and 0 < len(states) <= _CHUNK:
                states = self._extend(level, step, states, left[step + 1])
                step += 1
            if step == len(level.cliques) and len(states):
                yield states
            elif len(states):
                half = _CHUNK // 2
                stack += [(step, states.take(slice(i, i + half))) for i in range(0, len(states), half)]

    def _extend(self, level: _Level, step: int, states: _States, left: np.ndarray) -> _States:
        reach = states.count + left[states.origin]
        parts = []
        skip = np.flatnonzero(reach >= level.target)
        if len(skip) == len(states):
            parts.append(states)
        elif len(skip):
            parts.append(states.take(skip))
        can_add = (states.count < level.target) & (reach + 1 >= level.target)
        for vertex in level.cliques[step]:
            word, bit = divmod(int(self.layout.positions[vertex]), 64)
            flag = np.uint64(1) << np.uint64(bit)
            rows = np.flatnonzero(can_add & ((states.open[:, word] & flag) != 0))
            if len(rows):
                parts.append(self._choose(vertex, word, flag, states.take(rows)))
        return _States.join(parts) if parts else states.take(slice(0, 0))

    def _choose(self, vertex: int, word: int, flag: np.uint64, states: _States) -> _States:
        states.chosen[:, word] |= flag
        states.count += np.int16(1)
        if not self._tied[vertex]:
            return states
        before = states.open
        states.open = before & ~self._forbidden[vertex]
        for number, mask in self._affected[vertex]:
            lost = ((before & mask) != 0).any(axis=1) & ~((states.open & mask) != 0).any(axis=1)
            states.spare[:, number] -= lost
        if self._affected[vertex]:
            return states.take(np.flatnonzero((states.spare >= 0).all(axis=1)))
        return states

    def _canonical(
        self, number: int, states: _States, stabilisers: np.ndarray, last: bool
    ) -> tuple[_States, np.ndarray]:
        """Keep the smallest of every orbit, with its stabiliser, or (last class) with its orbit's size."""
        tables, order = self._levels[number].tables, stabilisers.shape[1]
        identity = int(
            np.flatnonzero((self.problem.permutations == np.arange(self.problem.size)).all(axis=1))[0]
        )
        trivial = stabilisers.sum(axis=1) == 1
        alive = np.flatnonzero(~trivial[states.origin])
        keep = trivial[states.origin]
        sizes = np.full(len(states), 1, dtype=np.int64)
        fixing = None if last else np.zeros((len(states), order), dtype=bool)
        if fixing is not None:
            fixing[:, identity] = True
        for operation in np.flatnonzero(stabilisers[~trivial].any(axis=0)):
            if operation == identity or len(alive) == 0:
                continue
            member = stabilisers[states.origin[alive], operation]
            rows = alive[member]
            if len(rows) == 0:
                continue
            smaller, equal = tables.compare(int(operation), states.chosen[rows])
            sizes[rows] += equal
            if fixing is not None:
                fixing[rows, operation] = equal
            dead = np.zeros(len(alive), dtype=bool)
            dead[member] = smaller
            alive = alive[~dead]
        keep[alive] = True
        kept = np.flatnonzero(keep)
        if fixing is None:
            return states.take(kept), order // sizes[kept]
        return states.take(kept), fixing[kept]
