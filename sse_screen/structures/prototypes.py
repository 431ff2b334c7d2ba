"""Library of published crystals, built from lattice parameters and Wyckoff positions.

The entries are YAML files in ``sse_screen/structures/data``: facts from the literature, each with its source.
The setting of a space group is named by its Hall number (1 to 530, spglib's numbering), so that an origin
choice can never be mistaken, and every orbit states its multiplicity, which is verified on building.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

Role = Literal["electrolyte", "control", "competing"]
Family = Literal["sulfide", "halide", "oxide", "nitride", "antiperovskite", "phosphide", "element"]

_ORBIT_TOLERANCE_A = 0.01


def _number(value: Any) -> Any:
    """Read fractions such as 2/3, which have no exact decimal form."""
    return float(Fraction(value)) if isinstance(value, str) else value


Number = Annotated[float, BeforeValidator(_number)]


class PrototypeSite(BaseModel):
    """One Wyckoff orbit of a prototype."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(description="Name of the orbit in the source, unique in the entry.")
    species: dict[str, Number] = Field(description="Element to occupancy (0 to 1); the sum is at most 1.")
    multiplicity: int = Field(ge=1, description="Sites of the orbit in the cell the coordinates refer to.")
    coordinates: tuple[Number, Number, Number] = Field(description="Fractional coordinates of one site.")

    @model_validator(mode="after")
    def _occupancies_are_possible(self) -> PrototypeSite:
        total = sum(self.species.values())
        if min(self.species.values()) <= 0 or total > 1 + 1e-9:
            raise ValueError(f"orbit {self.label}: occupancies {self.species} are not possible")
        return self


class Prototype(BaseModel):
    """A published crystal: lattice, setting, orbits and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name used in campaigns and on the command line.")
    title: str = Field(description="What it is, in a few words.")
    formula: str = Field(description="Reduced formula as pymatgen writes it.")
    family: Family = Field(description="Chemical family.")
    role: Role = Field(description="Electrolyte, poor conductor as a negative control, or competing phase.")
    mobile_ion: str | None = Field(description="Element that moves; none for competing phases.")
    n_sites: int = Field(description="Sites of the built cell, partially occupied ones counted once each.")
    space_group_number: int = Field(ge=1, le=230, description="Space group of the built crystal.")
    hall_number: int = Field(ge=1, le=530, description="Setting in which the orbits are given.")
    lattice: tuple[float, float, float, float, float, float] = Field(
        description="a, b, c in ångström, alpha, beta, gamma in degrees."
    )
    primitive: bool = Field(default=False, description="Whether the built cell is the primitive one.")
    sites: tuple[PrototypeSite, ...] = Field(description="Wyckoff orbits.")
    source: str = Field(description="Publication that the numbers are from.")
    doi: str | None = Field(description="Its DOI; none where the publication has none.")
    notes: str = Field(default="", description="Deviations from the source, and the rule of an ordering.")

    @property
    def is_ordered(self) -> bool:
        """Whether every site holds exactly one element.

        Returns
        -------
        bool
            False when any site is partly occupied or shared.
        """
        return all(len(s.species) == 1 and min(s.species.values()) == 1.0 for s in self.sites)


@cache
def _library() -> dict[str, Prototype]:
    entries: dict[str, Prototype] = {}
    folder = resources.files("sse_screen.structures") / "data"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".yaml"):
            continue
        # The C loader is ten times as fast; PyYAML is not built with it everywhere.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        for raw in yaml.load(file.read_text(encoding="utf-8"), Loader=loader):
            prototype = Prototype.model_validate(raw)
            if prototype.name in entries:
                raise InputError(f"{file.name}: prototype {prototype.name!r} is defined twice")
            entries[prototype.name] = prototype
    return entries


def list_prototypes(role: Role | None = None) -> list[Prototype]:
    """Return the prototypes of the library.

    Parameters
    ----------
    role : str, optional
        Only those of this role: ``electrolyte``, ``control`` or ``competing``.

    Returns
    -------
    list of Prototype
        Sorted by name.
    """
    return [p for _, p in sorted(_library().items()) if role is None or p.role == role]


def get_prototype(name: str) -> Prototype:
    """Return one entry of the library.

    Parameters
    ----------
    name : str
        Name of the prototype, such as ``lgps``.

    Returns
    -------
    Prototype
        The entry.

    Raises
    ------
    InputError
        If there is none of this name; the message names the nearest and lists all.
    """
    library = _library()
    if name not in library:
        import difflib

        near = difflib.get_close_matches(name.lower(), library, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"prototype {name!r} is not known.{hint} Known: {', '.join(sorted(library))}")
    return library[name]


def expand_orbit(
    coordinates: tuple[float, float, float], hall_number: int, lattice_vectors: np.ndarray
) -> np.ndarray:
    """Return all sites of a Wyckoff orbit.

    Parameters
    ----------
    coordinates : tuple of float
        Fractional coordinates of one site.
    hall_number : int
        Setting of the space group (spglib's numbering).
    lattice_vectors : ndarray of shape (3, 3)
        Rows are the lattice vectors in ångström; images closer than 0.01 Å are one site.

    Returns
    -------
    ndarray of shape (n, 3)
        Fractional coordinates in [0, 1), in the order of the symmetry operations.

    Raises
    ------
    InputError
        If there is no such setting.
    """
    import spglib

    operations = spglib.get_symmetry_from_database(hall_number)
    if operations is None:
        raise InputError(f"hall_number {hall_number} is not known; it runs from 1 to 530")
    images = operations["rotations"] @ np.asarray(coordinates) + operations["translations"]
    kept: list[np.ndarray] = []
    for image in images:
        others = np.array(kept).reshape(-1, 3)
        difference = image - others
        difference -= np.round(difference)
        distances = np.linalg.norm(difference @ lattice_vectors, axis=1)
        if not (distances < _ORBIT_TOLERANCE_A).any():
            kept.append(image)
    wrapped = np.array(kept) % 1.0
    wrapped[np.isclose(wrapped, 1.0, atol=1e-9)] = 0.0
    return wrapped


def build_prototype(name: str) -> Structure:
    """Build a crystal of the library.

    Parameters
    ----------
    name : str
        Name of the prototype, such as ``lgps``.

    Returns
    -------
    pymatgen.core.Structure
        The crystal, with the orbit of every site as the site property ``orbit``; species carry no oxidation
        states. Disordered prototypes have partial occupancies.

    Raises
    ------
    InputError
        If there is no such prototype, or an orbit has not the multiplicity that its entry states.
    """
    from pymatgen.core import Lattice, Structure

    prototype = get_prototype(name)
    lattice = Lattice.from_parameters(*prototype.lattice)
    species: list[dict[str, float]] = []
    orbits: list[str] = []
    coordinates: list[np.ndarray] = []
    for site in prototype.sites:
        images = expand_orbit(site.coordinates, prototype.hall_number, lattice.matrix)
        if len(images) != site.multiplicity:
            raise InputError(
                f"prototype {name}: orbit {site.label} has {len(images)} sites, its entry says "
                f"{site.multiplicity}; check the setting (hall_number) and the coordinates"
            )
        coordinates.extend(images)
        species.extend([site.species] * len(images))
        orbits.extend([site.label] * len(images))
    structure = Structure(lattice, species, coordinates, site_properties={"orbit": orbits})
    return structure.get_primitive_structure() if prototype.primitive else structure
