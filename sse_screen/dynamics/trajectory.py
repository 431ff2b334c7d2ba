"""The one array form of a molecular-dynamics trajectory."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError

FloatArray = NDArray[np.floating]

_FRAME_FIELDS = ("positions", "cells", "times_ps", "velocities", "temperatures_K", "potential_energies_eV")
_FORMAT = "sse-screen-trajectory-1"
_TIME_STEP_TOLERANCE = 1e-3
# Part of a time step by which the clock may be off where a segment follows another.
_GAP = 0.05


class TrajectoryError(InputError):
    """The arrays do not describe a trajectory, or a file does not hold one."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Positions, cells, species and times of a run, with what else was recorded per frame.

    Parameters
    ----------
    positions : numpy.ndarray
        Cartesian positions in Å, shape (n_frames, n_atoms, 3); float32 and float64 are kept as they are.
    cells : numpy.ndarray
        Lattice vectors in Å as rows, shape (n_frames, 3, 3); one (3, 3) cell is repeated for all frames.
    species : tuple of str
        Element symbol of each atom, length n_atoms.
    times_ps : numpy.ndarray
        Time of each frame in ps, strictly increasing, shape (n_frames,).
    unwrapped : bool
        True if the positions follow each atom across cell boundaries, False if they are folded into the cell.
    velocities : numpy.ndarray, optional
        Velocities in Å/fs, shape (n_frames, n_atoms, 3).
    temperatures_K : numpy.ndarray, optional
        Instantaneous kinetic temperature of each frame in K, shape (n_frames,).
    potential_energies_eV : numpy.ndarray, optional
        Potential energy of the cell in eV, shape (n_frames,).
    segment_starts : tuple of int
        Frames at which a continued run was taken up again; 0 is always the first.
    notes : tuple of str
        What its reader found and dealt with, such as a file that breaks off; not saved.

    Raises
    ------
    TrajectoryError
        If a shape, a value or the order of times is impossible; the message names the field.
    """

    positions: FloatArray
    cells: FloatArray
    species: tuple[str, ...]
    times_ps: FloatArray
    unwrapped: bool
    velocities: FloatArray | None = None
    temperatures_K: FloatArray | None = None
    potential_energies_eV: FloatArray | None = None
    segment_starts: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring all fields to their declared form and refuse what cannot be a trajectory."""
        positions = _as_float(self.positions, "positions")
        if positions.ndim != 3 or positions.shape[2] != 3 or 0 in positions.shape:
            raise TrajectoryError(f"positions: shape {positions.shape}, expected (n_frames, n_atoms, 3)")
        n_frames, n_atoms = positions.shape[:2]
        cells = _as_float(self.cells, "cells")
        if cells.shape == (3, 3):
            cells = np.broadcast_to(cells, (n_frames, 3, 3))
        shapes = {
            "cells": (n_frames, 3, 3),
            "times_ps": (n_frames,),
            "velocities": (n_frames, n_atoms, 3),
            "temperatures_K": (n_frames,),
            "potential_energies_eV": (n_frames,),
        }
        arrays = {"positions": positions, "cells": cells}
        for name, shape in shapes.items():
            value = arrays.get(name, getattr(self, name))
            if value is None:
                continue
            array = _as_float(value, name)
            if array.shape != shape:
                raise TrajectoryError(f"{name}: shape {array.shape}, expected {shape}")
            arrays[name] = array
        species = tuple(str(symbol) for symbol in self.species)
        if len(species) != n_atoms:
            raise TrajectoryError(f"species: {len(species)} symbols for {n_atoms} atoms")
        _refuse_impossible(arrays["times_ps"], arrays["cells"])
        for name, array in arrays.items():
            object.__setattr__(self, name, array)
        object.__setattr__(self, "species", species)
        object.__setattr__(self, "unwrapped", bool(self.unwrapped))
        object.__setattr__(self, "segment_starts", _normalised_starts(self.segment_starts, n_frames))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.positions.shape[0])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.positions.shape[1])

    @property
    def duration_ps(self) -> float:
        """Time between the first and the last frame in ps."""
        return float(self.times_ps[-1] - self.times_ps[0])

    @property
    def time_step_ps(self) -> float:
        """Time between frames in ps; what lies between one segment and the next is not looked at.

        Raises
        ------
        TrajectoryError
            If there is one frame only, or the frames are not equally spaced in time (within 0.1 %).
        """
        steps = np.delete(np.diff(self.times_ps), np.array(self.segment_starts[1:], dtype=int) - 1)
        if not len(steps):
            steps = np.diff(self.times_ps)
        if not len(steps):
            raise TrajectoryError("times_ps: one frame has no time step")
        mean = float(steps.mean())
        # Times read back from float32 or rounded text carry the rounding of the largest time.
        rounding = 4 * float(np.spacing(np.abs(self.times_ps).max())) + _TIME_STEP_TOLERANCE * mean
        if np.any(np.abs(steps - mean) > rounding):
            raise TrajectoryError(
                f"times_ps: frames are {steps.min():.6g} to {steps.max():.6g} ps apart, not equal spacing"
            )
        return mean

    @property
    def gaps(self) -> tuple[int, ...]:
        """Frames that begin a segment and do not follow the frame before by one time step."""
        if len(self.segment_starts) == 1:
            return ()
        step = self.time_step_ps
        return tuple(
            start
            for start in self.segment_starts[1:]
            if abs(self.times_ps[start] - self.times_ps[start - 1] - step) > _GAP * step
        )

    def continuous_parts(self) -> list["Trajectory"]:
        """Return the parts between gaps in the clock; those of one frame are left out if there are others."""
        edges = [0, *self.gaps, self.n_frames]
        parts = [self[a:b] for a, b in pairwise(edges)] if len(edges) > 2 else [self]
        return [part for part in parts if part.n_frames > 1] or parts[:1]

    @property
    def volumes_A3(self) -> FloatArray:
        """Cell volume of each frame in Å³, shape (n_frames,)."""
        return np.asarray(np.abs(np.linalg.det(np.asarray(self.cells, dtype=float))))

    @property
    def mean_temperature_K(self) -> float | None:
        """Mean of the recorded temperatures in K, None if none were recorded."""
        return None if self.temperatures_K is None else float(np.mean(self.temperatures_K))

    def indices(self, *symbols: str) -> NDArray[np.intp]:
        """Return the indices of all atoms of the given species, in order."""
        return np.flatnonzero(np.isin(np.array(self.species), symbols))

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.n_frames

    def __getitem__(self, frames: slice) -> "Trajectory":
        """Return the trajectory of a slice of frames (views, not copies).

        Raises
        ------
        TrajectoryError
            If the slice is empty or runs backwards.
        """
        if not isinstance(frames, slice):
            raise TypeError("a trajectory is indexed by slices of frames: trajectory[100:], trajectory[::10]")
        start, stop, step = frames.indices(self.n_frames)
        if step < 1 or stop <= start:
            raise TrajectoryError(f"frames {frames.start}:{frames.stop}:{frames.step} select nothing forward")
        n_frames = len(range(start, stop, step))
        starts = [-(-(first - start) // step) for first in self.segment_starts if first >= start]
        taken: dict[str, Any] = {name: _taken(getattr(self, name), frames) for name in _FRAME_FIELDS}
        return replace(self, **taken, segment_starts=tuple(first for first in starts if first < n_frames))

    def after(self, time_ps: float) -> "Trajectory":
        """Return the frames at or after `time_ps` from the first frame (equilibration dropped).

        Raises
        ------
        TrajectoryError
            If no frame is left, or the time is no number from zero on.
        """
        if not time_ps >= 0:
            raise TrajectoryError(f"the time to drop must be zero or more, not {time_ps} ps")
        first = int(np.searchsorted(self.times_ps - self.times_ps[0], time_ps - 1e-9))
        if first >= self.n_frames:
            raise TrajectoryError(f"dropping {time_ps} ps leaves nothing of a {self.duration_ps:.6g} ps run")
        return self[first:]

    def select_atoms(self, indices: Sequence[int] | NDArray[np.intp]) -> "Trajectory":
        """Return the trajectory of some atoms only; per-frame energies and temperatures are kept."""
        index = np.asarray(indices, dtype=int)
        velocities = None if self.velocities is None else self.velocities[:, index]
        species = tuple(self.species[i] for i in index)
        return replace(self, positions=self.positions[:, index], velocities=velocities, species=species)

    def save(self, target: str | Path | BinaryIO) -> None:
        """Write an npz archive; equal trajectories give equal bytes, so the content hash identifies them."""
        arrays = {name: getattr(self, name) for name in _FRAME_FIELDS if getattr(self, name) is not None}
        if np.array_equal(self.cells, np.broadcast_to(self.cells[0], self.cells.shape)):
            arrays["cells"] = self.cells[0]
        arrays |= {
            "format": np.array(_FORMAT),
            "species": np.array(self.species),
            "unwrapped": np.array(self.unwrapped),
            "segment_starts": np.array(self.segment_starts, dtype=int),
        }
        # An open file keeps numpy from appending ".npz" to a name that lacks it.
        if isinstance(target, str | Path):
            with Path(target).open("wb") as file:
                np.savez(file, **arrays)
        else:
            np.savez(target, **arrays)

    def to_bytes(self) -> bytes:
        """Return the npz archive that `save` writes, for a blob store."""
        buffer = io.BytesIO()
        self.save(buffer)
        return buffer.getvalue()

    @classmethod
    def load(cls, source: str | Path | BinaryIO) -> "Trajectory":
        """Read what `save` wrote.

        Raises
        ------
        TrajectoryError
            If the file is not such an archive or its arrays are impossible.
        """
        try:
            with np.load(source, allow_pickle=False) as archive:
                if str(archive["format"]) != _FORMAT:
                    raise TrajectoryError(f"{source}: format {archive['format']}, expected {_FORMAT}")
                names = {field.name for field in fields(cls)} - {"notes"}
                values = {name: archive[name] for name in archive.files if name in names}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise TrajectoryError(f"{source}: not a trajectory archive of this platform ({error})") from error
        except Exception as error:
            if type(error).__name__ != "BadZipFile":
                raise
            raise TrajectoryError(f"{source}: damaged trajectory archive ({error})") from error
        values["species"] = tuple(values["species"].tolist())
        values["segment_starts"] = tuple(values["segment_starts"].tolist())
        values["unwrapped"] = bool(values["unwrapped"])
        return cls(**values)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Trajectory":
        """Read the npz archive that `to_bytes` gave."""
        return cls.load(io.BytesIO(content))


def concatenate(segments: Sequence[Trajectory]) -> Trajectory:
    """Join the consecutive segments of one run into one trajectory.

    A first frame that repeats the time of the last one before it (the checkpoint written twice) is dropped.
    A segment that goes back on the clock was taken up from an older checkpoint: the frames after it in the
    segment before belong to a part of the run that was given up, and are dropped: nothing counts twice.
    A segment whose clock starts again from the beginning is shifted to follow the one before by a time step;
    one that begins later leaves a gap in the clock, which no time window crosses (`continuous_parts`).
    Optional fields are kept if all segments have them. Independent runs are not joined but handed to the
    estimators as several trajectories.

    Parameters
    ----------
    segments : sequence of Trajectory
        In order of time, of the same atoms, all wrapped or all unwrapped.

    Returns
    -------
    Trajectory
        With `segment_starts` at the first frame of every segment (and those inside the segments).

    Raises
    ------
    TrajectoryError
        If there is no segment, or the atoms or the wrapping differ.
    """
    if not segments:
        raise TrajectoryError("segments: none given")
    first = segments[0]
    joined: list[Trajectory] = [first]
    shift = 0.0
    for segment in segments[1:]:
        if segment.species != first.species:
            raise TrajectoryError("species: the segments hold different atoms or another order of atoms")
        if segment.unwrapped != first.unwrapped:
            raise TrajectoryError("unwrapped: some segments are wrapped and some are not")
        kept, following, shift = _following(joined[-1], segment, shift)
        joined[-1:] = [kept, following]
    values: dict[str, Any] = {}
    for name in _FRAME_FIELDS:
        parts = [getattr(segment, name) for segment in joined]
        values[name] = None if any(part is None for part in parts) else np.concatenate(parts)
    offsets = np.cumsum([0, *(len(segment) for segment in joined[:-1])])
    starts = [
        int(offset) + start
        for offset, segment in zip(offsets, joined, strict=True)
        for start in segment.segment_starts
    ]
    notes = tuple(dict.fromkeys(note for segment in joined for note in segment.notes))
    return replace(first, **values, segment_starts=tuple(starts), notes=notes)


def _following(before: Trajectory, segment: Trajectory, shift: float) -> tuple[Trajectory, Trajectory, float]:
    """Return what is kept of `before`, `segment` on its clock, and the shift of that clock.

    `shift` is that of the clock of `before`: what was added to the times in its file.
    """
    end = float(before.times_ps[-1])
    step = segment.duration_ps / max(len(segment) - 1, 1) or before.duration_ps / max(len(before) - 1, 1)
    step = step or 1.0
    own = float(segment.times_ps[0])
    first = own + shift
    goes_back = before.times_ps[0] + 0.5 * step < first <= end - 0.5 * step
    if goes_back:
        kept = int(np.searchsorted(before.times_ps, first - 0.01 * step))
        return before[:kept], replace(segment, times_ps=segment.times_ps + shift), shift
    if first <= end - 0.5 * step:
        repeats = len(segment) > 1 and np.allclose(segment.positions[0], before.positions[-1], atol=1e-6)
        segment = segment[1:] if repeats else segment
        shift = end + step - float(segment.times_ps[0])
    elif len(segment) > 1 and abs(first - end) < 0.5 * step:
        segment = segment[1:]
    return before, replace(segment, times_ps=segment.times_ps + shift), shift


def _as_float(value: FloatArray, name: str) -> FloatArray:
    """Return a finite float array, float32 kept."""
    try:
        array = np.asarray(value)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(float)
    except (TypeError, ValueError) as error:
        raise TrajectoryError(f"{name}: not an array of numbers ({error})") from error
    if not np.all(np.isfinite(array)):
        raise TrajectoryError(f"{name}: not finite (nan or inf){_first_bad(array, name)}")
    return array


def _refuse_impossible(times_ps: FloatArray, cells: FloatArray) -> None:
    """Refuse times that do not increase and cells without a volume, naming the frame."""
    back = np.flatnonzero(np.diff(times_ps) <= 0)
    if len(back):
        frame = int(back[0]) + 2
        raise TrajectoryError(
            f"times_ps: must increase from frame to frame, and frame {frame} is at "
            f"{times_ps[frame - 1]:g} ps after one at {times_ps[frame - 2]:g} ps"
        )
    flat = np.flatnonzero(np.abs(np.linalg.det(cells)) < 1e-6)
    if len(flat):
        raise TrajectoryError(
            f"cells: frame {flat[0] + 1} has no volume; a periodic cell is needed in every frame"
        )


def _first_bad(array: FloatArray, name: str) -> str:
    """Return where the first value that is not finite is, frames and atoms counted from 1."""
    first = [int(i) + 1 for i in np.argwhere(~np.isfinite(array))[0]]
    if array.ndim == 2:  # one cell for all frames
        return ""
    return f" in frame {first[0]}" + (f", atom {first[1]}" if name in ("positions", "velocities") else "")


def _normalised_starts(starts: Sequence[int], n_frames: int) -> tuple[int, ...]:
    """Return sorted unique segment starts with 0 in front."""
    unique = sorted({0, *(int(start) for start in starts)})
    if unique[0] < 0 or unique[-1] >= n_frames:
        raise TrajectoryError(f"segment_starts: {tuple(starts)} outside 0 to {n_frames - 1}")
    return tuple(unique)


def _taken(array: FloatArray | None, frames: slice) -> FloatArray | None:
    """Return the slice of an optional per-frame array."""
    return None if array is None else array[frames]
