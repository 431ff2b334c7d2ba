"""A structure with its label: energy, forces and stress at one level of theory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field, field_validator

from sse_screen.documents.base import Document, content_hash
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

FloatArray = NDArray[np.float64]
Setting = str | float | bool

_SCHEME = "sse-screen-labelled-structure-1"
#: what two labels must differ by to be two (energies in eV, forces in eV/Å, stresses in eV/Å^3)
_LENGTH_STEP_A, _ANGLE_STEP_deg, _FRACTION_STEP = 1e-5, 1e-5, 1e-6
_ENERGY_STEP_eV, _FORCE_STEP_eV_per_A, _STRESS_STEP_eV_per_A3 = 1e-5, 1e-5, 1e-7
# Round numbers and their halves and thirds never fall on the edge of a bin that starts here.
_BIN_OFFSET = 0.3141592


class LabelError(InputError):
    """The values are no label of a structure."""


class LevelOfTheory(Document):
    """What energies must share to be compared with one another; the code's version is not part of it."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Code or kind of potential: gpaw, vasp, chgnet, ase", min_length=1)
    functional: str = Field(description="Exchange-correlation functional, or name of the potential")
    cutoff_eV: float | None = Field(
        None, gt=0, description="Plane-wave cutoff", json_schema_extra={"unit": "eV"}
    )
    k_point_spacing_per_A: float | None = Field(
        None,
        gt=0,
        description="Largest distance of k-points, 2π included; null: Γ only, or no k-points",
        json_schema_extra={"unit": "1/angstrom"},
    )
    pseudopotentials: tuple[str, ...] = Field(
        (), description="Identifiers of the pseudopotentials or PAW data sets, sorted"
    )
    settings: tuple[tuple[str, Setting], ...] = Field(
        (), description="All other settings that change the energy, by name, sorted"
    )

    @field_validator("pseudopotentials", mode="after")
    @classmethod
    def _sorted_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(value))

    @field_validator("settings", mode="before")
    @classmethod
    def _sorted_pairs(cls, value: Any) -> Any:
        pairs = value.items() if isinstance(value, dict) else value
        return tuple(sorted((str(name), _plain(setting)) for name, setting in pairs))

    @property
    def identifier(self) -> str:
        """First 16 hexadecimal digits of the hash of all fields but the pseudopotentials.

        A structure names those of its own elements only, so that crystals of different elements at one level
        have different ones; :func:`common_level` compares them element by element.
        """
        return content_hash(self.model_dump(mode="json", exclude={"pseudopotentials"}))[:16]

    def describe(self) -> str:
        """Say it in one line.

        Returns
        -------
        str
            Such as ``gpaw PBE, 340 eV, k-spacing 0.5 1/Å``.
        """
        parts = [f"{self.code} {self.functional}"]
        if self.cutoff_eV is not None:
            parts.append(f"{self.cutoff_eV:g} eV")
        if self.k_point_spacing_per_A is not None:
            parts.append(f"k-spacing {self.k_point_spacing_per_A:g} 1/Å")
        elif self.cutoff_eV is not None and "k_points" not in dict(self.settings):
            parts.append("Γ only")
        for name, value in self.settings:
            shown = str(value)[:12] if name.endswith("sha256") else value
            parts.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {shown}")
        return ", ".join(parts)


def common_level(levels: Iterable[LevelOfTheory]) -> LevelOfTheory:
    """Give the one level that all labels are at.

    Parameters
    ----------
    levels : iterable of LevelOfTheory
        Of structures of one dataset.

    Returns
    -------
    LevelOfTheory
        With the pseudopotentials of all elements.

    Raises
    ------
    LabelError
        If there is none, two differ in anything, or in the pseudopotential of an element.
    """
    different = dict.fromkeys(levels)
    if not different:
        raise LabelError("no labelled structures, so no level of theory")
    first = next(iter(different))
    names: dict[str, str] = {}
    for level in different:
        if level.identifier != first.identifier:
            raise LabelError(
                f"two levels of theory in one set: {first.describe()} and {level.describe()}; their energies "
                "cannot be compared: label all structures at one level, or make a set of each"
            )
        for entry in level.pseudopotentials:
            element = entry.split(" ", 1)[0]
            if names.setdefault(element, entry) != entry:
                raise LabelError(
                    f"two pseudopotentials of {element} in one set: {names[element]} and {entry}; "
                    "label all structures with one"
                )
    return first.model_copy(update={"pseudopotentials": tuple(sorted(names.values()))})


@dataclass(frozen=True, eq=False)
class LabelledStructure:
    """A periodic structure with energy, forces and, where there is one, stress.

    Parameters
    ----------
    species : tuple of str
        Element symbol of each atom, length n_atoms.
    positions : numpy.ndarray
        Cartesian positions in ångström, shape (n_atoms, 3).
    cell : numpy.ndarray
        Lattice vectors in ångström as rows, shape (3, 3).
    energy_eV : float
        Total energy of the cell that the forces are the derivative of (with smeared occupations the free
        energy).
    forces_eV_per_A : numpy.ndarray
        Forces, shape (n_atoms, 3).
    stress_eV_per_A3 : numpy.ndarray or None
        Symmetric stress tensor, shape (3, 3), in ASE's sign: positive when the cell wants to shrink.
    level_of_theory : LevelOfTheory
        What the label was made with.
    parent_configuration : str
        Id of the ordering or crystal that it was sampled from; splits keep its frames together.
    source : str
        Where the structure is from, such as ``outputs/<uuid> frame 120``.

    Raises
    ------
    LabelError
        If a shape, a symbol or a value is impossible; the message names the field.
    """

    species: tuple[str, ...]
    positions: FloatArray
    cell: FloatArray
    energy_eV: float
    forces_eV_per_A: FloatArray
    stress_eV_per_A3: FloatArray | None
    level_of_theory: LevelOfTheory
    parent_configuration: str
    source: str

    def __post_init__(self) -> None:
        """Bring the fields to their declared form and refuse what is no label."""
        from ase.data import atomic_numbers

        species = tuple(str(symbol) for symbol in self.species)
        if unknown := sorted(set(species) - (atomic_numbers.keys() - {"X"})):
            raise LabelError(f"species: {unknown[0]!r} is no element")
        if not species:
            raise LabelError("species: a structure needs at least one atom")
        object.__setattr__(self, "species", species)
        shapes = {"positions": (len(species), 3), "cell": (3, 3), "forces_eV_per_A": (len(species), 3)}
        if self.stress_eV_per_A3 is not None:
            shapes["stress_eV_per_A3"] = (3, 3)
        for name, shape in shapes.items():
            object.__setattr__(self, name, _array(getattr(self, name), name, shape))
        object.__setattr__(self, "energy_eV", float(_array(self.energy_eV, "energy_eV", ())))
        if abs(np.linalg.det(self.cell)) < 1e-6:
            raise LabelError("cell: it has no volume; a periodic cell is needed")
        stress = self.stress_eV_per_A3
        if stress is not None and not np.allclose(stress, stress.T, atol=1e-6):
            raise LabelError("stress_eV_per_A3: the tensor is not symmetric")

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.species)

    @property
    def energy_eV_per_atom(self) -> float:
        """Energy per atom."""
        return self.energy_eV / len(self)

    @cached_property
    def geometry_hash(self) -> str:
        """Sha256 of the crystal without its label (see :attr:`content_hash` for what counts)."""
        return _sha256([_SCHEME, *self._geometry()])

    @cached_property
    def content_hash(self) -> str:
        """Sha256 of crystal, label and level of theory.

        The same for any order of the atoms, any rotation of the whole, atoms moved by whole lattice vectors
        and noise of the last float digits: lengths count to 1e-5 Å, angles to 1e-5 degrees, fractional
        coordinates to 1e-6, energies and forces to 1e-5 eV and eV/Å, stresses to 1e-7 eV/Å^3. Parent and
        source do not count.
        """
        unit = self.cell / np.linalg.norm(self.cell, axis=1)[:, None]
        forces = _bins(self.forces_eV_per_A @ unit.T, _FORCE_STEP_eV_per_A)
        stress = self.stress_eV_per_A3
        strained = None if stress is None else _bins(unit @ stress @ unit.T, _STRESS_STEP_eV_per_A3).tolist()
        energy = int(_bins(self.energy_eV, _ENERGY_STEP_eV))
        lattice, sites = self._geometry(forces)
        level = self.level_of_theory.model_dump(mode="json")
        return _sha256([_SCHEME, lattice, sites, energy, strained, level])

    def _geometry(self, forces: NDArray[np.int64] | None = None) -> tuple[list[Any], list[Any]]:
        """Give lattice parameters and sorted sites as integers, each site with its force where given."""
        lengths = np.linalg.norm(self.cell, axis=1)
        unit = self.cell / lengths[:, None]
        cosines = np.clip(np.einsum("ij,ij->i", unit[[1, 2, 0]], unit[[2, 0, 1]]), -1.0, 1.0)
        lattice = [
            *_bins(lengths, _LENGTH_STEP_A).tolist(),
            *_bins(np.degrees(np.arccos(cosines)), _ANGLE_STEP_deg).tolist(),
        ]
        period = round(1 / _FRACTION_STEP)
        fractions = _bins(np.linalg.solve(self.cell.T, self.positions.T).T % 1.0, _FRACTION_STEP) % period
        columns = fractions if forces is None else np.hstack([fractions, forces])
        sites = sorted([symbol, *row] for symbol, row in zip(self.species, columns.tolist(), strict=True))
        return lattice, sites

    def to_atoms(self) -> Atoms:
        """Give ASE atoms whose calculator holds the label.

        Returns
        -------
        ase.Atoms
            Periodic, with energy, forces and stress where there is one.
        """
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator
        from ase.stress import full_3x3_to_voigt_6_stress

        atoms = Atoms(self.species, positions=self.positions, cell=self.cell, pbc=True)
        label = {"energy": self.energy_eV, "free_energy": self.energy_eV, "forces": self.forces_eV_per_A}
        if self.stress_eV_per_A3 is not None:
            label["stress"] = full_3x3_to_voigt_6_stress(self.stress_eV_per_A3)
        atoms.calc = SinglePointCalculator(atoms, **label)
        return atoms

    def to_structure(self) -> Structure:
        """Give the crystal without its label.

        Returns
        -------
        pymatgen.core.Structure
            Ordered crystal, atoms in the same order.
        """
        from pymatgen.core import Structure

        return Structure(self.cell, self.species, self.positions, coords_are_cartesian=True)


def _plain(value: Any) -> Any:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return float(value) if number else value


def _array(value: ArrayLike, name: str, shape: tuple[int, ...]) -> FloatArray:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{name}: not numbers ({error})") from error
    if array.shape != shape:
        raise LabelError(f"{name}: shape {array.shape}, expected {shape}")
    if not np.all(np.isfinite(array)):
        raise LabelError(f"{name}: holds values that are not finite")
    array.setflags(write=False)
    return array


def _bins(values: ArrayLike, step: float) -> NDArray[np.int64]:
    return np.floor(np.asarray(values, dtype=float) / step + _BIN_OFFSET).astype(np.int64)


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
