"""The stored form of a trajectory: chunked, compressed HDF5 with random access by frame range.

Positions are unwrapped and rounded to a stated tolerance (integers of ``2 * tolerance``), which is what makes
them small: thermal motion of a few ångström needs 12 bits a coordinate at 1e-3 Å. HDF5 because every language
reads it and its chunks, filters and partial reads are what is needed here.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.exceptions import InputError

FORMAT_VERSION = 3
# the first had frames as the first axis of the positions, the first two a string an atom for the species
_READ_VERSIONS = (1, 2, 3)
DEFAULT_TOLERANCE_A = 5e-4
_FRAMES_PER_CHUNK = 100  # runs have round lengths, and a chunk that is full compresses a tenth better
_CACHE_BYTES = 32 * 1024**2  # a chunk that segments share is compressed once, when it is complete
_LIBRARY = ("v110", "v110")  # HDF5 1.10 and later read it; half the bytes for what is not data
_SCALARS = ("temperatures_K", "potential_energies_eV")
Source = Path | bytes | BinaryIO


def write_trajectory_file(
    path: Path, segments: Iterable[Trajectory], tolerance_A: float = DEFAULT_TOLERANCE_A
) -> None:
    """Write segments one after the other, holding one in memory at a time.

    Parameters
    ----------
    path : Path
        File to write; it is replaced only when complete.
    segments : iterable of Trajectory
        Unwrapped segments of the same atoms, in order of time.
    tolerance_A : float
        Largest error of a stored coordinate (Å).

    Raises
    ------
    InputError
        When a segment is wrapped or there is none.
    """
    partial = path.with_suffix(path.suffix + ".partial")
    with h5py.File(partial, "w", libver=_LIBRARY, rdcc_nbytes=_CACHE_BYTES) as file:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["tolerance_A"] = tolerance_A
        written = 0
        datasets: dict[str, h5py.Dataset] = {}  # closing one would compress and write its unfinished chunk
        for segment in segments:
            if not segment.unwrapped:
                raise InputError("only unwrapped trajectories are stored; unwrap it first")
            _append(file, datasets, segment, written, tolerance_A)
            written += segment.n_frames
        if written == 0:
            raise InputError("a trajectory needs at least one segment to be stored")
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(path)


def _append(
    file: h5py.File, datasets: dict[str, h5py.Dataset], segment: Trajectory, start: int, tolerance_A: float
) -> None:
    arrays: dict[str, Any] = {
        # one coordinate's frames beside one another, which compresses by a seventh better
        "positions": np.moveaxis(_whole_numbers(segment, tolerance_A), 0, -1),
        "cells": np.asarray(segment.cells, dtype=np.float64),
        "times_ps": np.asarray(segment.times_ps, dtype=np.float64),
    }
    if segment.velocities is not None:
        arrays["velocities"] = segment.velocities.astype(np.float32)
    for name in _SCALARS:
        values = getattr(segment, name)
        if values is not None:
            arrays[name] = np.asarray(values, dtype=np.float64)
    if start == 0:
        file.attrs["species"] = _pack_species(segment.species)
    for name, array in arrays.items():
        axis = array.ndim - 1 if name == "positions" else 0
        if start == 0:
            datasets[name] = file.create_dataset(
                name,
                shape=_along(axis, array.shape, 0),
                maxshape=_along(axis, array.shape, None),
                dtype=array.dtype,
                chunks=_along(axis, array.shape, _FRAMES_PER_CHUNK),
                compression="gzip",
                compression_opts=4,
                shuffle=True,
            )
        datasets[name].resize(start + array.shape[axis], axis=axis)
        datasets[name][_along(axis, (slice(None),) * array.ndim, slice(start, None))] = array


def _pack_species(species: Sequence[str]) -> np.bytes_:
    """Write species as one text such as ``Li 56 La 24``: HDF5 takes 6 kB for a list of 50 strings."""
    runs = ((symbol, len(list(same))) for symbol, same in itertools.groupby(species))
    return np.bytes_(" ".join(f"{symbol} {number}" for symbol, number in runs))


def _species_of(file: h5py.File) -> list[str]:
    stored = file.attrs["species"]
    if file.attrs["format_version"] < 3:
        return [str(symbol) for symbol in stored]
    words = bytes(stored).decode().split()
    return [symbol for symbol, n in zip(words[::2], words[1::2], strict=True) for _ in range(int(n))]


def _whole_numbers(trajectory: Trajectory, tolerance_A: float) -> NDArray[np.int32]:
    return np.round(trajectory.positions / (2 * tolerance_A)).astype(np.int32)


def as_stored(trajectory: Trajectory, tolerance_A: float = DEFAULT_TOLERANCE_A) -> Trajectory:
    """Round positions as a trajectory file does, so that what is judged is the same before and after storing.

    Parameters
    ----------
    trajectory : Trajectory
        Frames of a run.
    tolerance_A : float
        Largest error of a stored coordinate (Å).

    Returns
    -------
    Trajectory
        With the positions that are read back from a file.
    """
    return replace(trajectory, positions=_whole_numbers(trajectory, tolerance_A) * (2 * tolerance_A))


def _along(axis: int, shape: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """Replace one entry of a shape or of a tuple of slices."""
    return (*shape[:axis], value, *shape[axis + 1 :])


def read_trajectory_file(
    source: Source, start: int = 0, stop: int | None = None, atoms: Sequence[int] | None = None
) -> Trajectory:
    """Read a range of frames.

    Parameters
    ----------
    source : Path, bytes or binary file
        The file, its content, or anything that can be read and sought, such as a blob opened in the database.
    start, stop : int
        First frame and the one after the last; only these chunks are read. As in a slice, negative ones count
        from the end, and a stop beyond the end is the end.
    atoms : sequence of int, optional
        Indices of the atoms to keep, from 0 on; all by default.

    Returns
    -------
    Trajectory
        Unwrapped positions (n_frames, n_atoms, 3) in Å and all that was stored with them.

    Raises
    ------
    InputError
        When it is not a trajectory file of a known version.
    TrajectoryError
        When it has none of these frames, or not these atoms.
    """
    with _opened(source) as file:
        n_frames = len(file["times_ps"])
        if not range(n_frames)[start:stop]:
            end = "the end" if stop is None else stop
            raise TrajectoryError(
                f"{_name(source)}: frames {start} to {end} asked for, the file has {n_frames}"
            )
        return _frames(file, slice(start, stop), atoms)


def trajectory_blocks(
    source: Source,
    start: int = 0,
    stop: int | None = None,
    atoms: Sequence[int] | None = None,
    frames_per_block: int = 5 * _FRAMES_PER_CHUNK,
) -> Iterator[Trajectory]:
    """Stream a range of frames, one block in memory at a time.

    Parameters
    ----------
    source, start, stop, atoms
        As in :func:`read_trajectory_file`.
    frames_per_block : int
        Length of a block; multiples of 100 frames are read without unpacking any chunk twice.

    Yields
    ------
    Trajectory
        The blocks in order of time.
    """
    with _opened(source) as file:
        frames = range(len(file["times_ps"]))[start:stop]
        for first in range(frames.start, frames.stop, frames_per_block):
            yield _frames(file, slice(first, min(first + frames_per_block, frames.stop)), atoms)


def read_scalars(source: Source, start: int = 0, stop: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Read what is one number a frame, without the positions.

    Parameters
    ----------
    source, start, stop
        As in :func:`read_trajectory_file`.

    Returns
    -------
    dict
        ``times_ps``, ``volumes_A3`` and, where they were recorded, ``temperatures_K`` and
        ``potential_energies_eV``, each (n_frames,).
    """
    with _opened(source) as file:
        frames = slice(start, stop)
        found = {name: file[name][frames] for name in ("times_ps", *_SCALARS) if name in file}
        return found | {"volumes_A3": np.abs(np.linalg.det(file["cells"][frames]))}


@dataclass(frozen=True)
class StoredSize:
    """Frames, atoms, tolerance of the positions (Å), and bytes an atom and frame of the whole file."""

    n_frames: int
    n_atoms: int
    tolerance_A: float
    bytes_per_atom_and_frame: float


def stored_size(path: Path) -> StoredSize:
    """Tell how large a trajectory file is.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    StoredSize
        Everything that the file holds counts, not the positions alone.
    """
    with _opened(path) as file:
        n_frames, n_atoms = len(file["times_ps"]), len(_species_of(file))
        tolerance_A = float(file.attrs["tolerance_A"])
    return StoredSize(n_frames, n_atoms, tolerance_A, path.stat().st_size / (n_frames * n_atoms))


def _name(source: Source) -> str:
    return str(source) if isinstance(source, Path) else "the stored trajectory"


@contextmanager
def _opened(source: Source) -> Iterator[h5py.File]:
    name = _name(source)
    try:
        with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as file:
            version = int(file.attrs.get("format_version", -1))
            if version not in _READ_VERSIONS:
                raise InputError(f"{name}: format_version {version} is none of {_READ_VERSIONS}")
            yield file
    except OSError as error:
        raise InputError(f"{name}: not a readable trajectory file: {error}") from error


def _frames(file: h5py.File, frames: slice, atoms: Sequence[int] | None) -> Trajectory:
    chosen: Any = slice(None) if atoms is None else list(atoms)
    scale = 2 * float(file.attrs["tolerance_A"])
    held = _species_of(file)
    if atoms is not None and (not len(atoms) or min(atoms) < 0 or max(atoms) >= len(held)):
        asked = f"{min(atoms)} to {max(atoms)}" if len(atoms) else "none"
        raise TrajectoryError(f"atoms: {asked} asked for, the file has {len(held)} (0 to {len(held) - 1})")
    species = np.array(held)[chosen]
    optional = {name: file[name][frames] for name in _SCALARS if name in file}
    if "velocities" in file:
        optional["velocities"] = file["velocities"][frames][:, chosen]
    if file.attrs["format_version"] == 1:
        positions = file["positions"][frames]
    else:
        positions = np.moveaxis(file["positions"][:, :, frames], -1, 0)
    return Trajectory(
        positions=np.ascontiguousarray(positions[:, chosen]) * scale,
        cells=file["cells"][frames],
        species=tuple(species.tolist()),
        times_ps=file["times_ps"][frames],
        unwrapped=True,
        **optional,
    )
