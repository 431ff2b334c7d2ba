"""The ordering problem stripped of its crystal: vertices, classes, conflicts and a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OrderingProblem:
    """Choose vertices so that every class has its number and no two of them are in conflict.

    A vertex is one species on one site; a class is one species on one sublattice. The last species of a full
    sublattice (or the vacancy) needs no vertices: it fills what is left.

    Attributes
    ----------
    classes : ndarray of int, shape (n,)
        Class of every vertex.
    targets : tuple of int
        Number of vertices to choose in every class.
    conflicts : ndarray of bool, shape (n, n)
        Pairs that must not be chosen together; symmetric. A vertex in conflict with itself is never chosen.
    permutations : ndarray of int, shape (order, n)
        The group: operation g takes vertex v to ``permutations[g, v]``. Distinct rows, one the identity.
    """

    classes: np.ndarray
    targets: tuple[int, ...]
    conflicts: np.ndarray
    permutations: np.ndarray

    @property
    def size(self) -> int:
        """Number of vertices."""
        return len(self.classes)

    @property
    def is_overfull(self) -> bool:
        """Whether a class wants more vertices than the cliques of its conflicts can give."""
        possible = ~np.diagonal(self.conflicts)
        return any(
            len(clique_cover(np.flatnonzero((self.classes == number) & possible).tolist(), self.conflicts))
            < target
            for number, target in enumerate(self.targets)
        )

    def members(self, number: int) -> np.ndarray:
        """Return the vertices of one class.

        Parameters
        ----------
        number : int
            The class.

        Returns
        -------
        ndarray of int
            Its vertices in ascending order.
        """
        return np.flatnonzero(self.classes == number)


def clique_cover(vertices: list[int], conflicts: np.ndarray) -> list[list[int]]:
    """Group vertices into cliques of the conflict graph, greedily.

    At most one vertex of a clique can be chosen, so the number of cliques bounds the number of choices.

    Parameters
    ----------
    vertices : list of int
        The vertices to cover.
    conflicts : ndarray of bool, shape (n, n)
        The conflict graph.

    Returns
    -------
    list of list of int
        Cliques; every vertex is in exactly one.
    """
    members = set(vertices)
    neighbours = {v: members.intersection(np.flatnonzero(conflicts[v]).tolist()) - {v} for v in vertices}
    # a vertex with few neighbours has the least choice of clique, so it goes first; the lonely ones last
    waiting = sorted(vertices, key=lambda v: (len(neighbours[v]) == 0, len(neighbours[v]), v))
    done: set[int] = set()
    cliques = []
    for first in waiting:
        if first in done:
            continue
        clique = [first]
        for other in sorted(neighbours[first] - done):
            if neighbours[other].issuperset(clique):
                clique.append(other)
        done.update(clique)
        cliques.append(sorted(clique))
    return sorted(cliques)
