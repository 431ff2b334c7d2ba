"""The ASE calculator over an engine that gives site energies and derivatives by bond."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from sse_screen.exceptions import InputError
from sse_screen.potentials.chgnet_weights import CHGNetWeights
from sse_screen.potentials.evaluation import Evaluation, forces_and_virial
from sse_screen.potentials.graph import CrystalGraph, build_graph

N_ELEMENTS = 94


class Engine(Protocol):
    """What evaluates a graph."""

    weights: CHGNetWeights
    device: str

    def evaluate(self, graph: CrystalGraph) -> Evaluation:
        """Evaluate one graph."""


def graph_of(crystal: Atoms, engine: Engine) -> CrystalGraph:
    """Build the graph that an engine needs of a crystal.

    Parameters
    ----------
    crystal : Atoms
        The crystal.
    engine : Engine
        Its cutoffs count.

    Returns
    -------
    CrystalGraph
        The graph.

    Raises
    ------
    InputError
        An element that CHGNet does not know, or a crystal that cannot be (see :func:`build_graph`).
    """
    unknown = sorted(set(crystal.symbols[crystal.numbers > N_ELEMENTS]))
    if unknown:
        raise InputError(f"elements {', '.join(unknown)}: CHGNet knows hydrogen to plutonium only")
    return build_graph(
        crystal.numbers,
        crystal.positions,
        crystal.cell.array,
        crystal.pbc,
        cutoff_A=engine.weights.cutoff_A,
        short_cutoff_A=engine.weights.short_cutoff_A,
    )


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
        #: elements that the weights were trained on, where that is known; others are refused
        self.covered: frozenset[str] | None = None

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Tell what has changed since the last evaluation, charges and moments apart, which do not count.

        ASE's own comparison takes a fifth of a millisecond, twice a step of molecular dynamics.

        Parameters
        ----------
        atoms : Atoms
            The crystal as it is now.
        tol : float
            Ignored: any difference is a change.

        Returns
        -------
        list of str
            Of ``positions``, ``numbers``, ``cell`` and ``pbc``.
        """
        before: Atoms | None = self.atoms
        if before is None:
            return list(all_changes)
        pairs = {
            "positions": (before.positions, atoms.positions),
            "numbers": (before.numbers, atoms.numbers),
            "cell": (before.cell.array, atoms.cell.array),
            "pbc": (before.pbc, atoms.pbc),
        }
        return [name for name, (old, new) in pairs.items() if not np.array_equal(old, new)]

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
        if self.covered is not None and (missing := sorted(set(crystal.symbols) - self.covered)):
            covered = ", ".join(sorted(self.covered))
            raise InputError(f"the potential was not trained on {', '.join(missing)}; it covers {covered}")
        graph = graph_of(crystal, self.engine)
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
