"""The ASE calculator over an engine that gives site energies and derivatives by bond."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.potentials.chgnet_weights import CHGNetWeights
from sse_screen.potentials.evaluation import Evaluation
from sse_screen.potentials.graph import CrystalGraph, build_graph

N_ELEMENTS = 94


class Engine(Protocol):
    """What evaluates a graph."""

    weights: CHGNetWeights

    def evaluate(self, graph: CrystalGraph) -> Evaluation:
        """Evaluate one graph."""


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


class FastCHGNetCalculator(Calculator):
    """Energy, forces, stress, site energies and magnetic moments by the fast CHGNet.

    Parameters
    ----------
    engine : Engine
        What evaluates a graph.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "magmoms",
    ]

    def __init__(self, engine: Engine, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.engine = engine

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results`` with all implemented properties.

        Parameters
        ----------
        atoms : Atoms
            The crystal.
        properties : list of str
            Ignored: everything comes from one evaluation.
        system_changes : list of str
            As in ASE.
        """
        super().calculate(atoms, properties or ["energy"], system_changes)  # type: ignore[no-untyped-call]
        crystal: Atoms = self.atoms  # type: ignore[assignment]
        weights = self.engine.weights
        unknown = sorted(set(crystal.symbols[crystal.numbers > N_ELEMENTS]))
        if unknown:
            raise InputError(f"elements {', '.join(unknown)}: CHGNet knows hydrogen to plutonium only")
        graph = build_graph(
            crystal.numbers,
            crystal.positions,
            crystal.cell.array,
            crystal.pbc,
            cutoff_A=weights.cutoff_A,
            short_cutoff_A=weights.short_cutoff_A,
        )
        evaluation = self.engine.evaluate(graph)
        forces, virial = forces_and_virial(graph, evaluation.bond_gradient)
        energy = float(evaluation.site_energies.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": evaluation.site_energies,
            "forces": forces,
            "magmoms": evaluation.magmoms,
        }
        if crystal.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / crystal.get_volume())
