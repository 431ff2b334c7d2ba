"""What an engine gives for a graph."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray


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
