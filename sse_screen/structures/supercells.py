"""Supercells that are large enough in every direction."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

_LARGEST_BLOCK = 8
_WIDTH_TOLERANCE_A = 1e-6
_LARGEST_COSINE = math.cos(math.radians(80.0))


def perpendicular_widths(lattice_vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances between opposite faces of a cell.

    Parameters
    ----------
    lattice_vectors : ndarray of shape (3, 3)
        Rows are the lattice vectors in ångström.

    Returns
    -------
    ndarray of shape (3,)
        Widths in ångström; twice the radius of the largest sphere that meets no image of itself is the least.
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(lattice_vectors), axis=0)


def supercell_matrix(lattice_vectors: NDArray[np.float64], minimum_length_A: float) -> NDArray[np.int64]:
    """Return the smallest nearly cubic supercell whose widths all reach a minimum.

    Candidates are all blocks of up to 8 cells (every sublattice, in Hermite normal form), each with its most
    compact vectors (LLL), with angles of 80 to 100 degrees, and multiplied along them as needed; and plain
    multiples of the given vectors. Of those with the fewest cells the one whose shortest width is the largest
    is taken.

    Parameters
    ----------
    lattice_vectors : ndarray of shape (3, 3)
        Rows are the lattice vectors of the cell in ångström.
    minimum_length_A : float
        Smallest allowed distance between opposite faces, in ångström.

    Returns
    -------
    ndarray of shape (3, 3)
        Integer matrix T; the rows of T times `lattice_vectors` are the vectors of the supercell. The identity
        when the cell is large enough.

    Raises
    ------
    InputError
        If the minimum is not a positive length.
    """
    if not (math.isfinite(minimum_length_A) and minimum_length_A > 0):
        raise InputError(f"minimum_length_A = {minimum_length_A}: give a positive length in ångström")
    if perpendicular_widths(lattice_vectors).min() >= minimum_length_A - _WIDTH_TOLERANCE_A:
        return np.eye(3, dtype=np.int64)
    compact = _compact(lattice_vectors)
    unfit = _skew(compact @ lattice_vectors) > _LARGEST_COSINE
    candidates = np.concatenate([np.eye(3, dtype=np.int64)[None], compact[~unfit]])
    widths = 1.0 / np.linalg.norm(np.linalg.inv(candidates @ lattice_vectors), axis=1)
    multiples = np.ceil((minimum_length_A - _WIDTH_TOLERANCE_A) / widths).astype(np.int64)
    n_cells = np.round(np.abs(np.linalg.det(candidates))).astype(np.int64) * multiples.prod(axis=1)
    shortest = np.round((widths * multiples).min(axis=1), 6)
    best = np.lexsort((-shortest, n_cells))[0]
    chosen: NDArray[np.int64] = multiples[best][:, None] * candidates[best]
    return chosen


def supercell_size(structure: Structure, minimum_length_A: float) -> int:
    """Count the atoms of the supercell that :func:`supercell_with_minimum_length` makes.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Crystal.
    minimum_length_A : float
        Smallest perpendicular width, in ångström.

    Returns
    -------
    int
        Atoms.

    Raises
    ------
    InputError
        If the minimum is not positive.
    """
    matrix = supercell_matrix(structure.lattice.matrix, minimum_length_A)
    return round(abs(np.linalg.det(matrix))) * len(structure)


def supercell_with_minimum_length(
    structure: Structure, minimum_length_A: float, maximum_atoms: int | None = None
) -> Structure:
    """Return the smallest nearly cubic supercell whose widths all reach a minimum.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal, ordered or not.
    minimum_length_A : float
        Smallest allowed distance between opposite faces, in ångström.
    maximum_atoms : int, optional
        Refuse a larger supercell.

    Returns
    -------
    pymatgen.core.Structure
        The supercell; a copy when the crystal is large enough.

    Raises
    ------
    InputError
        If the minimum is not positive, or the supercell has too many atoms.
    """
    matrix = supercell_matrix(structure.lattice.matrix, minimum_length_A)
    n_atoms = round(abs(np.linalg.det(matrix))) * len(structure)
    if maximum_atoms is not None and n_atoms > maximum_atoms:
        raise InputError(
            f"a supercell of {structure.composition.reduced_formula} with widths of at least "
            f"{minimum_length_A} Å has {n_atoms} atoms, more than {maximum_atoms}; reduce the length or "
            "raise the limit"
        )
    return structure.make_supercell(matrix, in_place=False)


def _skew(lattice_vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest cosine between two vectors of each of many lattices, without its sign."""
    unit = lattice_vectors / np.linalg.norm(lattice_vectors, axis=2)[:, :, None]
    cosines = np.abs(unit @ unit.transpose(0, 2, 1) - np.eye(3))
    return np.asarray(cosines.max(axis=(1, 2)))


@lru_cache(maxsize=1)
def _blocks(largest: int) -> tuple[NDArray[np.int64], ...]:
    """Return every sublattice of index up to `largest` as a matrix in Hermite normal form."""
    blocks = []
    for index in range(1, largest + 1):
        for a in (n for n in range(1, index + 1) if index % n == 0):
            for d in (n for n in range(1, index // a + 1) if (index // a) % n == 0):
                f = index // (a * d)
                blocks += [
                    np.array([[a, b, c], [0, d, e], [0, 0, f]], dtype=np.int64)
                    for b in range(d)
                    for c in range(f)
                    for e in range(f)
                ]
    return tuple(blocks)


def _compact(lattice_vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return every block with short vectors, of positive orientation, as an array (n, 3, 3)."""
    from sse_screen.structures.lattice_reduction import reduce_lattices

    blocks = np.array(_blocks(_LARGEST_BLOCK))
    vectors = blocks @ lattice_vectors
    compact = reduce_lattices(vectors @ vectors.transpose(0, 2, 1)) @ blocks
    return np.where(np.linalg.det(compact)[:, None, None] < 0, -compact, compact)
