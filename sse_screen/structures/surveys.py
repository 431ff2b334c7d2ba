"""Reading the crystals of a survey from a folder or a table."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from sse_screen.exceptions import InputError
from sse_screen.structures.filters import Candidate, Rejection
from sse_screen.structures.loading import load_structure
from sse_screen.structures.prototypes import build_prototype

_STRUCTURE_COLUMNS = ("file", "prototype")
_VALUE_COLUMNS = ("energy_above_hull_eV_per_atom", "band_gap_eV")
_SUFFIXES = (".cif", ".vasp", ".poscar", ".extxyz", ".json")


def read_candidates(path: str | Path) -> tuple[list[Candidate], list[Rejection]]:
    """Read the crystals of a survey.

    Parameters
    ----------
    path : str or Path
        A folder (every CIF, POSCAR, extxyz and ASE JSON file in it, sorted by name) or a CSV table with a
        column ``file`` (relative to the table) or ``prototype``, and optionally ``name``,
        ``energy_above_hull_eV_per_atom`` and ``band_gap_eV``, where an empty cell is a value not known.

    Returns
    -------
    candidates : list of Candidate
        The crystals that could be read.
    rejections : list of Rejection
        The others, with the filter ``readable`` and the reason.

    Raises
    ------
    InputError
        If the folder or table itself is missing, empty or wrong: nothing of it can be trusted then.
    """
    path = Path(path)
    if path.is_dir():
        rows = [
            {"name": file.name, "file": str(file)} for file in sorted(path.iterdir()) if _is_crystal(file)
        ]
        if not rows:
            raise InputError(f"{path}: the folder has no crystal files ({', '.join(_SUFFIXES)}, POSCAR)")
    else:
        rows = _read_table(path)
    _refuse_repeated_names(rows, path)
    candidates, rejections = [], []
    for row in rows:
        try:
            candidates.append(_candidate(row, path))
        except InputError as error:
            rejections.append(Rejection(name=row["name"], filter="readable", reason=str(error)))
    return candidates, rejections


def _is_crystal(file: Path) -> bool:
    named = any(word in file.name.upper() for word in ("POSCAR", "CONTCAR"))
    return file.is_file() and (named or file.suffix.lower() in _SUFFIXES)


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such folder or table")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV table ({error})") from error
    known = {"name", *_STRUCTURE_COLUMNS, *_VALUE_COLUMNS}
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise InputError(f"{path}: column {unknown[0]!r} is not known; known: {', '.join(sorted(known))}")
    if not set(columns) & set(_STRUCTURE_COLUMNS):
        raise InputError(f"{path}: needs a column 'file' or 'prototype'")
    if not rows:
        raise InputError(f"{path}: the table has no rows")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"{path}: line {number} has not {len(columns)} cells like the header")
        row["name"] = row.get("name") or row.get("prototype") or row.get("file") or f"line {number}"
    return rows


def _refuse_repeated_names(rows: list[dict[str, str]], path: Path) -> None:
    seen: set[str] = set()
    for row in rows:
        if row["name"] in seen:
            raise InputError(f"{path}: {row['name']!r} is there twice; give every row its own name")
        seen.add(row["name"])


def _candidate(row: dict[str, str], table: Path) -> Candidate:
    sources = [column for column in _STRUCTURE_COLUMNS if row.get(column)]
    if len(sources) != 1:
        raise InputError(f"{table}: {row['name']}: give either a file or a prototype")
    if sources == ["prototype"]:
        structure = build_prototype(row["prototype"])
    else:
        structure = load_structure(table.parent / row["file"] if table.is_file() else Path(row["file"]))
    values: dict[str, float] = {}
    for column in _VALUE_COLUMNS:
        if row.get(column):
            values[column] = _number(row[column], f"{table}: {row['name']}: {column}")
    return Candidate(
        name=row["name"],
        structure=structure,
        energy_above_hull_eV_per_atom=values.get("energy_above_hull_eV_per_atom"),
        band_gap_eV=values.get("band_gap_eV"),
    )


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where} = {text!r} is not a number")
    return value
