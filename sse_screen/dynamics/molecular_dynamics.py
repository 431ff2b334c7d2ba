"""Molecular dynamics in segments with checkpoints, on ASE's integrators or in LAMMPS.

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
            engine = _engine_of(calculator)
            run = engine(atoms.copy(), calculator, protocol, temperature_K, seed, folder)
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


class SegmentedRun:
    """A run cut into segments: frames, files, times; what makes the steps is up to its subclasses.

    Parameters
    ----------
    atoms : ase.Atoms
        Starting structure; the run's own copy.
    protocol : MolecularDynamicsProtocol
        Ensemble, steps, intervals.
    temperature_K : float
        Target temperature (K).
    folder : Path
        Holds segments and checkpoint.
    """

    def __init__(
        self, atoms: Atoms, protocol: MolecularDynamicsProtocol, temperature_K: float, folder: Path
    ) -> None:
        self.atoms, self.protocol, self.temperature_K, self.folder = atoms, protocol, temperature_K, folder
        self.frame = 0
        self.n_segments = 0
        self.earlier_potential_time_s = 0.0
        self.total_time_s = 0.0

    def begin_segment(self) -> None:
        """Make ready for the frames of the next segment."""
        raise NotImplementedError

    def advance(self) -> None:
        """Make the steps to the next frame."""
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """Give positions, cell, temperature, energy and velocities of the present frame.

        Returns
        -------
        dict
            Fields of :class:`Trajectory` but for the time.
        """
        raise NotImplementedError

    def engine_state(self) -> dict[str, Any]:
        """Give all that the next step needs.

        Returns
        -------
        dict
            To be pickled.
        """
        raise NotImplementedError

    def time_in_potential_s(self) -> float:
        """Give the seconds that this attempt spent in the potential.

        Returns
        -------
        float
            Seconds.
        """
        raise NotImplementedError

    @property
    def frames_per_segment(self) -> int:
        """Frames between checkpoints."""
        return FRAMES_PER_SEGMENT

    @property
    def equilibrating(self) -> bool:
        """Whether the step after the present frame belongs to the equilibration."""
        return self.frame < self.protocol.n_equilibration_frames

    def until_done(self, progress: Progress | None) -> None:
        """Run segment after segment to the end.

        Parameters
        ----------
        progress : callable, optional
            Called with (steps done, all steps) after each frame.
        """
        protocol = self.protocol
        n_frames = protocol.n_equilibration_frames + protocol.n_frames
        while self.frame < n_frames:
            started = time.perf_counter()
            part_end = protocol.n_equilibration_frames if self.equilibrating else n_frames
            self.begin_segment()
            records = []
            for _ in range(min(self.frames_per_segment, part_end - self.frame)):
                self.advance()
                self.frame += 1
                records.append(self._checked(self.record()))
                if progress is not None:
                    progress(self.frame * protocol.stride, protocol.n_steps)
            self.total_time_s += time.perf_counter() - started
            self._save_segment(records)

    def _checked(self, record: dict[str, Any]) -> dict[str, Any]:
        time_ps = self.frame * self.protocol.frame_interval_fs / 1000
        energy, temperature_K = record["potential_energies_eV"], record["temperatures_K"]
        if not np.isfinite(energy) or temperature_K > _LARGEST_TEMPERATURE_RATIO * self.temperature_K:
            raise DynamicsError(
                f"the run exploded at {time_ps:g} ps: energy {energy} eV, temperature {temperature_K:.0f} K "
                f"for {self.temperature_K:g} K asked; try a shorter time_step_fs than "
                f"{self.protocol.time_step_fs} or another potential"
            )
        return record | {"times_ps": time_ps}

    def _save_segment(self, records: list[dict[str, Any]]) -> None:
        arrays: dict[str, Any] = {
            key: np.array([r[key] for r in records]) for key in records[0] if records[0][key] is not None
        }
        segment = Trajectory(species=tuple(self.atoms.get_chemical_symbols()), unwrapped=True, **arrays)
        write_durably(self._segment_path(self.n_segments), segment.to_bytes())
        self.n_segments += 1
        potential_time_s = self.earlier_potential_time_s + self.time_in_potential_s()
        timing = {"potential_time_s": potential_time_s, "total_time_s": self.total_time_s}
        write_durably(self.folder / "timing.json", json.dumps(timing).encode())
        state = {
            "frame": self.frame,
            "n_segments": self.n_segments,
            "timing": (potential_time_s, self.total_time_s),
            "engine": self.engine_state(),
        }
        write_durably(self.folder / "checkpoint.pickle", pickle.dumps(state))

    def checkpoint(self) -> dict[str, Any] | None:
        """Take frame and times of the checkpoint over.

        Returns
        -------
        dict or None
            What :meth:`engine_state` gave; None at the start of a run.
        """
        path = self.folder / "checkpoint.pickle"
        if not path.exists():
            return None
        state = pickle.loads(path.read_bytes())
        self.frame, self.n_segments = state["frame"], state["n_segments"]
        self.earlier_potential_time_s, self.total_time_s = state["timing"]
        return dict(state["engine"])

    def _segment_path(self, number: int) -> Path:
        return self.folder / f"segment_{number:05d}.npz"

    def segments(self) -> Iterator[Trajectory]:
        """Give the stored segments in order, one in memory at a time.

        Yields
        ------
        Trajectory
            A segment.
        """
        for number in range(self.n_segments):
            yield Trajectory.load(self._segment_path(number))


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
