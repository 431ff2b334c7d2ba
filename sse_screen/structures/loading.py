"""Reading a crystal from a file, with a plain message for everything that can be wrong with it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

MINIMUM_DISTANCE_A = 0.5
"""Sites that are occupied together and closer than this are an error in the file."""


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
    check_elements(structure, str(path))
    check_distances(structure, str(path))
    return structure


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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return reader(path)
        except InputError:
            raise
        # The parsers raise whatever their line of code happens to raise on a broken file.
        except Exception as error:  # noqa: BLE001
            reasons.append(f"{type(error).__name__}: {error}".splitlines()[0])
    raise InputError(
        f"{path}: cannot be read as a crystal ({'; '.join(reasons)}); bring a CIF, a POSCAR or a file "
        "that ASE reads"
    )


def _read_cif(path: Path) -> Structure:
    from pymatgen.io.cif import CifParser

    structures = CifParser(path).parse_structures(primitive=False, check_occu=True)
    if len(structures) > 1:
        raise InputError(f"{path}: the file has {len(structures)} crystals; keep the one you mean")
    return structures[0]


def _read_poscar(path: Path) -> Structure:
    from pymatgen.io.vasp import Poscar

    if not any(word in path.name.upper() for word in ("POSCAR", "CONTCAR", ".VASP")):
        raise ValueError("not named as a POSCAR")
    return Poscar.from_file(path, check_for_potcar=False).structure


def _read_ase(path: Path) -> Structure:
    from ase import Atoms
    from ase.io import read
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = read(path)
    if not isinstance(atoms, Atoms) or not all(atoms.pbc) or abs(atoms.cell.volume) < 1e-6:
        raise InputError(f"{path}: the atoms have no periodic cell in three directions")
    return AseAtomsAdaptor.get_structure(atoms)
