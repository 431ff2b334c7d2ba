"""Electrostatic pair energies of point charges in a periodic cell (Ewald summation)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.constants import elementary_charge, epsilon_0
from scipy.special import erfc

COULOMB_eV_A = elementary_charge / (4 * np.pi * epsilon_0) * 1e10
"""e²/(4 π ε0) in eV Å."""

_CUTOFF_IN_WIDTHS = 6.0


def ewald_matrix(
    lattice_vectors: NDArray[np.float64], fractional_coordinates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the matrix φ of pair energies of unit charges, so that E = ½ q φ qᵀ.

    The sum of Ewald (Ann. Phys. 369, 253 (1921)) with a neutralising background and conducting boundary; the
    diagonal holds the interaction of a charge with its own images. Only energies of neutral cells, and
    differences at a constant total charge, have a meaning.

    Parameters
    ----------
    lattice_vectors : ndarray of shape (3, 3)
        Rows are the lattice vectors in ångström.
    fractional_coordinates : ndarray of shape (n, 3)
        Positions of the n sites.

    Returns
    -------
    ndarray of shape (n, n)
        Pair energies in eV for charges in units of e, symmetric.
    """
    volume = abs(float(np.linalg.det(lattice_vectors)))
    n_sites = len(fractional_coordinates)
    # Balances the two sums: both then reach about as far in units of their own cell.
    eta = np.sqrt(np.pi) * (n_sites / volume**2) ** (1 / 6)
    real = _real_space(lattice_vectors, fractional_coordinates, eta)
    reciprocal = _reciprocal_space(lattice_vectors, fractional_coordinates, eta, volume)
    background = np.pi / (eta**2 * volume)
    matrix = real + reciprocal - background
    matrix[np.diag_indices(n_sites)] -= 2 * eta / np.sqrt(np.pi)
    return COULOMB_eV_A * matrix


def _grid(vectors: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Return all integer triples whose lattice points can lie within `radius` of a point of the cell."""
    widths = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    reach = np.ceil(radius / widths).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _real_space(
    lattice: NDArray[np.float64], fractional: NDArray[np.float64], eta: float
) -> NDArray[np.float64]:
    radius = _CUTOFF_IN_WIDTHS / eta
    difference = fractional[:, None, :] - fractional[None, :, :]
    difference -= np.round(difference)
    cartesian = difference @ lattice
    total = np.zeros(cartesian.shape[:2])
    for shift in _grid(lattice, radius) @ lattice:
        distance = np.linalg.norm(cartesian + shift, axis=2)
        near = (distance < radius) & (distance > 1e-8)
        total[near] += erfc(eta * distance[near]) / distance[near]
    return total


def _reciprocal_space(
    lattice: NDArray[np.float64], fractional: NDArray[np.float64], eta: float, volume: float
) -> NDArray[np.float64]:
    reciprocal = (2 * np.pi * np.linalg.inv(lattice).T).astype(np.float64)
    radius = 2 * _CUTOFF_IN_WIDTHS * eta
    indices = _grid(reciprocal, radius)
    squared = ((indices @ reciprocal) ** 2).sum(axis=1)
    keep = (squared > 1e-12) & (squared < radius**2)
    weights = 4 * np.pi / volume * np.exp(-squared[keep] / (4 * eta**2)) / squared[keep]
    phase = 2 * np.pi * fractional @ indices[keep].T
    cosine, sine = np.cos(phase), np.sin(phase)
    return (cosine * weights) @ cosine.T + (sine * weights) @ sine.T
