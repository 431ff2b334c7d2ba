"""Gates: what a potential has to show before its numbers are believed.

Each function judges one thing with an ASE calculator and says what it measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.potential_gates import GateProtocol, GateResult
from sse_screen.dynamics.molecular_dynamics import DynamicsError, run_molecular_dynamics
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials.classical_calculator import ClassicalCalculator
from sse_screen.training.atom_reference import fit_reference_shift
from sse_screen.training.cleaning import minimum_distance_A
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import Predictions, predict_with

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

FloatArray = NDArray[np.float64]
LARGEST_DIMER_A = 6.5
_DIMER_BOX_A = 30.0
_DRIFT_FRAME_fs = 10.0
_EQUILIBRATION_ps = 0.5


def dimer_curve(
    calculator: Calculator, pair: tuple[str, str], distances_A: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give the energy of two atoms alone over their distance.

    Parameters
    ----------
    calculator : ase calculator
        The potential; of a classical one with charges, the part beside the charges is looked at.
    pair : tuple of str
        The two elements.
    distances_A : NDArray
        (n,), Å.

    Returns
    -------
    energies_eV, forces_eV_per_A : NDArray
        (n,) each; the force on the second atom, away from the first where it is positive.
    """
    energies, forces = [], []
    box: dict[str, Any] = {}
    if isinstance(calculator, ClassicalCalculator):
        # LAMMPS wants a periodic, neutral cell; charges repel or attract smoothly in any potential
        calculator = ClassicalCalculator(calculator.potential.without_charges)
        box = {"cell": [_DIMER_BOX_A] * 3, "pbc": True}
    for distance in distances_A:
        atoms = Atoms(pair, positions=[[0, 0, 0], [distance, 0, 0]], **box)
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        forces.append(float(atoms.get_forces()[1, 0]))
    return np.array(energies), np.array(forces)


def check_dimers(calculator: Calculator, elements: Sequence[str], protocol: GateProtocol) -> GateResult:
    """Judge whether dimer curves of all pairs are finite and smooth.

    Smooth means that each step in energy is the integral of the force over it (trapezoid): a jump, a spike or
    a force that is not the derivative of the energy breaks it.

    Parameters
    ----------
    calculator : ase calculator
        The potential.
    elements : sequence of str
        Elements covered.
    protocol : GateProtocol
        Step, range and limit.

    Returns
    -------
    GateResult
        Its value is the largest jump (eV) of any pair.
    """
    step = protocol.dimer_step_A
    distances = np.arange(protocol.shortest_distance_A, LARGEST_DIMER_A, step)
    worst, where, infinite = 0.0, "", []
    for pair in combinations_with_replacement(sorted(elements), 2):
        energies, forces = dimer_curve(calculator, pair, distances)
        if not (np.isfinite(energies).all() and np.isfinite(forces).all()):
            infinite.append("-".join(pair))
            continue
        radii = sum(covalent_radii[atomic_numbers[element]] for element in pair)
        smooth = distances[:-1] >= protocol.smooth_from * radii
        jumps = np.where(smooth, np.abs(np.diff(energies) + step * (forces[1:] + forces[:-1]) / 2), 0.0)
        if jumps.max() >= worst:
            worst, where = float(jumps.max()), f"{'-'.join(pair)} at {distances[jumps.argmax()]:.2f} Å"
    detail = f"largest jump {worst:.3g} eV, {where}"
    if infinite:
        detail = f"energies or forces are not finite for {', '.join(infinite)}"
    return GateResult(
        gate="dimers",
        passed=not infinite and worst <= protocol.largest_dimer_jump_eV,
        value=None if infinite else worst,
        limit=protocol.largest_dimer_jump_eV,
        unit="eV",
        detail=detail,
    )


def check_hot_dynamics(
    calculator: Calculator, crystals: dict[str, Atoms], protocol: GateProtocol, folder: Path
) -> GateResult:
    """Judge whether atoms keep their distance in hot molecular dynamics.

    Parameters
    ----------
    calculator : ase calculator
        The potential.
    crystals : dict
        Starting cells by name.
    protocol : GateProtocol
        Temperature, time and shortest distance.
    folder : Path
        Holds the runs.

    Returns
    -------
    GateResult
        Its value is the shortest distance (Å) of any run; it must not fall below the limit.
    """
    shortest, where = np.inf, ""
    for name, crystal in crystals.items():
        try:
            run = _run(crystal, calculator, protocol, "nvt", folder / name)
        except DynamicsError as error:
            return _broken("hot_dynamics", f"{name}: {error}", protocol.shortest_distance_A, "angstrom")
        frames = zip(run.positions, run.cells, strict=True)
        found = min(minimum_distance_A(cell, positions) for positions, cell in frames)
        if found < shortest:
            shortest, where = found, name
    return GateResult(
        gate="hot_dynamics",
        passed=bool(shortest >= protocol.shortest_distance_A),
        value=float(shortest),
        limit=protocol.shortest_distance_A,
        unit="angstrom",
        detail=f"{where}: closest atoms in {protocol.hot_time_ps:g} ps at {protocol.hot_temperature_K:g} K",
    )


def check_energy_drift(
    calculator: Calculator, crystals: dict[str, Atoms], protocol: GateProtocol, folder: Path
) -> GateResult:
    """Judge whether molecular dynamics at constant energy keeps its energy.

    Parameters
    ----------
    calculator : ase calculator
        The potential.
    crystals : dict
        Starting cells by name.
    protocol : GateProtocol
        Temperature, time and limit.
    folder : Path
        Holds the runs.

    Returns
    -------
    GateResult
        Its value is the largest slope of the total energy (eV/atom/ps) by a straight line.
    """
    worst, where = 0.0, ""
    for name, crystal in crystals.items():
        try:
            run = _run(crystal, calculator, protocol, "nve", folder / name)
        except DynamicsError as error:
            limit = protocol.largest_drift_eV_per_atom_ps
            return _broken("energy_drift", f"{name}: {error}", limit, "eV/atom/ps")
        drift = abs(total_energy_slope(run))
        if drift >= worst:
            worst, where = drift, name
    return GateResult(
        gate="energy_drift",
        passed=worst <= protocol.largest_drift_eV_per_atom_ps,
        value=worst,
        limit=protocol.largest_drift_eV_per_atom_ps,
        unit="eV/atom/ps",
        detail=f"{where}: {protocol.drift_time_ps:g} ps from {protocol.drift_temperature_K:g} K on",
    )


def check_forgetting(
    calculator: Calculator, reference: Sequence[LabelledStructure], protocol: GateProtocol
) -> GateResult:
    """Judge whether a potential still knows what its parent knew.

    Parameters
    ----------
    calculator : ase calculator
        The potential.
    reference : sequence of LabelledStructure
        Labelled by the parent; empty for a potential without one.
    protocol : GateProtocol
        The limit.

    Returns
    -------
    GateResult
        Its value is the RMSE of forces against the parent's over the root mean square of these.
    """
    limit = protocol.largest_forgetting
    if not reference:
        return GateResult(
            gate="forgetting", passed=True, value=None, limit=limit, unit="1", detail="it has no parent"
        )
    found = np.concatenate(predict_with(calculator, reference).forces_eV_per_A)
    labels = np.concatenate([structure.forces_eV_per_A for structure in reference])
    value = float(np.sqrt(np.mean((found - labels) ** 2) / np.mean(labels**2)))
    return GateResult(
        gate="forgetting",
        passed=bool(np.isfinite(value) and value <= limit),
        value=value if np.isfinite(value) else None,
        limit=limit,
        unit="1",
        detail=f"forces on {len(reference)} reference structures of the parent",
    )


def check_composition_shift(
    structures: Sequence[LabelledStructure], predicted: Predictions, protocol: GateProtocol
) -> GateResult:
    """Judge whether energies are off by something that is linear in the composition.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Labelled structures that were not learnt from.
    predicted : Predictions
        Of the same.
    protocol : GateProtocol
        The limit.

    Returns
    -------
    GateResult
        Its value is the root mean square (eV/atom) of what shifts of the elements' energies would remove.
    """
    limit = protocol.largest_shift_eV_per_atom
    if not structures:
        detail = "no labelled structures to compare with"
        return _broken("composition_shift", detail, limit, "eV/atom")
    shift = fit_reference_shift(structures, predicted.energies_eV_per_atom)
    named = ", ".join(f"{element} {value:+.4f} eV" for element, value in shift.shift_eV.items())
    return GateResult(
        gate="composition_shift",
        passed=shift.explained_eV_per_atom <= limit,
        value=shift.explained_eV_per_atom,
        limit=limit,
        unit="eV/atom",
        detail=f"missing in the energies of the elements, on {len(structures)} structures: {named}",
    )


def total_energy_slope(run: Trajectory) -> float:
    """Fit a straight line to the total energy of a run.

    Parameters
    ----------
    run : Trajectory
        With temperatures (3N − 3 degrees of freedom) and potential energies.

    Returns
    -------
    float
        eV/atom/ps.
    """
    assert run.temperatures_K is not None
    assert run.potential_energies_eV is not None
    n_atoms = len(run.species)
    kinetic = 0.5 * (3 * n_atoms - 3) * units.kB * run.temperatures_K
    total = (run.potential_energies_eV + kinetic) / n_atoms
    return float(np.polyfit(run.times_ps, total, 1)[0])


def _run(
    crystal: Atoms,
    calculator: Calculator,
    gates: GateProtocol,
    ensemble: str,
    folder: Path,
) -> Trajectory:
    """Run molecular dynamics and give its production part."""
    hot = ensemble == "nvt"
    temperature_K = gates.hot_temperature_K if hot else gates.drift_temperature_K
    protocol = MolecularDynamicsProtocol.model_validate(
        {
            "ensemble": ensemble,
            "time_step_fs": gates.time_step_fs,
            "equilibration_ps": 0.0 if hot else _EQUILIBRATION_ps,
            "production_ps": gates.hot_time_ps if hot else gates.drift_time_ps,
            # atoms that come too close do so within a few steps, and part again
            "frame_interval_fs": gates.time_step_fs if hot else _DRIFT_FRAME_fs,
        }
    )
    result = run_molecular_dynamics(
        crystal, calculator, protocol, temperature_K, gates.seed, folder / ensemble
    )
    return read_trajectory_file(result.trajectory_file.read_bytes(), protocol.n_equilibration_frames)


def _broken(gate: str, detail: str, limit: float, unit: str) -> GateResult:
    return GateResult.model_validate(
        {"gate": gate, "passed": False, "value": None, "limit": limit, "unit": unit, "detail": detail}
    )
