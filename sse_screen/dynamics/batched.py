"""Relaxation and molecular dynamics of many small crystals at once.

Every crystal goes its own way, with the steps of :func:`relax_structure` and :func:`run_molecular_dynamics`;
only the evaluations of the potential are made together. A crystal that is done makes room for the next at
once, so that the batch stays full until the list ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.optimize import FIRE
from ase.stress import full_3x3_to_voigt_6_stress

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.molecular_dynamics import DynamicsError
from sse_screen.dynamics.relaxation import RelaxationResult
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError, SseScreenError
from sse_screen.potentials.batch import CrystalResult, evaluate_together
from sse_screen.potentials.calculator import Engine, graph_of

ATOMS_TOGETHER_ON_CPU = 64
ATOMS_TOGETHER_ON_GPU = 8192

Task = Generator[Atoms, CrystalResult, Any]
OnFinished = Callable[[int, Any], None]


@dataclass(frozen=True)
class BatchedRun:
    """A trajectory, equilibration included, with its share of the time in the potential and in all."""

    trajectory: Trajectory
    potential_time_s: float
    total_time_s: float


class _Supplied(Calculator):
    """Holds what the batch gave for the present positions, for ASE's optimisers to ask for."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]  # type: ignore[misc]

    def supply(self, atoms: Atoms, result: CrystalResult) -> None:
        """Take over the batch's result for these positions."""
        self.atoms = atoms.copy()
        self.results = {"energy": result.energy_eV, "forces": result.forces}
        if atoms.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(result.virial / atoms.get_volume())


def relax_together(
    structures: Sequence[Atoms],
    engine: Engine,
    protocol: RelaxationProtocol,
    *,
    atoms_together: int | None = None,
    on_finished: OnFinished | None = None,
) -> list[RelaxationResult | SseScreenError]:
    """Relax many crystals.

    Parameters
    ----------
    structures : sequence of Atoms
        Starting structures; not changed.
    engine : Engine
        From :func:`sse_screen.potentials.load_engine`.
    protocol : RelaxationProtocol
        Force limit, steps, whether cells relax.
    atoms_together : int, optional
        Atoms to evaluate at once; by default what suits the engine's device.
    on_finished : callable, optional
        Called with the number of a structure and its result as soon as it is done.

    Returns
    -------
    list
        In the order of the structures: the relaxed crystal, or the error that ended it. The time in the
        potential is a crystal's share by atoms.
    """
    tasks = (_relaxation(atoms.copy(), protocol) for atoms in structures)
    return _run(tasks, [len(a) for a in structures], engine, atoms_together, on_finished)


def run_dynamics_together(
    structures: Sequence[Atoms],
    engine: Engine,
    protocol: MolecularDynamicsProtocol,
    temperature_K: float,
    seeds: Sequence[int],
    *,
    atoms_together: int | None = None,
    on_finished: OnFinished | None = None,
) -> list[BatchedRun | SseScreenError]:
    """Run molecular dynamics of many crystals.

    Parameters
    ----------
    structures : sequence of Atoms
        Starting structures; not changed.
    engine : Engine
        From :func:`sse_screen.potentials.load_engine`.
    protocol : MolecularDynamicsProtocol
        Of the nvt or nve ensemble.
    temperature_K : float
        Target temperature.
    seeds : sequence of int
        Seed of velocities and thermostat, one a structure.
    atoms_together, on_finished
        As in :func:`relax_together`.

    Returns
    -------
    list
        In the order of the structures: a :class:`BatchedRun`, or the error that ended it.

    Raises
    ------
    InputError
        The npt ensemble, or not one seed a structure.
    """
    if protocol.ensemble == "npt":
        raise InputError("ensemble 'npt': batches run nvt or nve; use run_molecular_dynamics for npt")
    if len(seeds) != len(structures):
        raise InputError(f"seeds: {len(seeds)} for {len(structures)} structures; give one for each")
    tasks = (
        _dynamics(atoms.copy(), protocol, temperature_K, seed)
        for atoms, seed in zip(structures, seeds, strict=True)
    )
    return _run(tasks, [len(a) for a in structures], engine, atoms_together, on_finished)


def _run(
    tasks: Iterable[Task],
    sizes: Sequence[int],
    engine: Engine,
    atoms_together: int | None,
    on_finished: OnFinished | None,
) -> list[Any]:
    """Advance tasks side by side, as many as fit, until all are done."""
    room = atoms_together or (ATOMS_TOGETHER_ON_CPU if engine.device == "cpu" else ATOMS_TOGETHER_ON_GPU)
    results: list[Any] = [None] * len(sizes)
    waiting = zip(range(len(sizes)), tasks, strict=True)
    active: dict[int, _Active] = {}

    def advance(number: int, one: _Active, answer: CrystalResult | SseScreenError | None) -> None:
        """Give a task its answer; put its result away when it ends with it."""
        try:
            one.advance(answer)
            active[number] = one
        except (StopIteration, SseScreenError) as end:
            active.pop(number, None)
            results[number] = one.result(end)
            if on_finished is not None:
                on_finished(number, results[number])

    while True:
        while not active or sum(sizes[number] for number in active) < room:
            number, task = next(waiting, (None, None))
            if number is None or task is None:
                break
            advance(number, _Active(task), None)
        if not active:
            return results
        started = time.perf_counter()
        answers = _answers({number: one.atoms for number, one in active.items()}, engine)
        seconds_an_atom = (time.perf_counter() - started) / sum(sizes[number] for number in active)
        for number, answer in answers.items():
            active[number].potential_time_s += seconds_an_atom * sizes[number]
            advance(number, active[number], answer)


class _Active:
    """A task under way, what it asks for and what it has cost."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.own_time_s = self.potential_time_s = 0.0

    def advance(self, answer: CrystalResult | SseScreenError | None) -> None:
        """Go on to the next question; the task's end comes out as an exception."""
        started = time.perf_counter()
        try:
            if isinstance(answer, SseScreenError):
                self.atoms = self.task.throw(answer)
            else:
                self.atoms = next(self.task) if answer is None else self.task.send(answer)
        finally:
            self.own_time_s += time.perf_counter() - started

    def result(self, end: StopIteration | SseScreenError) -> Any:
        """What the task ended with."""
        if not isinstance(end, StopIteration):
            return end
        total = self.potential_time_s + self.own_time_s
        if isinstance(end.value, Trajectory):
            return BatchedRun(end.value, self.potential_time_s, total)
        return replace(end.value, potential_time_s=self.potential_time_s, total_time_s=total)


def _answers(crystals: dict[int, Atoms], engine: Engine) -> dict[int, CrystalResult | SseScreenError]:
    """Evaluate what the active tasks ask for; a crystal that cannot be gets its error."""
    answers: dict[int, CrystalResult | SseScreenError] = {}
    graphs = {}
    for number, atoms in crystals.items():
        try:
            graphs[number] = graph_of(atoms, engine)
        except InputError as error:
            answers[number] = error
    if graphs:
        answers |= zip(graphs, evaluate_together(engine, list(graphs.values())), strict=True)
    return answers


def _relaxation(atoms: Atoms, protocol: RelaxationProtocol) -> Task:
    """The steps of :func:`sse_screen.dynamics.relaxation.relax_structure`, asking for each evaluation."""
    calculator = _Supplied()  # type: ignore[no-untyped-call]
    atoms.calc = calculator
    optimizer = FIRE(FrechetCellFilter(atoms) if protocol.relax_cell else atoms, logfile=None)
    optimizer.fmax = protocol.maximum_force_eV_per_A
    while True:
        result = yield atoms
        largest = float(np.linalg.norm(result.forces, axis=1).max())
        if not np.isfinite(result.energy_eV + largest):
            raise DynamicsError(
                f"relaxing {atoms.get_chemical_formula()} gave energy {result.energy_eV} eV and force "
                f"{largest} eV/Å; check the starting structure for atoms on top of each other"
            )
        calculator.supply(atoms, result)
        converged = bool(optimizer.converged())
        if converged or optimizer.nsteps >= protocol.maximum_steps:
            atoms.calc = None
            return RelaxationResult(atoms, result.energy_eV, largest, converged, optimizer.nsteps, 0.0, 0.0)
        optimizer.step()
        optimizer.nsteps += 1


def _thermalise(atoms: Atoms, temperature_K: float, rng: np.random.Generator) -> int:
    """Draw momenta of exactly the temperature, centre of mass at rest; give the degrees of freedom."""
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=rng)
    Stationary(atoms)
    degrees = max(3 * len(atoms) - 3, 1)
    present = 2 * atoms.get_kinetic_energy() / (degrees * units.kB)
    atoms.set_momenta(atoms.get_momenta() * np.sqrt(temperature_K / max(present, 1e-9)))
    return degrees


def _dynamics(atoms: Atoms, protocol: MolecularDynamicsProtocol, temperature_K: float, seed: int) -> Task:
    """Velocity Verlet with velocity rescaling (Bussi et al., J. Chem. Phys. 126, 014101 (2007))."""
    if len(atoms) < 2:
        raise InputError(
            f"{atoms.get_chemical_formula()}: one atom alone in its cell does not move; use a supercell"
        )
    rng = np.random.default_rng(seed)
    degrees = _thermalise(atoms, temperature_K, rng)
    dt, masses = protocol.time_step_fs * units.fs, atoms.get_masses()[:, None]
    thermostat = Bussi(
        atoms, dt, temperature_K=temperature_K, taut=protocol.thermostat_time_fs * units.fs, rng=rng
    )
    thermostat.ndof = max(degrees, 2)
    thermostat.target_kinetic_energy = 0.5 * thermostat.temp * thermostat.ndof
    result = yield atoms
    records = []
    for frame in range(1, protocol.n_equilibration_frames + protocol.n_frames + 1):
        thermostatted = protocol.ensemble == "nvt" or frame <= protocol.n_equilibration_frames
        for _ in repeat(None, protocol.stride):
            if thermostatted:
                thermostat.scale_velocities()
            momenta = atoms.get_momenta() + 0.5 * dt * result.forces
            atoms.positions += dt * momenta / masses
            result = yield atoms
            atoms.set_momenta(momenta + 0.5 * dt * result.forces)
        temperature = float(2 * atoms.get_kinetic_energy() / (degrees * units.kB))
        if not np.isfinite(result.energy_eV) or temperature > 6 * temperature_K:
            raise DynamicsError(
                f"the run of {atoms.get_chemical_formula()} exploded at "
                f"{frame * protocol.frame_interval_fs / 1000:g} ps: energy {result.energy_eV} eV, "
                f"{temperature:.0f} K for {temperature_K:g} K asked; try a shorter time_step_fs"
            )
        records.append(
            (atoms.get_positions(), atoms.get_velocities() * units.fs, temperature, result.energy_eV)
        )
    positions, velocities, temperatures, energies = (
        np.array(column) for column in zip(*records, strict=True)
    )
    return Trajectory(
        positions=positions,
        cells=np.repeat(atoms.cell.array[None], len(records), axis=0),
        species=tuple(atoms.get_chemical_symbols()),
        times_ps=np.arange(1, len(records) + 1) * protocol.frame_interval_fs / 1000,
        unwrapped=True,
        velocities=velocities if protocol.store_velocities else None,
        temperatures_K=temperatures,
        potential_energies_eV=energies,
    )
