"""The stored form of a trajectory: chunked, compressed HDF5 with random access by frame range.

Positions are unwrapped and rounded to a stated tolerance (integers of ``2 * tolerance``), which is what makes
them small: thermal motion of a few ångström needs 12 bits a coordinate at 1e-3 Å. HDF5 because every language
reads it and its chunks, filters and partial reads are what is needed here.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError

FORMAT_VERSION = 1
DEFAULT_TOLERANCE_A = 5e-4
_FRAMES_PER_CHUNK = 64
_SCALARS = ("temperatures_K", "potential_energies_eV")


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
    with h5py.File(partial, "w") as file:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["tolerance_A"] = tolerance_A
        written = 0
        for segment in segments:
            if not segment.unwrapped:
                raise InputError("only unwrapped trajectories are stored; unwrap it first")
            _append(file, segment, written, tolerance_A)
            written += segment.n_frames
        if written == 0:
            raise InputError("a trajectory needs at least one segment to be stored")
    partial.replace(path)


def _append(file: h5py.File, segment: Trajectory, start: int, tolerance_A: float) -> None:
    arrays: dict[str, Any] = {
        "positions": np.round(segment.positions / (2 * tolerance_A)).astype(np.int32),
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
        file.attrs["species"] = list(segment.species)
    for name, array in arrays.items():
        if start == 0:
            file.create_dataset(
                name,
                shape=(0, *array.shape[1:]),
                maxshape=(None, *array.shape[1:]),
                dtype=array.dtype,
                chunks=(_FRAMES_PER_CHUNK, *array.shape[1:]),
                compression="gzip",
                compression_opts=4,
                shuffle=True,
            )
        file[name].resize(start + len(array), axis=0)
        file[name][start:] = array


def read_trajectory_file(source: Path | bytes, start: int = 0, stop: int | None = None) -> Trajectory:
    """Read a range of frames.

    Parameters
    ----------
    source : Path or bytes
        The file, or its content.
    start, stop : int
        First frame and the one after the last; only these chunks are read.

    Returns
    -------
    Trajectory
        Unwrapped positions (n_frames, n_atoms, 3) in Å and all that was stored with them.

    Raises
    ------
    InputError
        When it is not a trajectory file of a known version.
    """
    name = "the stored trajectory" if isinstance(source, bytes) else str(source)
    try:
        with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as file:
            version = int(file.attrs.get("format_version", -1))
            if version != FORMAT_VERSION:
                raise InputError(f"{name}: format_version {version} is not {FORMAT_VERSION}")
            frames = slice(start, stop)
            scale = 2 * float(file.attrs["tolerance_A"])
            optional = {key: file[key][frames] for key in ("velocities", *_SCALARS) if key in file}
            return Trajectory(
                positions=file["positions"][frames] * scale,
                cells=file["cells"][frames],
                species=tuple(str(symbol) for symbol in file.attrs["species"]),
                times_ps=file["times_ps"][frames],
                unwrapped=True,
                **optional,
            )
    except OSError as error:
        raise InputError(f"{name}: not a readable trajectory file: {error}") from error
