"""Whether the framework of a crystal still stands: the two ways in which a hot run becomes worthless.

Positions are averaged over a segment (a picosecond or more), which removes vibrations; what is left is where
the atoms are. Thresholds are wide on purpose: a run that is stopped wrongly is worse than one that runs on,
whose diffusivity the analysis refuses anyway.
"""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sse_screen.dynamics.trajectory import Trajectory

FloatArray = NDArray[np.float64]

MELTED_SHARE_OF_NEIGHBOUR_DISTANCE = 0.5
DECOMPOSED_SHARE_OF_BONDS = 0.1
_BOND_TOLERANCE = 1.15
_BROKEN_STRETCH = 1.5


def framework_failure(reference: Trajectory, window: Trajectory, mobile_species: str) -> str | None:
    """Tell whether the framework has melted or decomposed between two parts of a run.

    Melted: in every framework species half the atoms have moved by more than half the distance between
    neighbouring framework atoms (ligands that rotate about centres that stay are no melt). Decomposed: more
    than a tenth of the bonds between framework atoms (up to 1.15 times the sum of their covalent radii) are
    half as long again as they were.

    Parameters
    ----------
    reference : Trajectory
        An early part of the production, unwrapped.
    window : Trajectory
        The latest part, of the same atoms.
    mobile_species : str
        Mobile element; all others are the framework.

    Returns
    -------
    str or None
        The reason to stop the run; None when the framework stands or has fewer than two atoms.
    """
    species = np.array(reference.species)
    framework = np.flatnonzero(species != mobile_species)
    if len(framework) < 2:
        return None
    before, after = (part.positions[:, framework].mean(axis=0) for part in (reference, window))
    cell = np.asarray(reference.cells[0], dtype=float)
    symbols = species[framework]
    first, second, vectors = _neighbours(before, cell)
    if not len(first):
        return None
    lengths = np.linalg.norm(vectors, axis=1)
    reason = _melted(after - before, symbols, _nearest(first, lengths, len(framework)))
    if reason is None:
        bonded = lengths < _BOND_TOLERANCE * _bond_lengths(symbols[first], symbols[second])
        moved = after - before
        stretched = np.linalg.norm(vectors + moved[second] - moved[first], axis=1) / lengths
        reason = _decomposed(symbols[first][bonded], symbols[second][bonded], stretched[bonded])
    if reason is None:
        return None
    return f"{reason} by {float(window.times_ps[-1]):g} ps"


def _melted(moved: FloatArray, symbols: NDArray[np.str_], nearest_A: FloatArray) -> str | None:
    drift = moved.mean(axis=0)
    shares = np.linalg.norm(moved - drift, axis=1) / nearest_A
    medians = {str(symbol): float(np.median(shares[symbols == symbol])) for symbol in np.unique(symbols)}
    if min(medians.values()) <= MELTED_SHARE_OF_NEIGHBOUR_DISTANCE:
        return None
    listed = ", ".join(f"{symbol} {share:.2f}" for symbol, share in medians.items())
    return f"melted: framework atoms have moved by {listed} of their neighbour distance"


def _decomposed(first: NDArray[np.str_], second: NDArray[np.str_], stretched: FloatArray) -> str | None:
    if not len(stretched):
        return None
    broken = stretched > _BROKEN_STRETCH
    share = float(broken.mean())
    if share <= DECOMPOSED_SHARE_OF_BONDS:
        return None
    kinds = sorted({"-".join(sorted(pair)) for pair in zip(first[broken], second[broken], strict=True)})
    return f"decomposed: {share:.0%} of the framework's bonds are broken ({', '.join(kinds)})"


def _bond_lengths(first: NDArray[np.str_], second: NDArray[np.str_]) -> FloatArray:
    radii = {symbol: covalent_radii[atomic_numbers[symbol]] for symbol in {*first, *second}}
    return np.array([radii[a] + radii[b] for a, b in zip(first, second, strict=True)])


def _neighbours(positions: FloatArray, cell: FloatArray) -> tuple[NDArray, NDArray, FloatArray]:
    """Give pairs of near atoms (n_pairs,) and the vectors between them (n_pairs, 3), images included."""
    shifts = np.array(list(np.ndindex(3, 3, 3)), dtype=float) - 1
    wrapped = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    images = (wrapped[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
    tree = cKDTree(images)
    n_atoms = len(positions)
    distances, indices = tree.query(wrapped, k=min(13, len(images)))
    first = np.repeat(np.arange(n_atoms), distances.shape[1] - 1)
    found = indices[:, 1:].ravel()
    return first, found % n_atoms, images[found] - wrapped[first]


def _nearest(first: NDArray, lengths: FloatArray, n_atoms: int) -> FloatArray:
    nearest = np.full(n_atoms, np.inf)
    np.minimum.at(nearest, first, lengths)
    return nearest
