"""The platform's own archives, and npz files of other programs."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from sse_screen.dynamics.readers.frames import (
    ReaderError,
    ReadOptions,
    steps_between_frames,
    time_step,
    with_own_times,
)
from sse_screen.dynamics.trajectory import Trajectory

_NAMES = {
    "positions": ("positions", "position", "coords", "R"),
    "cells": ("cells", "cell", "lattice", "lattices", "box"),
    "species": ("species", "symbols", "elements", "numbers", "atomic_numbers", "z"),
}


def read(path: Path, options: ReadOptions) -> Trajectory:
    """Read an npz archive: this platform's, or any with positions, cell(s) and species.

    Names understood: positions (n_frames, n_atoms, 3) in Å; cells, cell, lattice or box; species, symbols
    or atomic numbers; optionally times_ps, velocities (Å/fs) or momenta (ASE's units), energy (eV).

    Raises
    ------
    ReaderError
        If it is no archive, an array is missing, there are neither times nor a time step, or these contradict
        one another.
    """
    if not zipfile.is_zipfile(path):
        raise ReaderError(
            f"{path}: not a readable npz file: it is no trajectory archive, or one that is cut short"
        )
    with np.load(path, allow_pickle=False) as archive:
        if "format" in archive.files:
            return _chosen(with_own_times(Trajectory.load(path), path, options), options)
        found = {
            key: next((archive[name] for name in names if name in archive.files), None)
            for key, names in _NAMES.items()
        }
        missing = [key for key, value in found.items() if value is None]
        if missing:
            raise ReaderError(f"{path}: no {', '.join(missing)}; it holds {', '.join(archive.files)}")
        extra = {
            name: archive[name] for name in ("times_ps", "velocities", "momenta", "energy") if name in archive
        }
    positions, labels = np.asarray(found["positions"]), np.asarray(found["species"])
    species = tuple(
        chemical_symbols[int(label)] if np.issubdtype(labels.dtype, np.number) else str(label)
        for label in labels
    )
    notes: list[str] = []
    if "times_ps" in extra:
        times = extra["times_ps"]
    else:
        step_fs = time_step(options, path) * steps_between_frames(options, path, None, notes)
        times = np.arange(len(positions)) * step_fs / 1000
    trajectory = Trajectory(
        positions=positions,
        cells=np.asarray(found["cells"]),
        species=species,
        times_ps=times,
        unwrapped=bool(options.unwrapped),
        velocities=_velocities(extra, species),
        potential_energies_eV=extra.get("energy"),
        notes=tuple(notes),
    )
    if "times_ps" in extra:
        trajectory = with_own_times(trajectory, path, options)
    return _chosen(trajectory, options)


def read_platform(path: Path, options: ReadOptions) -> Trajectory:
    """Read a trajectory file that this platform's molecular dynamics wrote (HDF5), wanted frames only.

    Raises
    ------
    InputError
        If it is not such a file, or a time step was given that contradicts its times.
    """
    from sse_screen.dynamics.trajectory_file import read_trajectory_file

    trajectory = read_trajectory_file(path, options.start, options.stop)
    return with_own_times(trajectory, path, options)[:: options.stride]


def _velocities(extra: dict[str, Any], species: tuple[str, ...]) -> Any:
    """Return velocities in Å/fs from velocities or momenta, None if there are none."""
    if "velocities" in extra:
        return extra["velocities"]
    if "momenta" not in extra:
        return None
    masses = np.array([atomic_masses[atomic_numbers[symbol]] for symbol in species])
    return extra["momenta"] / masses[:, None].astype(extra["momenta"].dtype) * np.float32(units.fs)


def _chosen(trajectory: Trajectory, options: ReadOptions) -> Trajectory:
    """Return the wanted frames."""
    return trajectory[options.start : options.stop : options.stride]
