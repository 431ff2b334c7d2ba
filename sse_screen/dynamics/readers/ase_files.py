"""ASE binary trajectories."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import units

from sse_screen.dynamics.readers.frames import (
    Frame,
    ReaderError,
    ReadOptions,
    assemble,
    steps_between_frames,
    time_step,
)
from sse_screen.dynamics.trajectory import Trajectory


def read(path: Path, options: ReadOptions) -> Trajectory:
    """Read an ASE .traj file frame by frame.

    ASE's own dynamics writes unwrapped positions, other programs may not: they are taken as wrapped unless
    the options say otherwise, which is right for both while no atom moves half a cell between frames.

    Raises
    ------
    ReaderError
        If it is not an ASE trajectory or no time step was given.
    """
    from ase.io.trajectory import TrajectoryReader
    from ase.io.ulm import InvalidULMFileError

    try:
        with TrajectoryReader(str(path)) as file:
            described = file.description if isinstance(file.description, dict) else {}
            recorded = _recorded_step(described)
            notes: list[str] = []
            step_fs = time_step(options, path, recorded, notes)
            step_fs *= steps_between_frames(options, path, described.get("interval"), notes)
            frames = _frames(file, options)
            return assemble(frames, path, step_fs, bool(options.unwrapped), options, notes)
    except InvalidULMFileError as error:
        raise ReaderError(f"{path}: not an ASE trajectory ({error})") from error


def _recorded_step(described: dict[str, Any]) -> float | None:
    """Return the time step in fs that ASE's dynamics stores in the file's description."""
    step = described.get("timestep")
    return None if step is None else float(step) / units.fs


def _frames(file: Any, options: ReadOptions) -> Iterator[Frame]:
    """Give the wanted frames."""
    stop = len(file) if options.stop is None else min(options.stop, len(file))
    for index in range(options.start, stop, options.stride):
        atoms = file[index]
        velocities = temperature = energy = None
        if atoms.has("momenta"):
            velocities = atoms.get_velocities() * units.fs
            temperature = float(atoms.get_temperature())
        if atoms.calc is not None and "energy" in atoms.calc.results:
            energy = float(atoms.calc.results["energy"])
        yield Frame(
            positions=atoms.get_positions(),
            cell=np.array(atoms.cell),
            species=tuple(atoms.get_chemical_symbols()),
            step=index,
            velocities=velocities,
            temperature_K=temperature,
            potential_energy_eV=energy,
        )
