"""Extended XYZ files."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from ase import units
from ase.data import chemical_symbols

from sse_screen.dynamics.readers.frames import (
    BrokenOffError,
    FloatArray,
    Frame,
    ReaderError,
    ReadOptions,
    assemble,
    broken_off,
    numbers,
    open_text,
    steps_between_frames,
    take_lines,
    take_parsed,
    time_step,
)
from sse_screen.dynamics.trajectory import Trajectory

_PAIR = re.compile(r"""([\w.-]+)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\S+)""")


def read(path: Path, options: ReadOptions) -> Trajectory:
    """Read an extended XYZ file with a Lattice in every frame.

    Recorded per frame and used where there: energy, temperature, momenta or velocities (ASE's units).
    Positions are taken as wrapped unless the options say otherwise: minimum-image steps are right for both
    as long as no atom moves half a cell between frames.

    Raises
    ------
    ReaderError
        If a frame is broken, has no Lattice, or no time step was given.
    """
    notes: list[str] = []
    step_fs = time_step(options, path) * steps_between_frames(options, path, None, notes)
    with open_text(path) as file:
        frames = _frames(file, path, options, notes)
        return assemble(frames, path, step_fs, bool(options.unwrapped), options, notes)


def _frames(file: IO[str], path: Path, options: ReadOptions, notes: list[str]) -> Iterator[Frame]:
    """Give the wanted frames; a last one that breaks off is left out and noted."""
    index = 0
    for line in file:
        if not line.strip():
            continue
        where = f"{path}, frame {index + 1}"
        try:
            n_atoms = int(line)
        except ValueError as error:
            raise ReaderError(f"{where}: expected a number of atoms, found {line.strip()[:40]!r}") from error
        if options.ends(index):
            return
        try:
            if options.wants(index):
                yield take_parsed(file, n_atoms + 1, where, partial(_frame, index=index, where=where))
            else:
                take_lines(file, n_atoms + 1, where)
        except BrokenOffError:
            if index == 0:
                raise
            notes.append(broken_off(path, index))
            return
        index += 1


def _frame(lines: list[str], index: int, where: str) -> Frame:
    """Return the frame of a comment line and its atoms."""
    pairs = {key.lower(): value.strip("\"'{}[]") for key, value in _PAIR.findall(lines[0])}
    if "lattice" not in pairs:
        raise ReaderError(f"{where}: no Lattice in the comment line; a periodic cell is needed")
    cell = np.array([float(x) for x in pairs["lattice"].replace(",", " ").split()])
    if cell.size != 9:
        raise ReaderError(f"{where}: Lattice holds {cell.size} numbers, expected 9")
    columns = _columns(pairs.get("properties", "species:S:1:pos:R:3"))
    if "pos" not in columns:
        raise ReaderError(f"{where}: no pos among the Properties")
    rows = [line.split() for line in lines[1:]]
    if not all(rows):
        raise ReaderError(f"{where}: an empty line among the atoms")
    species = _species(rows, columns, where)
    velocities = None
    if "momenta" in columns:
        from ase.data import atomic_masses, atomic_numbers

        masses = np.array([atomic_masses[atomic_numbers[symbol]] for symbol in species])
        velocities = _column(rows, columns["momenta"], where) / masses[:, None] * units.fs
    elif "velocities" in columns or "velo" in columns:
        velocities = _column(rows, columns.get("velocities", columns.get("velo", (0, 3))), where) * units.fs
    return Frame(
        positions=_column(rows, columns["pos"], where),
        cell=cell.reshape(3, 3),
        species=species,
        step=index,
        velocities=velocities,
        temperature_K=_number(pairs, "temperature_k", "temperature"),
        potential_energy_eV=_number(pairs, "energy", "potential_energy", "free_energy"),
    )


def _columns(properties: str) -> dict[str, tuple[int, int]]:
    """Return first column and width of each property."""
    parts = properties.split(":")
    found, first = {}, 0
    for name, _, width in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        found[name.lower()] = (first, int(width))
        first += int(width)
    return found


def _column(rows: list[list[str]], place: tuple[int, int], where: str) -> FloatArray:
    """Return the numbers of one property."""
    first, width = place
    return numbers([" ".join(row[first : first + width]) for row in rows], width, where)


def _species(rows: list[list[str]], columns: dict[str, tuple[int, int]], where: str) -> tuple[str, ...]:
    """Return the symbols from a species or an atomic number column."""
    if "species" in columns:
        first = columns["species"][0]
        return tuple(row[first].capitalize() for row in rows)
    for name in ("z", "numbers"):
        if name in columns:
            return tuple(chemical_symbols[int(row[columns[name][0]])] for row in rows)
    raise ReaderError(f"{where}: neither species nor Z among the Properties")


def _number(pairs: dict[str, str], *names: str) -> float | None:
    """Return the first of some numbers of a comment line, None if none is there."""
    for name in names:
        if name in pairs:
            try:
                return float(pairs[name])
            except ValueError:
                return None
    return None
