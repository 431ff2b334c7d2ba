"""What all readers share: frames one by one, options, and their assembly into a trajectory."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError, concatenate

FloatArray = NDArray[np.float64]

# Times written with few digits differ by this part of them.
_SAME_TIME = 1e-3
# Part of a time step by which the clock may be off where whole frames are missing.
_WHOLE = 0.05
_Made = TypeVar("_Made")
_ELEMENTS = frozenset(chemical_symbols[1:])


class ReaderError(TrajectoryError):
    """A file does not hold what its format promises, or an option that it needs was not given."""


class NoTimeStepError(ReaderError):
    """A file does not say its time step, and none was given."""


class BrokenOffError(ReaderError):
    """A file ends within a frame."""


@dataclass(frozen=True)
class ReadOptions:
    """What a file may not say itself, and which of its frames are wanted.

    Parameters
    ----------
    time_step_fs : float, optional
        Time step of the molecular dynamics in fs.
    steps_per_frame : int, optional
        Steps between frames in the file; read from the file where it says so, else 1.
    start, stop : int, optional
        First frame and the one after the last, counted in the file.
    stride : int
        Every n-th frame only; the others are skipped while reading, so that memory is saved.
    type_map : dict of int to str
        Element of each LAMMPS atom type.
    unwrapped : bool, optional
        Whether positions follow atoms across boundaries, where the format leaves it open.
    temperature_K : float, optional
        Not needed to read; kept with the trajectory where the file records none.
    needs_times : bool
        False where the times of the frames are of no use: a time step of 1 fs stands in for one that the file
        does not say, and frames may be unevenly spaced.

    Raises
    ------
    ReaderError
        If the type map holds a symbol that is no element.
    """

    time_step_fs: float | None = None
    steps_per_frame: int | None = None
    start: int = 0
    stop: int | None = None
    stride: int = 1
    type_map: dict[int, str] = field(default_factory=dict)
    unwrapped: bool | None = None
    temperature_K: float | None = None
    needs_times: bool = True

    def __post_init__(self) -> None:
        """Refuse symbols that are no elements."""
        for number, symbol in self.type_map.items():
            if symbol not in _ELEMENTS:
                raise ReaderError(
                    f"--type-map {number}={symbol}: {symbol!r} is no element; write such as 1=Li"
                )

    def wants(self, index: int) -> bool:
        """Return True if the frame of this index in the file is to be kept."""
        return index >= self.start and (index - self.start) % self.stride == 0

    def ends(self, index: int) -> bool:
        """Return True if no frame from this index on is wanted."""
        return self.stop is not None and index >= self.stop

    def number(self, read: int) -> int:
        """Return the number in the file, from 1 on, of the frame before which so many were read."""
        return self.start + read * self.stride + 1


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame as read.

    Parameters
    ----------
    positions : numpy.ndarray
        Cartesian, Å, shape (n_atoms, 3).
    cell : numpy.ndarray
        Rows are lattice vectors in Å, shape (3, 3).
    species : tuple of str
        Element symbols.
    step : float
        Step of the dynamics, or time in fs if `in_fs`.
    velocities : numpy.ndarray, optional
        Å/fs, shape (n_atoms, 3).
    temperature_K, potential_energy_eV : float, optional
        As recorded.
    """

    positions: FloatArray
    cell: FloatArray
    species: tuple[str, ...]
    step: float
    velocities: FloatArray | None = None
    temperature_K: float | None = None
    potential_energy_eV: float | None = None


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not.

    Raises
    ------
    ReaderError
        If it cannot be opened.
    """
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", errors="replace")
        return path.open("r", errors="replace")
    except OSError as error:
        raise ReaderError(f"{path}: {error.strerror or error}") from error


def numbers(lines: list[str], columns: int, where: str) -> FloatArray:
    """Return lines of at least `columns` numbers as an array (n_lines, columns).

    Raises
    ------
    ReaderError
        If a line is short or holds something else; the message says where.
    """
    try:
        return np.array([line.split()[:columns] for line in lines], dtype=float).reshape(len(lines), columns)
    except ValueError:
        number, found = next((n, line) for n, line in enumerate(lines, start=1) if not _holds(line, columns))
        text = f"line {number} of these holds {found.strip()[:40]!r}"
        raise ReaderError(f"{where}: expected {columns} numbers a line, {text}") from None


def _holds(line: str, columns: int) -> bool:
    """Return True if a line begins with so many numbers."""
    words = line.split()[:columns]
    try:
        return len([float(word) for word in words]) == columns
    except ValueError:
        return False


def take_lines(file: Iterable[str], count: int, where: str) -> list[str]:
    """Return the next lines of a file.

    Raises
    ------
    BrokenOffError
        If the file ends before.
    """
    lines = [line for _, line in zip(range(count), file, strict=False)]
    if len(lines) < count:
        raise BrokenOffError(f"{where}: the file ends within a frame ({len(lines)} of {count} lines)")
    return lines


def take_parsed(file: Iterable[str], count: int, where: str, parse: Callable[[list[str]], _Made]) -> _Made:
    """Return what is made of the next lines of a file.

    Raises
    ------
    BrokenOffError
        If the file ends before or within the last of them.
    ReaderError
        If `parse` does.
    """
    lines = take_lines(file, count, where)
    try:
        return parse(lines)
    except ReaderError as error:
        if lines and not lines[-1].endswith("\n"):
            raise BrokenOffError(f"{where}: the file ends within a line ({error})") from error
        raise


def time_step(
    options: ReadOptions, path: Path, recorded_fs: float | None = None, notes: list[str] | None = None
) -> float:
    """Return the time step in fs: the given one, else the recorded one; `notes` gets where they disagree.

    Raises
    ------
    NoTimeStepError
        If neither is there, though times are needed.
    ReaderError
        If it is not positive.
    """
    step = options.time_step_fs if options.time_step_fs is not None else recorded_fs
    if step is None and not options.needs_times:
        return 1.0
    if step is None:
        raise NoTimeStepError(f"{path}: the file does not say its time step; give it (--time-step-fs)")
    if not step > 0:
        raise ReaderError(f"{path}: time step {step} fs is not positive")
    if notes is not None and recorded_fs is not None and _differ(step, recorded_fs):
        notes.append(
            f"{path.name} says a time step of {recorded_fs:g} fs; --time-step-fs {step:g} is used instead"
        )
    return float(step)


def steps_between_frames(options: ReadOptions, path: Path, recorded: float | None, notes: list[str]) -> float:
    """Return the steps between frames: the given ones, else the recorded ones, else 1; `notes` as above.

    That 1 was assumed is noted too: diffusivities are inversely proportional to the time between frames.
    """
    if options.steps_per_frame is None:
        if not recorded:
            notes.append(f"{path.name}: no --steps-per-frame given: one step per frame was assumed")
        return recorded or 1
    if recorded is not None and _differ(options.steps_per_frame, recorded):
        notes.append(
            f"{path.name} says {recorded:g} steps between frames; --steps-per-frame "
            f"{options.steps_per_frame} is used instead"
        )
    return options.steps_per_frame


def with_own_times(trajectory: Trajectory, path: Path, options: ReadOptions) -> Trajectory:
    """Return a trajectory whose file holds the time of every frame, before a stride is taken.

    Where whole frames are missing, a new segment begins.
    These times are used whatever the options say: a time step of which the frames are whole multiples apart
    is noted with both values.

    Raises
    ------
    ReaderError
        If the options contradict the times.
    """
    step = options.time_step_fs
    if trajectory.n_frames < 2:
        return trajectory
    intervals = np.diff(trajectory.times_ps)
    usual = float(np.median(intervals))
    apart = np.round(intervals / usual)
    missing = np.flatnonzero((apart > 1) & (np.abs(intervals - apart * usual) < _WHOLE * usual)) + 1
    if len(missing):
        trajectory = replace(trajectory, segment_starts=(*trajectory.segment_starts, *missing.tolist()))
    if step is None:
        return trajectory
    interval_fs = 1000 * usual
    if not _differ(step * (options.steps_per_frame or 1), interval_fs):
        return trajectory
    steps = round(interval_fs / step)
    given = f"--time-step-fs {step:g}"
    if options.steps_per_frame is not None:
        given += f" and --steps-per-frame {options.steps_per_frame}"
    if options.steps_per_frame is not None or steps < 1 or _differ(steps * step, interval_fs):
        raise ReaderError(
            f"{path}: its frames are {interval_fs:g} fs apart by the times in the file, which {given} "
            "contradicts; leave that out"
        )
    note = (
        f"{path.name} holds the time of every frame, {interval_fs:g} fs apart, which is used; {given} "
        f"changes nothing ({steps} steps between frames)"
    )
    return replace(trajectory, notes=(*trajectory.notes, note))


def _differ(one: float, other: float) -> bool:
    """Return True if two times or numbers of steps are not the same within rounding."""
    return abs(one - other) > _SAME_TIME * abs(other)


def broken_off(path: Path, index: int) -> str:
    """Return the note on a file that ends within the frame of an index, which is left out."""
    return f"{path.name} breaks off in frame {index + 1}: read up to the frame before"


def assemble(
    frames: Iterator[Frame],
    path: Path,
    step_fs: float,
    unwrapped: bool,
    options: ReadOptions,
    notes: Sequence[str] = (),
) -> Trajectory:
    """Return the trajectory of the wanted frames, cut and joined where the run was restarted.

    A frame whose step does not increase, or skips some, begins a new segment; one that repeats the step
    before is a checkpoint written twice and is dropped. `notes`, which the frames' generator may still add to
    while it is read, go with the trajectory.

    Raises
    ------
    ReaderError
        If there is no frame, the atoms change, or the file breaks off in its first frame.
    """
    segments: list[list[Frame]] = []
    for read, frame in enumerate(frames):
        _refuse_impossible(frame, f"{path}, frame {options.number(read)}")
        if segments and frame.species != segments[0][0].species:
            raise ReaderError(f"{path}, frame {options.number(read)}: {_change(segments[0][0], frame)}")
        if segments and frame.step == segments[-1][-1].step:
            continue
        if not segments or frame.step < segments[-1][-1].step or _skips(segments[-1], frame):
            segments.append([])
        segments[-1].append(frame)
    if not segments:
        raise ReaderError(f"{path}: no frame found")
    joined = concatenate([_segment(segment, step_fs, unwrapped, options) for segment in segments])
    return replace(joined, notes=tuple(notes))


def _refuse_impossible(frame: Frame, where: str) -> None:
    """Refuse a frame with a value that is not finite, naming the atom, or without a volume."""
    for name in ("positions", "cell", "velocities", "temperature_K", "potential_energy_eV"):
        value = getattr(frame, name)
        if value is None or np.all(np.isfinite(value)):
            continue
        atom = ""
        if name in ("positions", "velocities"):
            atom = f" of atom {int(np.argwhere(~np.isfinite(value))[0, 0]) + 1}"
        raise ReaderError(
            f"{where}: {name}{atom} not finite (nan or inf): the run broke down there or before; "
            "end the file before that"
        )
    if abs(np.linalg.det(frame.cell)) < 1e-6:
        raise ReaderError(f"{where}: the cell has no volume; a periodic cell is needed in every frame")


def _change(first: Frame, frame: Frame) -> str:
    """Return how the atoms of a frame differ from those of the first."""
    if sorted(first.species) == sorted(frame.species):
        return (
            "the atoms are in another order than in the first frame, so that none can be followed; write all "
            "frames in one order (sorted by the atoms' ids)"
        )
    return f"atoms {_counts(frame)}, in the first frame {_counts(first)}: all frames must hold the same atoms"


def _counts(frame: Frame) -> str:
    """Return the elements of a frame with their numbers."""
    return " ".join(f"{symbol}{number}" for symbol, number in sorted(Counter(frame.species).items()))


def _skips(segment: Sequence[Frame], frame: Frame) -> bool:
    """Return True if frames are missing between the last of a segment and this one."""
    if len(segment) < 2:
        return False
    return frame.step - segment[-1].step > 1.5 * (segment[-1].step - segment[-2].step)


def _segment(frames: list[Frame], step_fs: float, unwrapped: bool, options: ReadOptions) -> Trajectory:
    """Return the trajectory of one uninterrupted segment."""
    first = frames[0]
    same_cell = all(frame.cell is first.cell for frame in frames)
    optional: dict[str, Any] = {}
    for name, source in (
        ("velocities", "velocities"),
        ("temperatures_K", "temperature_K"),
        ("potential_energies_eV", "potential_energy_eV"),
    ):
        values = [getattr(frame, source) for frame in frames]
        optional[name] = None if any(value is None for value in values) else np.array(values)
    if optional["temperatures_K"] is None and options.temperature_K is not None:
        optional["temperatures_K"] = np.full(len(frames), options.temperature_K)
    return Trajectory(
        positions=np.stack([frame.positions for frame in frames]),
        cells=first.cell if same_cell else np.stack([frame.cell for frame in frames]),
        species=first.species,
        times_ps=np.array([frame.step for frame in frames], dtype=float) * step_fs / 1000,
        unwrapped=unwrapped,
        **optional,
    )
