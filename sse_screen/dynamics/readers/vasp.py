"""XDATCAR and vasprun.xml of VASP."""

import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

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
    steps_between_frames,
    take_lines,
    take_parsed,
    time_step,
)
from sse_screen.dynamics.trajectory import Trajectory


def read_xdatcar(path: Path, options: ReadOptions) -> Trajectory:
    """Read an XDATCAR, with one cell or (NPT) a header before every frame.

    The number after "configuration=" counts frames; `steps_per_frame` (NBLOCK) times the time step lies
    between them. Concatenated XDATCARs whose count starts again are joined as segments.

    Raises
    ------
    ReaderError
        If a frame is broken or no time step was given.
    """
    notes: list[str] = []
    step_fs = time_step(options, path) * steps_between_frames(options, path, None, notes)
    with open_text(path) as file:
        frames = _xdatcar_frames(file, path, options, notes)
        return assemble(frames, path, step_fs, False, options, notes)


def _xdatcar_frames(file: IO[str], path: Path, options: ReadOptions, notes: list[str]) -> Iterator[Frame]:
    """Give the wanted frames; a frame that the file breaks off in is left out and noted."""
    cell: FloatArray | None = None
    species: tuple[str, ...] = ()
    header: list[str] = []
    index = 0
    for line in file:
        if not line.lower().startswith(("direct configuration", "cartesian configuration")):
            header.append(line)
            continue
        if len(header) >= 7:
            cell, species = _xdatcar_header(header[-7:], path)
        elif any(text.strip() for text in header) or cell is None:
            raise ReaderError(f"{path}: the header before frame {index + 1} is not of seven lines")
        header = []
        if options.ends(index):
            return
        where = f"{path}, frame {index + 1}"
        try:
            if options.wants(index):
                positions = take_parsed(file, len(species), where, partial(numbers, columns=3, where=where))
                if line.lower().startswith("direct"):
                    positions = positions @ cell
                count = line.partition("=")[2].split()
                yield Frame(positions, cell, species, float(count[0]) if count else index)
            else:
                take_lines(file, len(species), where)
        except BrokenOffError:
            if index == 0:
                raise
            notes.append(broken_off(path, index))
            return
        index += 1


def _xdatcar_header(lines: list[str], path: Path) -> tuple[FloatArray, tuple[str, ...]]:
    """Return cell and species of the seven header lines."""
    where = f"{path}, header"
    cell = numbers(lines[2:5], 3, where)
    scale = float(numbers([lines[1]], 1, where)[0, 0])
    cell = cell * (scale if scale > 0 else (-scale / abs(np.linalg.det(cell))) ** (1 / 3))
    symbols = lines[5].split()
    counts = [int(x) for x in numbers([lines[6]], len(symbols), where)[0]]
    return cell, tuple(
        symbol.split("_")[0].split("/")[0]
        for symbol, n in zip(symbols, counts, strict=True)
        for _ in range(n)
    )


def read_vasprun(path: Path, options: ReadOptions) -> Trajectory:
    """Read the ionic steps of a vasprun.xml as they stream by; POTIM and NBLOCK are taken from it.

    Raises
    ------
    ReaderError
        If the file holds no step; one that breaks off in a later step is read up to there.
    """
    found: dict[str, float] = {}
    opener = gzip.open if path.suffix == ".gz" else open
    notes: list[str] = []
    with opener(path, "rb") as file:
        frames = list(_vasprun_frames(file, path, options, found, notes))
    step_fs = time_step(options, path, found.get("POTIM"), notes)
    step_fs *= steps_between_frames(options, path, found.get("NBLOCK"), notes)
    return assemble(iter(frames), path, step_fs, False, options, notes)


def _vasprun_frames(
    file: Any, path: Path, options: ReadOptions, found: dict[str, float], notes: list[str]
) -> Iterator[Frame]:
    """Give the wanted frames of the calculation elements."""
    species: tuple[str, ...] = ()
    index = 0
    events = ElementTree.iterparse(file, events=("end",))
    while True:
        try:
            _, element = next(events)
        except StopIteration:
            return
        except ElementTree.ParseError as error:
            if index == 0:
                raise ReaderError(f"{path}: not a vasprun.xml ({error})") from error
            notes.append(broken_off(path, index))
            return
        if element.tag == "i" and element.get("name") in ("POTIM", "NBLOCK") and element.text:
            found.setdefault(str(element.get("name")), float(element.text))
        elif element.tag == "atominfo":
            rows = element.findall("./array[@name='atoms']/set/rc")
            species = tuple(str(row[0].text).strip() for row in rows)
        elif element.tag == "calculation":
            structure = element.find("structure")
            if structure is not None and not options.ends(index):
                if options.wants(index):
                    yield _vasprun_frame(element, structure, species, index, path)
                index += 1
            element.clear()


def _vasprun_frame(
    element: ElementTree.Element,
    structure: ElementTree.Element,
    species: tuple[str, ...],
    index: int,
    path: Path,
) -> Frame:
    """Return one ionic step."""
    where = f"{path}, step {index + 1}"
    cell = _varray(structure, "./crystal/varray[@name='basis']/v", where)
    positions = _varray(structure, "./varray[@name='positions']/v", where)
    energy = element.find("./energy/i[@name='e_0_energy']")
    value = None if energy is None or not energy.text else float(energy.text)
    return Frame(positions @ cell, cell, species, index, potential_energy_eV=value)


def _varray(structure: ElementTree.Element, query: str, where: str) -> FloatArray:
    """Return the rows of a varray."""
    rows = [row.text or "" for row in structure.findall(query)]
    if not rows:
        raise ReaderError(f"{where}: no {query}")
    return numbers(rows, 3, where)
