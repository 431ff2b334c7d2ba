"""LAMMPS text dumps (custom and atom style)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np

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
    take_lines,
    take_parsed,
    time_step,
)
from sse_screen.dynamics.trajectory import Trajectory


@dataclass(frozen=True)
class _Units:
    """A unit of velocity in Å/fs and one of time in fs; lengths are in Å in all that are read."""

    velocity_A_per_fs: float
    time_fs: float


# what `dump_modify units yes` writes; lengths of the others are no Å, and lj has none
_UNITS = {"metal": _Units(1e-3, 1e3), "real": _Units(1.0, 1.0)}


@dataclass(frozen=True, eq=False)
class _Box:
    """Cell and origin of a frame."""

    cell: FloatArray
    origin: FloatArray


@dataclass
class _Header:
    """What was last said above the atoms of a frame; the units stand at the head of the file only."""

    units: _Units | None = None
    time_fs: float | None = None
    step: int = 0
    n_atoms: int = 0
    box: _Box | None = None

    def take(self, item: str, file: IO[str], where: str) -> None:
        """Read the lines of an item."""
        if item.startswith("BOX BOUNDS"):
            self.box = take_parsed(file, 3, where, partial(_box, item, where=where))
            return
        line = take_lines(file, 1, where)[0].strip()
        if item == "TIMESTEP":
            self.step = int(line)
        elif item == "NUMBER OF ATOMS":
            self.n_atoms = int(line)
        elif item == "UNITS":
            self.units = _units(line, where)
        elif item == "TIME" and self.units is not None:
            self.time_fs = float(line) * self.units.time_fs


@dataclass(frozen=True, eq=False)
class _Read:
    """A frame, whether it is unwrapped, and its time where the file says it and its units."""

    frame: Frame
    unwrapped: bool
    time_fs: float | None


def read(path: Path, options: ReadOptions) -> Trajectory:
    """Read a LAMMPS text dump of a periodic box, in metal units, or real ones if the file says so.

    Coordinates are taken, in this order, from xu yu zu, xsu ysu zsu (unwrapped), x y z or xs ys zs with
    image flags ix iy iz (unwrapped by them), and x y z or xs ys zs alone (wrapped). Elements come from the
    element column or from `type_map`. Atoms are ordered by id. Times are TIMESTEP × the time step, which is
    recorded where the file holds UNITS and TIME (`dump_modify units yes time yes`).

    Raises
    ------
    ReaderError
        If a frame is broken, a type has no element, no time step is known, or the steps between frames are
        given and contradict the file; if the units are others or the box is not periodic.
    """
    notes: list[str] = []
    with open_text(path) as file:
        found = []
        for read in _frames(file, path, options, notes):
            if read.time_fs is None:
                time_step(options, path)  # refuses before the whole file is read
            found.append(read)
    step_fs = time_step(options, path, _recorded_step(found, path), notes)
    unwrapped = bool(found) and all(read.unwrapped for read in found)
    if options.unwrapped is not None:
        unwrapped = options.unwrapped
    _check_steps([read.frame.step for read in found], path, options)
    return assemble((read.frame for read in found), path, step_fs, unwrapped, options, notes)


def _recorded_step(found: list[_Read], path: Path) -> float | None:
    """Return the time step in fs by the times in the file, None without them."""
    ratios = [
        (later.time_fs - earlier.time_fs) / (later.frame.step - earlier.frame.step)
        for earlier, later in pairwise(found)
        if earlier.time_fs is not None and later.time_fs is not None and later.frame.step > earlier.frame.step
    ]
    if not ratios:
        return None
    least, most = min(ratios), max(ratios)
    if most - least > 1e-3 * most:
        raise ReaderError(
            f"{path}: its time step changes, {least:g} to {most:g} fs by TIME and TIMESTEP; cut the file "
            "where it does and analyse the parts one by one"
        )
    return float(np.median(ratios))


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


def _frames(file: IO[str], path: Path, options: ReadOptions, notes: list[str]) -> Iterator[_Read]:
    """Give the wanted frames; one that breaks off is left out and noted."""
    header, index = _Header(), 0
    for line in file:
        where = f"{path}, frame {index + 1}"
        if not line.strip():
            continue
        item = line[5:].strip()
        try:
            if not line.startswith("ITEM:"):
                error = ReaderError if line.endswith("\n") else BrokenOffError
                raise error(f"{where}: expected ITEM:, found {line.strip()[:40]!r}")
            if not item.startswith("ATOMS"):
                header.take(item, file, where)
                continue
            if options.ends(index):
                return
            if options.wants(index):
                parse = partial(_frame, item.split()[1:], header=header, options=options, where=where)
                yield take_parsed(file, header.n_atoms, where, parse)
            else:
                take_lines(file, header.n_atoms, where)
            index += 1
        except BrokenOffError:
            if index == 0:
                raise
            notes.append(broken_off(path, index))
            return


def _units(style: str, where: str) -> _Units:
    """Return the units of a style."""
    if style not in _UNITS:
        raise ReaderError(
            f"{where}: UNITS says {style!r}, and only {' and '.join(_UNITS)} are read; convert lengths to Å "
            "and velocities to Å/ps, and write metal there"
        )
    return _UNITS[style]


def _box(item: str, lines: list[str], where: str) -> _Box:
    """Return cell and origin: orthogonal, restricted triclinic (bounding box and tilts) or general."""
    flags = [word for word in item.split() if re.fullmatch("[pfsm]{2}", word)]
    if any(flag != "pp" for flag in flags):
        raise ReaderError(
            f"{where}: BOX BOUNDS says {' '.join(flags)}: the box is not periodic along all three axes (pp), "
            "and atoms cannot be followed across its faces as in a crystal; run it with boundary p p p"
        )
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


def _frame(columns: list[str], lines: list[str], header: _Header, options: ReadOptions, where: str) -> _Read:
    """Return one frame, ordered by id."""
    box = header.box
    if box is None:
        raise ReaderError(f"{where}: no BOX BOUNDS before the atoms")
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
    if velocities is not None:
        velocities = velocities * (header.units or _UNITS["metal"]).velocity_A_per_fs
    species = _species(rows, place, options, where)
    frame = Frame(positions, box.cell, species, header.step, velocities=velocities)
    return _Read(frame, unwrapped, header.time_fs)


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
