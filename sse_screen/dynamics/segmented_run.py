"""A run cut into segments with checkpoints: frames, files, times; subclasses make the steps."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.checkpoint import pack_checkpoint, unpack_checkpoint
from sse_screen.dynamics.trajectory import Trajectory, concatenate
from sse_screen.dynamics.trajectory_file import as_stored, read_trajectory_file, trajectory_blocks
from sse_screen.exceptions import InfrastructureError, SseScreenError

FRAMES_PER_SEGMENT = 50
SHORTEST_JUDGED = 20  # frames of a window that the monitor is shown: fewer do not average vibrations
CHECKPOINT, EARLIER = "checkpoint.npz", "earlier.h5"
_LARGEST_TEMPERATURE_RATIO = 6.0
Progress = Callable[[int, int], None]
Monitor = Callable[[Trajectory, Trajectory], str | None]
Pause = Callable[[], bool]
Watch = Callable[[dict[str, Any]], str | None]


class DynamicsError(SseScreenError):
    """The dynamics went wrong (not the machine): explosion, non-finite forces."""


class RunPausedError(InfrastructureError):
    """The run stopped at a checkpoint because its worker has to; it goes on from there."""


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


class SegmentedRun(ABC):
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
        self.n_segments = self.earlier_frames = 0
        self.stopped: str | None = None
        self.continued_from: str | None = None
        self.first_window: Trajectory | None = None
        self.earlier_potential_time_s = 0.0
        self.total_time_s = 0.0

    @abstractmethod
    def begin_segment(self) -> None:
        """Make ready for the frames of the next segment."""

    @abstractmethod
    def advance(self) -> None:
        """Make the steps to the next frame."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Give positions, cell, temperature, energy and velocities of the present frame.

        Returns
        -------
        dict
            Fields of :class:`Trajectory` but for the time.
        """

    @abstractmethod
    def engine_state(self) -> dict[str, Any]:
        """Give all that the next step needs.

        Returns
        -------
        dict
            Nested dicts of arrays, numbers and strings (see :func:`pack_checkpoint`).
        """

    @abstractmethod
    def time_in_potential_s(self) -> float:
        """Give the seconds that this attempt spent in the potential.

        Returns
        -------
        float
            Seconds.
        """

    @property
    def frames_per_segment(self) -> int:
        """Frames between checkpoints."""
        return FRAMES_PER_SEGMENT

    @property
    def pauses_anywhere(self) -> bool:
        """Whether a run that is cut at any frame goes on with the same numbers, or only at a full segment."""
        return True

    @property
    def equilibrating(self) -> bool:
        """Whether the step after the present frame belongs to the equilibration."""
        return self.frame < self.protocol.n_equilibration_frames

    def until_done(
        self,
        progress: Progress | None = None,
        monitor: Monitor | None = None,
        pause: Pause | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Run segment after segment to the end, or to the monitor's verdict.

        Parameters
        ----------
        progress, monitor, pause, watch : callable, optional
            As in :func:`~sse_screen.dynamics.molecular_dynamics.run_molecular_dynamics`.

        Raises
        ------
        RunPausedError
            When ``pause`` said so.
        """
        protocol = self.protocol
        n_frames = protocol.n_equilibration_frames + protocol.n_frames
        while self.frame < n_frames and self.stopped is None:
            started = time.perf_counter()
            end = self._segment_end()
            must_pause = False
            self.begin_segment()
            records: list[dict[str, Any]] = []
            while self.frame < end and not self.stopped and not (must_pause and self.pauses_anywhere):
                self.advance()
                self.frame += 1
                records.append(self._checked(self.record()))
                if watch is not None:
                    self.stopped = watch(records[-1])
                if progress is not None:
                    progress(self.frame * protocol.stride, protocol.n_steps)
                must_pause = must_pause or (pause is not None and pause())
            self.total_time_s += time.perf_counter() - started
            segment = self._segment(records)
            if monitor is not None and self.stopped is None:
                self.stopped = self._judged(monitor, segment)
            self._save(segment)
            if must_pause and self.frame < n_frames and self.stopped is None:
                raise RunPausedError(f"paused at a checkpoint, {self.frame} of {n_frames} frames done")

    def _segment_end(self) -> int:
        """Frame at which an unbroken run has its next checkpoint; a run that was cut goes on to there."""
        start, length = self.protocol.n_equilibration_frames, self.frames_per_segment
        first, last = (0, start) if self.equilibrating else (start, start + self.protocol.n_frames)
        return min(first + ((self.frame - first) // length + 1) * length, last)

    def _judged(self, monitor: Monitor, latest: Trajectory) -> str | None:
        """Ask the monitor at the end of each window of the production, wherever the run was cut before."""
        first, length = self.protocol.n_equilibration_frames, self.frames_per_segment
        begin = first + (self.frame - 1 - first) // length * length
        complete = self.frame in (begin + length, first + self.protocol.n_frames)
        if begin < first or not complete or self.frame - begin < SHORTEST_JUDGED:
            return None
        window = self._window(begin, self.frame, latest)
        if self.first_window is None:
            self.first_window = window if begin == first else self._window(first, first + length, latest)
        return monitor(self.first_window, window)

    def _window(self, start: int, stop: int, latest: Trajectory) -> Trajectory:
        """Gather frames of the run as they will be stored; all but the latest segment are read back."""
        parts: list[Trajectory] = []
        end, number = self.frame, self.n_segments
        while end > max(start, self.earlier_frames):
            part = latest if number == self.n_segments else Trajectory.load(self._segment_path(number))
            begin = end - len(part)
            if begin < stop:
                parts.insert(0, part[max(start - begin, 0) : stop - begin])
            end, number = begin, number - 1
        if start < self.earlier_frames:
            earlier = self.folder / EARLIER
            parts.insert(0, read_trajectory_file(earlier, start, min(stop, self.earlier_frames)))
        return as_stored(concatenate(parts))

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

    def _segment(self, records: list[dict[str, Any]]) -> Trajectory:
        arrays: dict[str, Any] = {
            key: np.array([r[key] for r in records]) for key in records[0] if records[0][key] is not None
        }
        return Trajectory(species=tuple(self.atoms.get_chemical_symbols()), unwrapped=True, **arrays)

    def _save(self, segment: Trajectory) -> None:
        write_durably(self._segment_path(self.n_segments), segment.to_bytes())
        self.n_segments += 1
        state = {
            "frame": self.frame,
            "earlier_frames": self.earlier_frames,
            "n_segments": self.n_segments,
            "stopped": self.stopped,
            "continued_from": self.continued_from,
            "potential_time_s": self.earlier_potential_time_s + self.time_in_potential_s(),
            "total_time_s": self.total_time_s,
            "engine": self.engine_state(),
        }
        write_durably(self.folder / CHECKPOINT, pack_checkpoint(state))

    def checkpoint(self) -> dict[str, Any] | None:
        """Take all but the engine's part of the checkpoint over.

        Returns
        -------
        dict or None
            What :meth:`engine_state` gave; None at the start of a run.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return None
        state = unpack_checkpoint(path.read_bytes())
        self.frame, self.n_segments = state["frame"], state["n_segments"]
        self.earlier_frames, self.stopped = state["earlier_frames"], state["stopped"]
        self.continued_from = state["continued_from"]
        self.earlier_potential_time_s, self.total_time_s = state["potential_time_s"], state["total_time_s"]
        return dict(state["engine"])

    def _segment_path(self, number: int) -> Path:
        return self.folder / f"segment_{number:05d}.npz"

    def segments(self) -> Iterator[Trajectory]:
        """Give all that was run in order, one piece in memory at a time.

        Yields
        ------
        Trajectory
            A segment, or a block of the shorter run that this one went on from.
        """
        if self.earlier_frames:
            yield from trajectory_blocks(self.folder / EARLIER)
        for number in range(self.n_segments):
            yield Trajectory.load(self._segment_path(number))
