"""Reading a crystal from a file, with a plain message for everything that can be wrong with it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

MINIMUM_DISTANCE_A = 0.5
"""Sites that are occupied together and closer than this are an error in the file."""

_SYMBOL_KEYS = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt", "_space_group_name_Hall")
_NUMBER_KEYS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")


def load_structure(path: str | Path) -> Structure:
    """Read a crystal.

    Parameters
    ----------
    path : str or Path
        A CIF, a POSCAR, or any file with a periodic cell that ASE reads.

    Returns
    -------
    pymatgen.core.Structure
        The crystal, with partial occupancies where the file has them.

    Raises
    ------
    InputError
        If the file is missing, empty, not readable, without a cell, elements or atoms, or has two atoms
        closer than 0.5 Å. The message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    structure = _parse(path)
    if len(structure) == 0:
        raise InputError(f"{path}: the file has no atoms")
    check_cell(structure, str(path))
    check_elements(structure, str(path))
    check_distances(structure, str(path))
    return structure


def check_cell(structure: Structure, name: str = "structure") -> None:
    """Refuse a cell without volume and numbers that are none.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    name : str, optional
        How the message calls it.

    Raises
    ------
    InputError
        If a lattice vector or coordinate is not finite, or the vectors lie in a plane.
    """
    vectors = structure.lattice.matrix
    if not np.isfinite(vectors).all() or abs(np.linalg.det(vectors)) < MINIMUM_DISTANCE_A**3:
        raise InputError(f"{name}: the lattice vectors span no volume: {vectors.round(4).tolist()}")
    for number, coordinates in enumerate(structure.frac_coords):
        if not np.isfinite(coordinates).all():
            raise InputError(f"{name}: site {number} has the coordinates {coordinates.tolist()}")


def check_elements(structure: Structure, name: str = "structure") -> None:
    """Refuse placeholders in the place of elements.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    name : str, optional
        How the message calls it.

    Raises
    ------
    InputError
        If a site holds something that is no element (``X``, ``M1``).
    """
    from pymatgen.core import Element

    for number, site in enumerate(structure):
        for specie in site.species:
            if not Element.is_valid_symbol(specie.symbol):
                raise InputError(f"{name}: site {number} holds {specie}, which is no element")


def check_distances(structure: Structure, name: str = "structure") -> None:
    """Refuse atoms that lie on one another.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal; partly occupied sites are compared only when they must be occupied together (the sum of
        their occupancies is above one).
    name : str, optional
        How the message calls it.

    Raises
    ------
    InputError
        If two atoms are closer than 0.5 Å; the message names them.
    """
    occupancy = np.array([site.species.num_atoms for site in structure])
    first, second, _, distances = structure.get_neighbor_list(MINIMUM_DISTANCE_A, exclude_self=True)
    for i, j, distance in zip(first, second, distances, strict=True):
        if occupancy[i] + occupancy[j] > 1.0 + 1e-3:
            raise InputError(
                f"{name}: sites {i} ({structure[i].species_string}) and {j} ({structure[j].species_string}) "
                f"are {distance:.3f} Å apart, less than {MINIMUM_DISTANCE_A} Å; correct the coordinates, "
                "the cell or the space group setting"
            )


def _parse(path: Path) -> Structure:
    reasons: list[str] = []
    readers = (_read_cif,) if path.suffix.lower() == ".cif" else (_read_poscar, _read_ase)
    for reader in readers:
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                return reader(path)
        except InputError:
            raise
        # The parsers raise whatever their line of code happens to raise on a broken file.
        except Exception as error:  # noqa: BLE001
            # pymatgen gives the reason in a warning and raises that there is no structure.
            reasons += [str(item.message).splitlines()[0] for item in said]
            reasons.append(f"{type(error).__name__}: {error}".splitlines()[0])
    raise InputError(
        f"{path}: cannot be read as a crystal ({'; '.join(reasons)}); bring a CIF, a POSCAR or a file "
        "that ASE reads"
    )


def _read_cif(path: Path) -> Structure:
    from pymatgen.io.cif import CifParser

    parser = CifParser(path)
    for block in parser.as_dict().values():
        _check_occupancies(block, path)
    structures = parser.parse_structures(primitive=False, check_occu=True)
    if any("Defaulting to P1" in warning for warning in getattr(parser, "warnings", [])):
        _check_symmetry_is_none(parser.as_dict(), path)
    if len(structures) > 1:
        raise InputError(f"{path}: the file has {len(structures)} crystals; keep the one you mean")
    return structures[0]


def _check_symmetry_is_none(blocks: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Refuse a space group that pymatgen does not know and would silently replace by P1."""
    for block in blocks.values():
        for key in (*_SYMBOL_KEYS, *_NUMBER_KEYS):
            value = str(block.get(key, "")).replace(" ", "")
            if value not in ("", "P1", "1", "?", "."):
                raise InputError(
                    f"{path}: {key} is {block[key]!r}, which is not known, and the file lists no symmetry "
                    "operations; write them or a standard symbol"
                )


def _check_occupancies(block: Mapping[str, Any], path: Path) -> None:
    labels = block.get("_atom_site_label", [])
    for label, text in zip(labels, block.get("_atom_site_occupancy", []), strict=False):
        # A standard uncertainty in brackets, an unknown "?" and a default "." are all in order.
        digits = str(text).split("(")[0]
        if digits in ("?", "."):
            continue
        try:
            occupancy = float(digits)
        except ValueError:
            raise InputError(f"{path}: occupancy of {label} is {text!r}, not a number") from None
        if not 0 < occupancy <= 1 + 1e-3:
            raise InputError(f"{path}: occupancy of {label} is {text}; it has to be above 0 and at most 1")


def _read_poscar(path: Path) -> Structure:
    from pymatgen.io.vasp import Poscar

    if not any(word in path.name.upper() for word in ("POSCAR", "CONTCAR", ".VASP")):
        raise ValueError("not named as a POSCAR")
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) > 5 and lines[5].split() and all(word.isdigit() for word in lines[5].split()):
        raise InputError(f"{path}: line 6 has no element names; write them above the numbers of atoms")
    return Poscar.from_file(path, check_for_potcar=False).structure


def _read_ase(path: Path) -> Structure:
    from ase import Atoms
    from ase.io import read
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = read(path)
    if not isinstance(atoms, Atoms) or not all(atoms.pbc) or abs(atoms.cell.volume) < 1e-6:
        raise InputError(f"{path}: the atoms have no periodic cell in three directions")
    return AseAtomsAdaptor.get_structure(atoms)
