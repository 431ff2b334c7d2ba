"""Pair fingerprints: the multiset of distances between the ions of an ordering.

Equivalent orderings have equal fingerprints. The reverse is not true (homometric orderings), so merging by
fingerprint is coarser than symmetry: of the 4,493 orderings of Li7La3Zr2O12 with 24d:96h = 12:44 it leaves
4,160, and of the 66,090 of 11:45 it leaves the 65,958 that Yang et al. (2025) publish.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sse_screen.structures.orderings.space import Ordering, OrderingSpace

_SHELL_WIDTH_A = 0.005


def distance_shells(distances: NDArray[np.float64], width_A: float = _SHELL_WIDTH_A) -> NDArray[np.int64]:
    """Number the distinct distances in ascending order.

    Parameters
    ----------
    distances : ndarray of float, any shape
        Distances in ångström.
    width_A : float
        Neighbouring values further apart than this belong to two shells.

    Returns
    -------
    ndarray of int, the same shape
        Shell of every distance.
    """
    flat = distances.ravel()
    order = np.argsort(flat)
    shells = np.empty(len(flat), dtype=np.int64)
    shells[order] = np.concatenate([[0], np.cumsum(np.diff(flat[order]) > width_A)])
    return shells.reshape(distances.shape)


class PairFingerprint:
    """Hash of the multiset of (species, species, distance) over all pairs of ions with a choice of sites.

    Every kind of pair has a random integer, the same in every run; the hash is their sum over the pairs,
    twice over with independent integers (about 80 bits), so that a batch is two products of matrices.
    Distances are to the nearest image.

    Parameters
    ----------
    space : OrderingSpace
        The orderings to tell apart.
    """

    def __init__(self, space: OrderingSpace) -> None:
        positions = space.structure.frac_coords[space.vertex_sites]
        if len(positions) == 0:
            self._numbers = np.zeros((2, 0, 0))
            return
        shells = distance_shells(space.structure.lattice.get_all_distances(positions, positions))
        _, species = np.unique(space.vertex_species.astype(str), return_inverse=True)
        low, high = np.minimum.outer(species, species), np.maximum.outer(species, species)
        kinds = (low * (species.max() + 1) + high) * (shells.max() + 1) + shells
        # sums over all pairs stay below 2^53, so that float products are exact
        n_ions = max(2, sum(space.problem.targets))
        bits = 52 - 2 * int(np.ceil(np.log2(n_ions)))
        rng = np.random.default_rng(20250)
        self._numbers = rng.integers(0, 2**bits, size=(2, int(kinds.max()) + 1))[:, kinds].astype(float)

    def __call__(self, sets: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the fingerprints of orderings.

        Parameters
        ----------
        sets : ndarray of bool, shape (m, n_vertices)
            Chosen vertices.

        Returns
        -------
        ndarray of int64, shape (m, 2)
            Two orderings with equal rows have the same distances.
        """
        rows = sets.astype(float)
        sums = [((rows @ numbers) * rows).sum(axis=1) for numbers in self._numbers]
        return np.stack(sums, axis=1).astype(np.int64)


def merge_by_fingerprint(space: OrderingSpace) -> Iterator[Ordering]:
    """Enumerate orderings with different pair distances, adding the degeneracies of those with equal ones.

    All orderings are enumerated before the first is yielded; about 50 bytes are held for each.

    Parameters
    ----------
    space : OrderingSpace
        The orderings.

    Yields
    ------
    Ordering
        The first of every group of equal fingerprints, with the degeneracy of the whole group.
    """
    fingerprint = PairFingerprint(space)
    packed, hashes, sizes = [], [], []
    for sets, degeneracies in space.enumerate_sets():
        packed.append(np.packbits(sets, axis=1))
        hashes.append(fingerprint(sets))
        sizes.append(degeneracies)
    if not packed:
        return
    bits, degeneracies = np.concatenate(packed), np.concatenate(sizes)
    _, first, group = np.unique(np.concatenate(hashes), axis=0, return_index=True, return_inverse=True)
    totals = np.bincount(group.ravel(), weights=degeneracies).astype(np.int64)
    order = np.argsort(first)
    for start in range(0, len(order), 4096):
        part = order[start : start + 4096]
        sets = np.unpackbits(bits[first[part]], axis=1, count=space.problem.size).astype(bool)
        yield from space.orderings(sets, totals[part], totals[part].tolist())
