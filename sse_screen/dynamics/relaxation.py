"""Relaxation of a structure, on ASE's optimiser and cell filter.

atomate2's ``AseRelaxer`` does the same but keeps every step's structure in memory and writes files into the
current folder, which a batch of many small cells cannot afford.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.molecular_dynamics import DynamicsError, TimedCalculator
from sse_screen.dynamics.segmented_run import Progress


@dataclass(frozen=True)
class RelaxationResult:
    """A relaxed structure with its energy (eV a cell), largest force (eV/Å), steps and times (s)."""

    atoms: Atoms
    energy_eV: float
    maximum_force_eV_per_A: float
    converged: bool
    n_steps: int
    potential_time_s: float
    total_time_s: float


def relax_structure(
    atoms: Atoms,
    calculator: Calculator,
    protocol: RelaxationProtocol,
    progress: Progress | None = None,
) -> RelaxationResult:
    """Relax positions, and the cell where the protocol says so.

    Parameters
    ----------
    atoms : ase.Atoms
        Starting structure; not changed.
    calculator : ase calculator
        Gives energy, forces and (cell relaxed) stress.
    protocol : RelaxationProtocol
        Force limit, steps, whether the cell relaxes.
    progress : callable, optional
        Called with (steps done, most steps) after each step.

    Returns
    -------
    RelaxationResult
        Relaxed structure without a calculator.

    Raises
    ------
    DynamicsError
        When energy or forces become non-finite.
    """
    started = time.perf_counter()
    atoms = atoms.copy()
    timer = TimedCalculator(calculator)
    atoms.calc = calculator
    optimizer = FIRE(FrechetCellFilter(atoms) if protocol.relax_cell else atoms, logfile=None)
    if progress is not None:
        optimizer.attach(lambda: progress(int(optimizer.nsteps), protocol.maximum_steps))
    converged = bool(optimizer.run(fmax=protocol.maximum_force_eV_per_A, steps=protocol.maximum_steps))
    energy = float(atoms.get_potential_energy())
    maximum_force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not np.isfinite(energy + maximum_force):
        raise DynamicsError(
            f"relaxing {atoms.get_chemical_formula()} gave energy {energy} eV and force {maximum_force} "
            "eV/Å; check the starting structure for atoms on top of each other"
        )
    atoms.calc = None
    return RelaxationResult(
        atoms=atoms,
        energy_eV=energy,
        maximum_force_eV_per_A=maximum_force,
        converged=converged,
        n_steps=int(optimizer.nsteps),
        potential_time_s=timer.seconds,
        total_time_s=time.perf_counter() - started,
    )
