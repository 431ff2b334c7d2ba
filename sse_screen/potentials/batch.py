"""Many crystals in one evaluation: their graphs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials.calculator import Engine
from sse_screen.potentials.evaluation import forces_and_virial
from sse_screen.potentials.graph import CrystalGraph


@dataclass(frozen=True)
class CrystalResult:
    """Energy (eV), forces (n_atoms, 3) in eV/Å, virial (3, 3) = dE/dstrain in eV, and magnetic moments."""

    energy_eV: float
    forces: NDArray
    virial: NDArray
    site_energies: NDArray
    magmoms: NDArray


def merge_graphs(graphs: Sequence[CrystalGraph]) -> tuple[CrystalGraph, list[NDArray]]:
    """Put graphs side by side as one.

    Parameters
    ----------
    graphs : sequence of CrystalGraph
        At least one.

    Returns
    -------
    tuple of CrystalGraph and list of NDArray
        The union, and the numbers that each graph's bonds have in it.
    """
    atom_offsets = np.cumsum([0] + [g.n_atoms for g in graphs])
    short_offsets = np.cumsum([0] + [g.n_short for g in graphs])
    long_offsets = short_offsets[-1] + np.cumsum([0] + [g.n_bonds - g.n_short for g in graphs])
    edge_offsets = 2 * short_offsets
    bond_numbers = [
        np.concatenate([np.arange(*short_offsets[k : k + 2]), np.arange(*long_offsets[k : k + 2])])
        for k in range(len(graphs))
    ]

    def joined(name: str, offsets: NDArray) -> NDArray:
        """Join indices of this name, shifted to their graph's place."""
        return np.concatenate([getattr(g, name) + o for g, o in zip(graphs, offsets, strict=False)])

    def by_bond(name: str) -> NDArray:
        """Join indices of bonds of this name."""
        return np.concatenate([n[getattr(g, name)] for g, n in zip(graphs, bond_numbers, strict=True)])

    order = np.concatenate(bond_numbers)
    bond_atoms, vectors = np.empty((len(order), 2), dtype=np.int64), np.empty((len(order), 3))
    bond_atoms[order] = joined("bond_atoms", atom_offsets)
    vectors[order] = np.concatenate([g.bond_vectors for g in graphs])
    union = CrystalGraph(
        atomic_numbers=np.concatenate([g.atomic_numbers for g in graphs]),
        bond_atoms=bond_atoms,
        bond_vectors=vectors,
        n_short=int(short_offsets[-1]),
        edge_bond=by_bond("edge_bond"),
        edge_neighbor=joined("edge_neighbor", atom_offsets),
        edge_center=joined("edge_center", atom_offsets),
        short_bond=by_bond("short_bond"),
        short_sign=np.concatenate([g.short_sign for g in graphs]),
        short_center=joined("short_center", atom_offsets),
        angle_first=joined("angle_first", edge_offsets),
        angle_second=joined("angle_second", edge_offsets),
    )
    return union, bond_numbers


def evaluate_together(engine: Engine, graphs: Sequence[CrystalGraph]) -> list[CrystalResult]:
    """Evaluate several crystals in one pass.

    Parameters
    ----------
    engine : Engine
        From :func:`sse_screen.potentials.load_engine`.
    graphs : sequence of CrystalGraph
        At least one.

    Returns
    -------
    list of CrystalResult
        In the same order.
    """
    union, bond_numbers = merge_graphs(graphs)
    evaluation = engine.evaluate(union)
    results, start = [], 0
    for graph, numbers in zip(graphs, bond_numbers, strict=True):
        forces, virial = forces_and_virial(graph, evaluation.bond_gradient[numbers])
        stop = start + graph.n_atoms
        site_energies = evaluation.site_energies[start:stop]
        energy = float(site_energies.sum())
        results.append(CrystalResult(energy, forces, virial, site_energies, evaluation.magmoms[start:stop]))
        start = stop
    return results
