"""Choose the reader of a file by its name and content."""

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from sse_screen.dynamics.readers import ase_files, diffusion_analyzer, extended_xyz, lammps_dump, npz, vasp
from sse_screen.dynamics.readers.frames import ReaderError, ReadOptions
from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.dynamics.velocity_check import frame_interval_of_velocities_fs

Reader = Callable[[Path, ReadOptions], Trajectory]

FORMATS: dict[str, Reader] = {
    "ase": ase_files.read,
    "diffusion-analyzer": diffusion_analyzer.read,
    "extxyz": extended_xyz.read,
    "lammps-dump": lammps_dump.read,
    "npz": npz.read,
    "platform": npz.read_platform,
    "vasprun": vasp.read_vasprun,
    "xdatcar": vasp.read_xdatcar,
}
_SUFFIXES = {
    ".traj": "ase",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".lammpstrj": "lammps-dump",
    ".dump": "lammps-dump",
    ".npz": "npz",
    ".json": "diffusion-analyzer",
    ".h5": "platform",
    ".hdf5": "platform",
}


#: what the parsers of damaged files raise
_BROKEN = (
    *(ValueError, KeyError, IndexError, TypeError, OSError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def guess_format(path: Path) -> str:
    """Return the format of a file by its name.

    Raises
    ------
    ReaderError
        If the name says nothing; the message lists the formats.
    """
    name = path.name.removesuffix(".gz").lower()
    if "xdatcar" in name:
        return "xdatcar"
    if "vasprun" in name and ".xml" in name:
        return "vasprun"
    suffix = Path(name).suffix
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if "dump" in name:
        return "lammps-dump"
    raise ReaderError(f"{path}: format not known from the name; give it (--format {', '.join(FORMATS)})")


def read_trajectory(
    path: str | Path, format: str | None = None, options: ReadOptions | None = None
) -> Trajectory:
    """Read a trajectory file of any known format, gzipped or not.

    Parameters
    ----------
    path : str or Path
        The file.
    format : str, optional
        One of `FORMATS`; by the file's name if not given.
    options : ReadOptions, optional
        Time step, frames wanted, and what else the file does not say.

    Raises
    ------
    ReaderError
        If the file is missing, not of that format, broken, or needs an option that was not given.
    """
    path, options = Path(path), options or ReadOptions()
    if path.is_dir():
        raise ReaderError(f"{path}: is a folder; give the trajectory file in it")
    if not path.is_file():
        raise ReaderError(f"{path}: no such file")
    if options.stride < 1 or options.start < 0:
        raise ReaderError(
            f"frames: start {options.start} and stride {options.stride} must be 0 and 1 or more"
        )
    if options.time_step_fs is not None and not options.time_step_fs > 0:
        raise ReaderError(f"time step {options.time_step_fs} fs is not positive")
    if options.steps_per_frame is not None and options.steps_per_frame < 1:
        raise ReaderError(f"{options.steps_per_frame} steps per frame: give 1 or more (--steps-per-frame)")
    chosen = format or guess_format(path)
    if chosen not in FORMATS:
        raise ReaderError(f"format {chosen!r} is not one of {', '.join(FORMATS)}")
    try:
        trajectory = FORMATS[chosen](path, options)
    except ReaderError:
        raise
    except TrajectoryError as error:
        raise ReaderError(f"{path}: {error}") from error
    except _BROKEN as error:
        raise ReaderError(
            f"{path}: not a readable {chosen} file ({type(error).__name__}: {error})"
        ) from error
    if options.needs_times:
        _refuse_uneven(trajectory, path)
    return _with_velocities_compared(_with_temperature(trajectory, options), path)


def _refuse_uneven(trajectory: Trajectory, path: Path) -> None:
    """Refuse frames that are unevenly spaced in time, which no analysis can use."""
    if trajectory.n_frames < 2:
        return
    try:
        _ = trajectory.time_step_ps
    except TrajectoryError as error:
        raise ReaderError(
            f"{path}: {error}; write frames at one interval, or cut the file where the interval changes and "
            "analyse the parts one by one"
        ) from error


def _with_velocities_compared(trajectory: Trajectory, path: Path) -> Trajectory:
    """Return the trajectory with a note where its velocities contradict the times of its frames."""
    found_fs = frame_interval_of_velocities_fs(trajectory)
    if found_fs is None:
        return trajectory
    stated_fs = 1000 * float(np.median(np.diff(trajectory.times_ps)))
    note = (
        f"{path.name}: its frames are taken as {stated_fs:.3g} fs apart, while its atoms moved as by their "
        f"velocities in {found_fs:.2g} fs: the time step, the steps between frames or the unit of the "
        "velocities is wrong; diffusivities are inversely proportional to the first two"
    )
    return replace(trajectory, notes=(*trajectory.notes, note))


def _with_temperature(trajectory: Trajectory, options: ReadOptions) -> Trajectory:
    """Return the trajectory with the given temperature where none was recorded."""
    if trajectory.temperatures_K is not None or options.temperature_K is None:
        return trajectory
    return replace(trajectory, temperatures_K=np.full(len(trajectory), options.temperature_K))
