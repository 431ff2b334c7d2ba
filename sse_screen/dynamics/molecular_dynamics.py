"""Molecular dynamics in segments with checkpoints, on ASE's integrators or in LAMMPS.

A run lives in a folder of its own. Each finished segment is a file there, written whole or not at all; the
checkpoint holds all that the next step needs (positions, momenta, cell, thermostat, random state), so that a
killed run goes on at its last segment with the same numbers as an unbroken one.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.bussi import Bussi
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.checkpoint import pack_checkpoint, unpack_checkpoint
from sse_screen.dynamics.equilibration import Equilibration, equilibrate_together
from sse_screen.dynamics.segmented_run import (
    CHECKPOINT,
    EARLIER,
    DynamicsError,
    Monitor,
    Pause,
    Progress,
    RunPausedError,
    SegmentedRun,
    Watch,
    write_durably,
)
from sse_screen.dynamics.trajectory_file import read_scalars, write_trajectory_file
from sse_screen.exceptions import InfrastructureError

__all__ = ["DynamicsError", "RunPausedError", "SegmentedRun", "write_durably"]


class FolderBusyError(InfrastructureError):
    """Another process is running in the folder."""


class TimedCalculator:
    """Count the seconds that a calculator spends computing; everything else is left as it is.

    Parameters
    ----------
    calculator : ase calculator
        Its ``calculate`` is wrapped; wrapping again replaces the earlier wrapper.
    """

    def __init__(self, calculator: Calculator) -> None:
        self.seconds = 0.0
        inner: Any = type(calculator).calculate

        def timed(*args: Any, **kwargs: Any) -> Any:
            """Compute, and add up the seconds."""
            started = time.perf_counter()
            try:
                return inner(calculator, *args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        calculator.calculate = timed  # type: ignore[method-assign]


@dataclass(frozen=True)
class MolecularDynamicsResult:
    """A finished run: where its trajectory and last checkpoint are, and what it cost.

    ``potential_time_s`` and ``total_time_s`` add up all attempts that left a checkpoint, without the shorter
    run that it may have been continued from, whose steps are ``n_continued_steps``. ``n_frames`` counts the
    production. ``stopped`` is the reason why it ended before its time; ``equilibration`` that of energy and
    volume within the production.
    """

    trajectory_file: Path
    checkpoint_file: Path
    mean_temperature_K: float
    mean_volume_A3: float
    n_steps: int
    n_frames: int
    equilibration: Equilibration
    stopped: str | None
    continued_from: str | None
    n_continued_steps: int
    potential_time_s: float
    total_time_s: float


def run_molecular_dynamics(
    atoms: Atoms,
    calculator: Calculator,
    protocol: MolecularDynamicsProtocol,
    temperature_K: float,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    *,
    monitor: Monitor | None = None,
    pause: Pause | None = None,
    watch: Watch | None = None,
) -> MolecularDynamicsResult:
    """Run or continue a run in its folder.

    Parameters
    ----------
    atoms : ase.Atoms
        Starting structure; not changed.
    calculator : ase calculator
        Gives energy, forces and (npt) stress; a classical potential is stepped by LAMMPS itself.
    protocol : MolecularDynamicsProtocol
        Ensemble, steps, intervals.
    temperature_K : float
        Target temperature (K).
    seed : int
        Seed of velocities and thermostat.
    folder : Path
        Holds segments and checkpoint; made when missing. A finished run found there is returned as it is.
    progress : callable, optional
        Called with (steps done, all steps) after each frame.
    monitor : callable, optional
        Called with the first and the latest window of the production at the end of each window (as long as a
        segment of an unbroken run, counted from the start of the production; the last one if it has 20
        frames), wherever the run was paused; a text that it returns is the reason to end the run there.
    pause : callable, optional
        Asked after each frame whether the run has to stop now, at a checkpoint.
    watch : callable, optional
        Shown each frame (positions, cells, temperatures_K …); a text that it returns is the reason to end the
        run at this frame.

    Returns
    -------
    MolecularDynamicsResult
        The trajectory file (equilibration included) and averages over the production part.

    Raises
    ------
    DynamicsError
        When forces are not finite or the temperature runs away.
    FolderBusyError
        When another process runs there.
    RunPausedError
        When ``pause`` said so; the next call goes on with the same numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        trajectory_file = folder / "trajectory.h5"
        if not trajectory_file.exists():
            engine = _engine_of(calculator)
            run = engine(atoms.copy(), calculator, protocol, temperature_K, seed, folder)
            run.until_done(progress, monitor, pause, watch)
            write_trajectory_file(trajectory_file, run.segments())
        return _result(folder, protocol)


def _result(folder: Path, protocol: MolecularDynamicsProtocol) -> MolecularDynamicsResult:
    trajectory_file = folder / "trajectory.h5"
    state = unpack_checkpoint((folder / CHECKPOINT).read_bytes())
    # a run that was stopped before its production has but its equilibration to tell of
    production = read_scalars(trajectory_file, min(protocol.n_equilibration_frames, state["frame"] - 1))
    volumes_A3 = production["volumes_A3"]
    return MolecularDynamicsResult(
        trajectory_file=trajectory_file,
        checkpoint_file=folder / CHECKPOINT,
        mean_temperature_K=float(np.mean(production["temperatures_K"])),
        mean_volume_A3=float(np.mean(volumes_A3)),
        n_steps=state["frame"] * protocol.stride,
        n_frames=len(volumes_A3),
        equilibration=equilibrate_together([production["potential_energies_eV"], volumes_A3]),
        stopped=state["stopped"],
        continued_from=state["continued_from"],
        n_continued_steps=state["earlier_frames"] * protocol.stride,
        potential_time_s=state["potential_time_s"],
        total_time_s=state["total_time_s"],
    )


def has_begun(folder: Path) -> bool:
    """Tell whether a folder holds a run that would be taken up.

    Parameters
    ----------
    folder : Path
        Folder of a run.

    Returns
    -------
    bool
        True when there is a checkpoint.
    """
    return (folder / CHECKPOINT).exists()


def continue_from(folder: Path, checkpoint: bytes, trajectory_file: Path, name: str) -> None:
    """Let a run begin where a shorter one of the same crystal, protocol and seed ended.

    Parameters
    ----------
    folder : Path
        Folder of the longer run; nothing is done when it has begun already.
    checkpoint : bytes
        Content of the shorter run's last checkpoint.
    trajectory_file : Path
        Trajectory of the shorter run; it is moved into the folder.
    name : str
        What the shorter run is called; given back with the result.
    """
    if has_begun(folder):
        return
    state = unpack_checkpoint(checkpoint)
    trajectory_file.replace(folder / EARLIER)
    state |= {"earlier_frames": state["frame"], "n_segments": 0, "continued_from": name}
    state |= {"potential_time_s": 0.0, "total_time_s": 0.0}
    write_durably(folder / CHECKPOINT, pack_checkpoint(state))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderBusyError(f"{folder}: another process is running this job; wait for it") from error
        yield


def thermal_velocities(atoms: Atoms, temperature_K: float, rng: np.random.Generator) -> None:
    """Give the atoms velocities of exactly a temperature, the centre of mass at rest.

    Parameters
    ----------
    atoms : ase.Atoms
        Its momenta are set.
    temperature_K : float
        Temperature (K).
    rng : numpy Generator
        Source of the velocities.
    """
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=rng)
    Stationary(atoms)
    scale = np.sqrt(temperature_K / max(_temperature_K(atoms), 1e-9))
    atoms.set_momenta(atoms.get_momenta() * scale)


def _temperature_K(atoms: Atoms) -> float:
    """Temperature with the centre of mass at rest: 3N - 3 degrees of freedom."""
    degrees_of_freedom = max(3 * len(atoms) - 3, 1)
    return float(2 * atoms.get_kinetic_energy() / (degrees_of_freedom * units.kB))


def _engine_of(calculator: Calculator) -> Any:
    from sse_screen.dynamics.lammps_dynamics import LammpsRun
    from sse_screen.potentials.classical_calculator import ClassicalCalculator

    return LammpsRun if isinstance(calculator, ClassicalCalculator) else _AseRun


class _AseRun(SegmentedRun):
    """A run on ASE's integrators: atoms and the integrator of the present phase."""

    def __init__(
        self,
        atoms: Atoms,
        calculator: Calculator,
        protocol: MolecularDynamicsProtocol,
        temperature_K: float,
        seed: int,
        folder: Path,
    ) -> None:
        super().__init__(atoms, protocol, temperature_K, folder)
        self.rng = np.random.default_rng(seed)
        atoms.calc = calculator
        self.timer = TimedCalculator(calculator)
        state = self.checkpoint()
        if state is None:
            thermal_velocities(atoms, temperature_K, self.rng)
            self.integrator = self._integrator(0)
        else:
            self._restore(state)

    def time_in_potential_s(self) -> float:
        """See :class:`SegmentedRun`."""
        return self.timer.seconds

    def _integrator(self, frame: int) -> Any:
        protocol = self.protocol
        time_step = protocol.time_step_fs * units.fs
        if frame < protocol.n_equilibration_frames or protocol.ensemble == "nvt":
            dynamics = Bussi(
                self.atoms,
                time_step,
                temperature_K=self.temperature_K,
                taut=protocol.thermostat_time_fs * units.fs,
                rng=self.rng,
            )
            dynamics.ndof = max(3 * len(self.atoms) - 3, 2)
            dynamics.target_kinetic_energy = 0.5 * dynamics.temp * dynamics.ndof
            return dynamics
        if protocol.ensemble == "nve":
            return VelocityVerlet(self.atoms, time_step)
        return IsotropicMTKNPT(
            self.atoms,
            time_step,
            temperature_K=self.temperature_K,
            pressure_au=protocol.pressure_bar * 1e5 * units.Pascal,
            tdamp=protocol.thermostat_time_fs * units.fs,
            pdamp=protocol.barostat_time_fs * units.fs,
        )

    def begin_segment(self) -> None:
        """See :class:`SegmentedRun`."""
        if self.frame == self.protocol.n_equilibration_frames:
            self.integrator = self._integrator(self.frame)

    def advance(self) -> None:
        """See :class:`SegmentedRun`."""
        for _ in range(self.protocol.stride):
            self.integrator.step()

    def record(self) -> dict[str, Any]:
        """See :class:`SegmentedRun`."""
        return {
            "positions": self.atoms.get_positions(),
            "cells": np.array(self.atoms.cell),
            "temperatures_K": _temperature_K(self.atoms),
            "potential_energies_eV": float(self.atoms.get_potential_energy()),
            "velocities": self.atoms.get_velocities() * units.fs if self.protocol.store_velocities else None,
        }

    def engine_state(self) -> dict[str, Any]:
        """See :class:`SegmentedRun`."""
        return {
            "positions": self.atoms.get_positions(),
            "momenta": self.atoms.get_momenta(),
            "cell": np.array(self.atoms.cell),
            "rng": self.rng.bit_generator.state,
            "integrator": _numbers_of(self.integrator),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.atoms.set_cell(state["cell"], scale_atoms=False)
        self.atoms.set_positions(state["positions"])
        self.atoms.set_momenta(state["momenta"])
        self.rng.bit_generator.state = state["rng"]
        self.integrator = self._integrator(self.frame - 1)
        _set_numbers(self.integrator, state["integrator"])


def _numbers_of(integrator: Any) -> dict[str, Any]:
    """Collect the numeric state of an integrator and of its thermostat and barostat."""
    state: dict[str, Any] = {}
    for name, value in vars(integrator).items():
        if isinstance(value, float | int | np.ndarray) and not isinstance(value, bool):
            state[name] = np.copy(value) if isinstance(value, np.ndarray) else value
        elif name in ("_thermostat", "_barostat"):
            state[name] = _numbers_of(value)
    return state


def _set_numbers(integrator: Any, state: dict[str, Any]) -> None:
    for name, value in state.items():
        if isinstance(value, dict):
            _set_numbers(getattr(integrator, name), value)
        else:
            setattr(integrator, name, value)
