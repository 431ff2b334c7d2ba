"""What an engine gives for a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials.graph import CrystalGraph


@dataclass(frozen=True)
class Evaluation:
    """What a potential gives for one graph.

    Attributes
    ----------
    site_energies : NDArray
        (n_atoms,) float64, eV.
    bond_gradient : NDArray
        (n_bonds, 3) float64, derivative of the energy by each bond vector, eV/Å.
    magmoms : NDArray
        (n_atoms,) float64, Bohr magnetons.
    """

    site_energies: NDArray
    bond_gradient: NDArray
    magmoms: NDArray


def forces_and_virial(graph: CrystalGraph, gradient: NDArray) -> tuple[NDArray, NDArray]:
    """Turn derivatives by bond vectors into forces and the virial.

    With bond vectors d = r_i - r_j, F_i = -sum dE/dd, F_j = +sum dE/dd, and dE/dstrain = sum d (x) dE/dd.

    Parameters
    ----------
    graph : CrystalGraph
        One crystal.
    gradient : NDArray
        (n_bonds, 3), eV/Å.

    Returns
    -------
    tuple of NDArray
        Forces (n_atoms, 3), eV/Å; derivative of the energy by the strain (3, 3), eV.
    """
    forces = np.empty((graph.n_atoms, 3))
    for axis in range(3):
        forces[:, axis] = np.bincount(graph.bond_atoms[:, 1], gradient[:, axis], graph.n_atoms)
        forces[:, axis] -= np.bincount(graph.bond_atoms[:, 0], gradient[:, axis], graph.n_atoms)
    virial = graph.bond_vectors.T @ gradient
    return forces, (virial + virial.T) / 2
