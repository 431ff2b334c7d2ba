"""Labelled structures in extended XYZ files, written with all digits so that hashes survive the round trip.

ASE's own writer rounds positions and forces to eight decimals, after which a hash may differ, and does not
escape backslashes; its reader takes any number of digits and is used as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from sse_screen.exceptions import InputError
from sse_screen.training.datasets import composition_of
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory

if TYPE_CHECKING:
    from ase import Atoms

_PROPERTIES = "species:S:1:pos:R:3:forces:R:3"


@dataclass(frozen=True)
class ReadFrames:
    """What a file holds.

    Attributes
    ----------
    structures : tuple of LabelledStructure
        In the order of the file.
    notes : tuple of str
        What the file did not say and was filled in.
    """

    structures: tuple[LabelledStructure, ...]
    notes: tuple[str, ...] = field(default=())


def write_extended_xyz(
    path: Path,
    structures: Iterable[LabelledStructure],
    extra: Mapping[str, Mapping[str, str]] | None = None,
) -> int:
    """Write labelled structures.

    Parameters
    ----------
    path : Path
        File to write; it is replaced only when complete.
    structures : iterable of LabelledStructure
        Energies in eV, forces in eV/Å, stress in eV/Å^3 in ASE's sign.
    extra : mapping, optional
        More entries of the comment line, by content hash of a structure.

    Returns
    -------
    int
        Number of structures written.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    written = 0
    try:
        with partial.open("w", encoding="utf-8") as handle:
            for structure in structures:
                handle.write(_frame(structure, dict((extra or {}).get(structure.content_hash, {}))))
                written += 1
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    return written


def read_extended_xyz(path: Path, level_of_theory: LevelOfTheory | None = None) -> ReadFrames:
    """Read labelled structures, of this platform or of another program.

    Parameters
    ----------
    path : Path
        The file.
    level_of_theory : LevelOfTheory, optional
        Of frames that do not say theirs.

    Returns
    -------
    ReadFrames
        A frame without a parent gets its composition as the parent, so that a split keeps all frames of a
        composition together.

    Raises
    ------
    InputError
        If the file cannot be read, a frame lacks cell, energy or forces, has a number that is not finite or
        is no label for another reason, its level of theory is not known, or its numbers are not those that
        its hash says.
    """
    from ase.io import read

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        frames: Any = read(path, index=":", format="extxyz")
    except (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
        raise InputError(
            f"{path}: not a readable extended XYZ file ({type(error).__name__}: {error})"
        ) from error
    notes: dict[str, int] = {}
    structures = tuple(
        _labelled(frame, f"{path}, frame {number}", f"{path.name} frame {number}", level_of_theory, notes)
        for number, frame in enumerate(frames, 1)
    )
    if not structures:
        raise InputError(f"{path}: holds no frame")
    return ReadFrames(structures, tuple(f"{number} frames: {note}" for note, number in notes.items()))


def _frame(structure: LabelledStructure, extra: dict[str, str]) -> str:
    stated = {
        "level_of_theory": structure.level_of_theory.model_dump(mode="json"),
        "parent_configuration": structure.parent_configuration,
        "source": structure.source,
        "label_sha256": structure.content_hash,
        **extra,
    }
    head = [
        f'Lattice="{_row(structure.cell.ravel())}"',
        f"Properties={_PROPERTIES}",
        'pbc="T T T"',
        f"energy={_text(structure.energy_eV)}",
    ]
    if structure.stress_eV_per_A3 is not None:
        head.append(f'stress="{_row(structure.stress_eV_per_A3.ravel())}"')
    comment = " ".join([*head, *(f"{key}={_quoted(value)}" for key, value in stated.items())])
    rows = [
        f"{symbol} {_row(position)} {_row(force)}"
        for symbol, position, force in zip(
            structure.species, structure.positions, structure.forces_eV_per_A, strict=True
        )
    ]
    return "\n".join([str(len(structure)), comment, *rows]) + "\n"


def _row(values: Iterable[float]) -> str:
    return " ".join(_text(value) for value in values)


def _quoted(value: Any) -> str:
    """Write a value as JSON, the only form that readers do not take for a number or a list."""
    text = json.dumps(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"_JSON {text}"'


def _text(value: float) -> str:
    return repr(float(value))


def _labelled(
    atoms: Atoms, where: str, source: str, level: LevelOfTheory | None, notes: dict[str, int]
) -> LabelledStructure:
    if not all(atoms.pbc) or atoms.cell.rank < 3:
        raise InputError(f"{where}: it has no cell, or is not periodic in three directions")
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("free_energy", results.get("energy"))
    if energy is None or "forces" not in results:
        missing = "energy" if energy is None else "forces"
        raise InputError(
            f"{where}: no {missing}; name them energy and forces in the file (other programs' prefixes, such "
            "as REF_, must go)"
        )
    _check_finite(atoms, results, where)
    stress = atoms.get_stress(voigt=False) if "stress" in results else None
    labelled = LabelledStructure(
        species=tuple(atoms.symbols),
        positions=atoms.positions,
        cell=atoms.cell.array,
        energy_eV=energy,
        forces_eV_per_A=results["forces"],
        stress_eV_per_A3=stress,
        level_of_theory=_level(atoms, where, level),
        parent_configuration=str(atoms.info.get("parent_configuration", "")),
        source=str(atoms.info.get("source", source)),
    )
    expected = atoms.info.get("label_sha256")
    if expected is not None and expected != labelled.content_hash:
        raise InputError(
            f"{where}: its numbers are not those of label {expected[:12]}; they were changed or rounded: "
            "export again, or remove the entry label_sha256 if that is meant"
        )
    if labelled.parent_configuration:
        return labelled
    note = "no parent_configuration: all frames of a composition count as one parent"
    notes[note] = notes.get(note, 0) + 1
    object.__setattr__(labelled, "parent_configuration", composition_of(labelled))
    return labelled


def _check_finite(atoms: Atoms, results: Mapping[str, Any], where: str) -> None:
    """Refuse numbers that are none, before ASE compares them: it takes a NaN for a changed crystal."""
    given = {"positions": atoms.positions, "Lattice": atoms.cell.array, **results}
    for name, values in given.items():
        if not np.all(np.isfinite(values)):
            raise InputError(
                f"{where}: {name} is not finite; the calculation failed there: take the frame out"
            )


def _level(atoms: Atoms, where: str, level: LevelOfTheory | None) -> LevelOfTheory:
    content = atoms.info.get("level_of_theory")
    if content is None:
        if level is None:
            raise InputError(
                f"{where}: the file does not say its level of theory; give it (code, functional, cutoff ...)"
            )
        return level
    try:
        return LevelOfTheory.model_validate(json.loads(content) if isinstance(content, str) else content)
    except (ValueError, ValidationError) as error:
        raise InputError(f"{where}: level_of_theory: {error}") from error
