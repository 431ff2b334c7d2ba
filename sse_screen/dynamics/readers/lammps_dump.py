"""LAMMPS text dumps (custom and atom style)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from sse_screen.dynamics.readers.frames import (
    FloatArray,
    Frame,
    ReaderError,
    ReadOptions,
    assemble,
    broken_off,
    numbers,
    open_text,
    take_lines,
    time_step,
)
from sse_screen.dynamics.trajectory import Trajectory

# LAMMPS velocities in metal units are Å/ps.
_A_PER_PS = 1e-3


@dataclass(frozen=True, eq=False)
class _Box:
    """Cell and origin of a frame."""

    cell: FloatArray
    origin: FloatArray


def read(path: Path, options: ReadOptions) -> Trajectory:
    """Read a LAMMPS text dump in metal units.

    Coordinates are taken, in this order, from xu yu zu, xsu ysu zsu (unwrapped), x y z or xs ys zs with
    image flags ix iy iz (unwrapped by them), and x y z or xs ys zs alone (wrapped). Elements come from the
    element column or from `type_map`. Atoms are ordered by id. Times are TIMESTEP × the time step.

    Raises
    ------
    ReaderError
        If a frame is broken, a type has no element, no time step was given, or the steps between frames are
        given and contradict the file.
    """
    step_fs = time_step(options, path)
    notes: list[str] = []
    with open_text(path) as file:
        frames = list(_frames(file, path, options, notes))
    unwrapped = bool(frames) and all(flag for _, flag in frames)
    if options.unwrapped is not None:
        unwrapped = options.unwrapped
    _check_steps([frame.step for frame, _ in frames], path, options)
    return assemble((frame for frame, _ in frames), path, step_fs, unwrapped, options, notes)


def _check_steps(steps: list[float], path: Path, options: ReadOptions) -> None:
    """Refuse steps between frames that contradict the TIMESTEPs in the file, which are used."""
    if options.steps_per_frame is None or len(steps) < 2:
        return
    apart = float(np.median(np.diff(steps))) / options.stride
    if apart > 0 and apart != options.steps_per_frame:
        raise ReaderError(
            f"{path}: its frames are {apart:g} steps apart by the TIMESTEPs in the file, which "
            f"--steps-per-frame {options.steps_per_frame} contradicts; leave that out"
        )


def _frames(
    file: IO[str], path: Path, options: ReadOptions, notes: list[str]
) -> Iterator[tuple[Frame, bool]]:
    """Give the wanted frames and whether they are unwrapped; one that breaks off is left out and noted."""
    step, n_atoms, index = 0, 0, 0
    box: _Box | None = None
    for line in file:
        where = f"{path}, frame {index + 1}"
        if not line.startswith("ITEM:"):
            if line.strip():
                raise ReaderError(f"{where}: expected ITEM:, found {line.strip()[:40]!r}")
            continue
        item = line[5:].strip()
        try:
            if item == "TIMESTEP":
                step = int(take_lines(file, 1, where)[0])
            elif item == "NUMBER OF ATOMS":
                n_atoms = int(take_lines(file, 1, where)[0])
            elif item.startswith("BOX BOUNDS"):
                box = _box(item, take_lines(file, 3, where), where)
            elif item.startswith("ATOMS"):
                if options.ends(index):
                    return
                lines = take_lines(file, n_atoms, where)
                if options.wants(index):
                    if box is None:
                        raise ReaderError(f"{where}: no BOX BOUNDS before the atoms")
                    yield _frame(item.split()[1:], lines, box, step, options, where)
                index += 1
            else:
                take_lines(file, 1, where)
        except ReaderError as error:
            if index == 0 or "the file ends within a frame" not in str(error):
                raise
            notes.append(broken_off(path, index))
            return


def _box(item: str, lines: list[str], where: str) -> _Box:
    """Return cell and origin: orthogonal, restricted triclinic (bounding box and tilts) or general."""
    if "abc origin" in item:
        rows = numbers(lines, 4, where)
        return _Box(rows[:, :3], rows[:, 3])
    if "xy xz yz" not in item:
        rows = numbers(lines, 2, where)
        return _Box(np.diag(rows[:, 1] - rows[:, 0]), rows[:, 0])
    rows = numbers(lines, 3, where)
    xy, xz, yz = rows[:, 2]
    low = rows[:, 0] - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = rows[:, 1] - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    lx, ly, lz = high - low
    return _Box(np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]]), low)


def _frame(
    columns: list[str], lines: list[str], box: _Box, step: int, options: ReadOptions, where: str
) -> tuple[Frame, bool]:
    """Return one frame, ordered by id, and whether it is unwrapped."""
    place = {name: column for column, name in enumerate(columns)}
    rows = [line.split() for line in lines]
    if any(len(row) < len(columns) for row in rows):
        raise ReaderError(f"{where}: a line holds fewer than the {len(columns)} columns named")
    if "id" in place:
        rows.sort(key=lambda row: int(row[place["id"]]))

    def values(*names: str) -> FloatArray | None:
        """Give the columns of these names; none where one is missing."""
        if any(name not in place for name in names):
            return None
        return numbers([" ".join(row[place[name]] for name in names) for row in rows], len(names), where)

    positions, unwrapped = _positions(values, box, where)
    velocities = values("vx", "vy", "vz")
    species = _species(rows, place, options, where)
    frame = Frame(
        positions,
        box.cell,
        species,
        step,
        velocities=None if velocities is None else velocities * _A_PER_PS,
    )
    return frame, unwrapped


def _positions(values, box: _Box, where: str) -> tuple[FloatArray, bool]:  # type: ignore[no-untyped-def]
    """Return Cartesian positions relative to the origin of the box, and whether they are unwrapped."""
    free = values("xu", "yu", "zu")
    if free is not None:
        return free - box.origin, True
    scaled_free = values("xsu", "ysu", "zsu")
    if scaled_free is not None:
        return scaled_free @ box.cell, True
    cartesian, scaled = values("x", "y", "z"), values("xs", "ys", "zs")
    if cartesian is None and scaled is None:
        raise ReaderError(f"{where}: no coordinates among the columns (x, xs, xu or xsu)")
    positions = cartesian - box.origin if cartesian is not None else scaled @ box.cell
    images = values("ix", "iy", "iz")
    if images is None:
        return positions, False
    return positions + images @ box.cell, True


def _species(
    rows: list[list[str]], place: dict[str, int], options: ReadOptions, where: str
) -> tuple[str, ...]:
    """Return the elements from the element column or the type map."""
    if "element" in place:
        return tuple(row[place["element"]] for row in rows)
    if "type" not in place:
        if set(options.type_map) == {1}:
            return (options.type_map[1],) * len(rows)
        raise ReaderError(f"{where}: neither element nor type among the columns; give --type-map 1=Li")
    types = [int(row[place["type"]]) for row in rows]
    missing = sorted(set(types) - set(options.type_map))
    if missing:
        listed = ", ".join(str(number) for number in missing)
        raise ReaderError(f"{where}: no element for atom type {listed}; give --type-map {missing[0]}=Li")
    return tuple(options.type_map[number] for number in types)
