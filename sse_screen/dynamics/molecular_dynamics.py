"""Molecular dynamics in segments with checkpoints, on ASE's integrators.

A run lives in a folder of its own. Each finished segment is a file there, written whole or not at all; the
checkpoint holds all that the next step needs (positions, momenta, cell, thermostat, random state), so that a
killed run goes on at its last segment with the same numbers as an unbroken one.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
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
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import read_trajectory_file, write_trajectory_file
from sse_screen.exceptions import InfrastructureError, SseScreenError

FRAMES_PER_SEGMENT = 50
_LARGEST_TEMPERATURE_RATIO = 6.0
Progress = Callable[[int, int], None]


class DynamicsError(SseScreenError):
    """The dynamics went wrong (not the machine): explosion, non-finite forces."""


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
            started = time.perf_counter()
            try:
                return inner(calculator, *args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        calculator.calculate = timed  # type: ignore[method-assign]


@dataclass(frozen=True)
class MolecularDynamicsResult:
    """A finished run: where its trajectory is and what it cost.

    ``potential_time_s`` and ``total_time_s`` add up all attempts that left a checkpoint.
    """

    trajectory_file: Path
    mean_temperature_K: float
    mean_volume_A3: float
    n_steps: int
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
) -> MolecularDynamicsResult:
    """Run or continue a run in its folder.

    Parameters
    ----------
    atoms : ase.Atoms
        Starting structure; not changed.
    calculator : ase calculator
        Gives energy, forces and (npt) stress.
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
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        trajectory_file = folder / "trajectory.h5"
        if not trajectory_file.exists():
            run = _Run(atoms.copy(), calculator, protocol, temperature_K, seed, folder)
            run.until_done(progress)
            write_trajectory_file(trajectory_file, run.segments())
        timing = json.loads((folder / "timing.json").read_text())
        production = read_trajectory_file(trajectory_file, protocol.n_equilibration_frames)
        temperatures = production.temperatures_K
        assert temperatures is not None
        return MolecularDynamicsResult(
            trajectory_file=trajectory_file,
            mean_temperature_K=float(np.mean(temperatures)),
            mean_volume_A3=float(np.mean(np.abs(np.linalg.det(production.cells)))),
            n_steps=protocol.n_steps,
            **timing,
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderBusyError(f"{folder}: another process is running this job; wait for it") from error
        yield


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and be sure that it is on the disk.

    Parameters
    ----------
    path : Path
        Where.
    content : bytes
        What.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)


class _Run:
    """State of a run: atoms, the integrator of the present phase, the frames of the present segment."""

    def __init__(
        self,
        atoms: Atoms,
        calculator: Calculator,
        protocol: MolecularDynamicsProtocol,
        temperature_K: float,
        seed: int,
        folder: Path,
    ) -> None:
        self.atoms, self.protocol, self.temperature_K, self.folder = atoms, protocol, temperature_K, folder
        self.rng = np.random.default_rng(seed)
        self.frame = 0
        self.earlier_potential_time_s = 0.0
        self.total_time_s = 0.0
        self.n_segments = 0
        atoms.calc = calculator
        self.timer = TimedCalculator(calculator)
        checkpoint = folder / "checkpoint.pickle"
        state = pickle.loads(checkpoint.read_bytes()) if checkpoint.exists() else None
        if state is None:
            MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=self.rng)
            Stationary(atoms)
            scale = np.sqrt(temperature_K / max(self.temperature(), 1e-9))
            atoms.set_momenta(atoms.get_momenta() * scale)
            self.integrator = self._integrator(0)
        else:
            self._restore(state)

    @property
    def potential_time_s(self) -> float:
        """Seconds in the potential, of all attempts that left a checkpoint."""
        return self.earlier_potential_time_s + self.timer.seconds

    def temperature(self) -> float:
        """Temperature (K) with the centre of mass at rest: 3N - 3 degrees of freedom."""
        degrees_of_freedom = max(3 * len(self.atoms) - 3, 1)
        return float(2 * self.atoms.get_kinetic_energy() / (degrees_of_freedom * units.kB))

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

    def until_done(self, progress: Progress | None) -> None:
        """Run segment after segment to the end."""
        protocol = self.protocol
        n_frames = protocol.n_equilibration_frames + protocol.n_frames
        while self.frame < n_frames:
            started = time.perf_counter()
            records = []
            for _ in range(min(FRAMES_PER_SEGMENT, n_frames - self.frame)):
                if self.frame == protocol.n_equilibration_frames:
                    self.integrator = self._integrator(self.frame)
                for _ in range(protocol.stride):
                    self.integrator.step()
                self.frame += 1
                records.append(self._record())
                if progress is not None:
                    progress(self.frame * protocol.stride, protocol.n_steps)
            self.total_time_s += time.perf_counter() - started
            self._save_segment(records)

    def _record(self) -> dict[str, Any]:
        temperature_K = self.temperature()
        energy = float(self.atoms.get_potential_energy())
        if not np.isfinite(energy) or temperature_K > _LARGEST_TEMPERATURE_RATIO * self.temperature_K:
            time_ps = self.frame * self.protocol.frame_interval_fs / 1000
            raise DynamicsError(
                f"the run exploded at {time_ps:g} ps: energy {energy} eV, temperature {temperature_K:.0f} K "
                f"for {self.temperature_K:g} K asked; try a shorter time_step_fs than "
                f"{self.protocol.time_step_fs} or another potential"
            )
        return {
            "positions": self.atoms.get_positions(),
            "cells": np.array(self.atoms.cell),
            "times_ps": self.frame * self.protocol.frame_interval_fs / 1000,
            "temperatures_K": temperature_K,
            "potential_energies_eV": energy,
            "velocities": self.atoms.get_velocities() * units.fs if self.protocol.store_velocities else None,
        }

    def _save_segment(self, records: list[dict[str, Any]]) -> None:
        arrays: dict[str, Any] = {
            key: np.array([r[key] for r in records]) for key in records[0] if records[0][key] is not None
        }
        segment = Trajectory(species=tuple(self.atoms.get_chemical_symbols()), unwrapped=True, **arrays)
        write_durably(self._segment_path(self.n_segments), segment.to_bytes())
        self.n_segments += 1
        timing = {"potential_time_s": self.potential_time_s, "total_time_s": self.total_time_s}
        write_durably(self.folder / "timing.json", json.dumps(timing).encode())
        write_durably(self.folder / "checkpoint.pickle", pickle.dumps(self._state()))

    def _state(self) -> dict[str, Any]:
        return {
            "frame": self.frame,
            "n_segments": self.n_segments,
            "positions": self.atoms.get_positions(),
            "momenta": self.atoms.get_momenta(),
            "cell": np.array(self.atoms.cell),
            "rng": self.rng.bit_generator.state,
            "integrator": _numbers_of(self.integrator),
            "timing": (self.potential_time_s, self.total_time_s),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.frame, self.n_segments = state["frame"], state["n_segments"]
        self.earlier_potential_time_s, self.total_time_s = state["timing"]
        self.atoms.set_cell(state["cell"], scale_atoms=False)
        self.atoms.set_positions(state["positions"])
        self.atoms.set_momenta(state["momenta"])
        self.rng.bit_generator.state = state["rng"]
        self.integrator = self._integrator(self.frame - 1)
        _set_numbers(self.integrator, state["integrator"])

    def _segment_path(self, number: int) -> Path:
        return self.folder / f"segment_{number:05d}.npz"

    def segments(self) -> Iterator[Trajectory]:
        """Give the stored segments in order, one in memory at a time."""
        for number in range(self.n_segments):
            yield Trajectory.load(self._segment_path(number))


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
