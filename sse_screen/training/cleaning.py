"""Clean labelled structures as Marcolongo et al. (2019) do; what is rejected is kept with its reason.

The study (self-consistently trained potentials of LGPS, LLZO and NASICON) refuses frames with two ions nearer
than 0.6 Å, energies outside median ± 2 interquartile ranges, forces outside median ± 10, and optionally
frames with a bond changed by more than 20 %. Energies per atom and forces are compared among frames of one
composition, since those of others differ by what their elements are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from sse_screen.documents.base import Specification
from sse_screen.exceptions import InputError
from sse_screen.training.datasets import composition_of
from sse_screen.training.labelled import LabelledStructure

if TYPE_CHECKING:
    from pymatgen.core import Structure

_BOND_TOLERANCE = 1.2
# of values that are all alike, the last float digits are no outliers
_SMALLEST_RANGE = 1e-6


class CleaningRules(Specification):
    """When a labelled structure is rejected; the defaults are those of Marcolongo 2019."""

    minimum_distance_A: float = Field(
        0.6, ge=0, description="Reject when two atoms are nearer", json_schema_extra={"unit": "angstrom"}
    )
    energy_interquartile_ranges: float | None = Field(
        2.0,
        gt=0,
        description="Reject when the energy per atom is farther from its median; null: no test",
        json_schema_extra={"unit": "1"},
    )
    force_interquartile_ranges: float | None = Field(
        10.0,
        gt=0,
        description="Reject when a force component is farther from the median; null: no test",
        json_schema_extra={"unit": "1"},
    )
    bond_change: float | None = Field(
        None,
        gt=0,
        description="Reject when a bond of the reference changed by a larger fraction; null: no test",
        json_schema_extra={"unit": "1"},
    )
    mobile_species: tuple[str, ...] = Field(("Li", "Na"), description="Elements whose bonds may break")
    minimum_group: int = Field(
        8,
        ge=4,
        description="Frames of a composition below which outliers cannot be told",
        json_schema_extra={"unit": "1"},
    )


@dataclass(frozen=True)
class Rejection:
    """A rejected frame.

    Attributes
    ----------
    structure : LabelledStructure
        The frame.
    rule : str
        Field of :class:`CleaningRules` that it broke, or ``repetition``; the first of several.
    reason : str
        In words, with value and limit.
    """

    structure: LabelledStructure
    rule: str
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """What cleaning gave.

    Attributes
    ----------
    kept : tuple of LabelledStructure
        In the given order.
    rejected : tuple of Rejection
        In the given order.
    notes : tuple of str
        Tests that could not be made, and why.
    """

    kept: tuple[LabelledStructure, ...]
    rejected: tuple[Rejection, ...]
    notes: tuple[str, ...]


def minimum_distance_A(cell: ArrayLike, positions: ArrayLike) -> float:
    """Give the shortest distance of two atoms, periodic images included.

    Parameters
    ----------
    cell : array_like of shape (3, 3)
        Lattice vectors in ångström as rows.
    positions : array_like of shape (n_atoms, 3)
        Cartesian positions in ångström.

    Returns
    -------
    float
        In ångström; also of an atom to its own image.
    """
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    atoms = Atoms(positions=np.asarray(positions), cell=np.asarray(cell), pbc=True)
    reach = 1.5 * float(atoms.get_volume() / len(atoms)) ** (1 / 3)
    while not len(distances := neighbor_list("d", atoms, reach)):
        reach *= 2
    return float(distances.min())


def clean(
    structures: Iterable[LabelledStructure],
    rules: CleaningRules | None = None,
    references: Mapping[str, Structure] | None = None,
) -> Cleaned:
    """Reject what would spoil a training set.

    Parameters
    ----------
    structures : iterable of LabelledStructure
        Labelled frames; a second one of the same crystal at the same level of theory is a repetition.
    rules : CleaningRules, optional
        Those of Marcolongo 2019 without the test of bonds when left out.
    references : mapping, optional
        Crystal by parent configuration, atoms in the order of its frames: what ``bond_change`` is counted
        from.

    Returns
    -------
    Cleaned
        What was kept, what was rejected and why, and which tests could not be made.

    Raises
    ------
    InputError
        If bonds are to be tested and a parent has no reference, or one with other atoms.
    """
    wanted = rules or CleaningRules()
    cleaning = _Cleaning(list(structures), wanted)
    cleaning.repetitions()
    cleaning.near_atoms()
    for composition, members in cleaning.by_composition().items():
        if len(members) < wanted.minimum_group:
            cleaning.notes.append(
                f"{composition}: {len(members)} frames, fewer than {wanted.minimum_group}: "
                "outliers of energy and force were not looked for"
            )
        else:
            cleaning.energies(composition, members)
            cleaning.forces(composition, members)
    if wanted.bond_change is not None:
        cleaning.bonds(wanted.bond_change, references or {})
    return cleaning.result()


class _Cleaning:
    """Frames, and by number the first rule that each broke."""

    def __init__(self, frames: list[LabelledStructure], rules: CleaningRules) -> None:
        self.frames = frames
        self.rules = rules
        self.broken: dict[int, tuple[str, str]] = {}
        self.notes: list[str] = []

    def result(self) -> Cleaned:
        """Sort the frames."""
        kept = tuple(frame for number, frame in enumerate(self.frames) if number not in self.broken)
        rejected = tuple(Rejection(self.frames[n], *self.broken[n]) for n in sorted(self.broken))
        return Cleaned(kept, rejected, tuple(self.notes))

    def by_composition(self) -> dict[str, list[int]]:
        """Numbers of the frames that are left, by reduced formula."""
        found: dict[str, list[int]] = {}
        for number, frame in enumerate(self.frames):
            if number not in self.broken:
                found.setdefault(composition_of(frame), []).append(number)
        return found

    def repetitions(self) -> None:
        """Reject the second of two frames with the same crystal."""
        first: dict[tuple[str, str], int] = {}
        for number, frame in enumerate(self.frames):
            key = (frame.geometry_hash, frame.level_of_theory.identifier)
            if first.setdefault(key, number) != number:
                source = self.frames[first[key]].source
                self.broken[number] = "repetition", f"the same structure as {source}"

    def near_atoms(self) -> None:
        """Reject frames with two atoms too near to one another."""
        limit = self.rules.minimum_distance_A
        for number, frame in enumerate(self.frames):
            nearest = minimum_distance_A(frame.cell, frame.positions)
            if number not in self.broken and nearest < limit:
                reason = f"two atoms are {nearest:.3f} Å apart, nearer than {limit:g} Å"
                self.broken[number] = "minimum_distance_A", reason

    def energies(self, composition: str, members: list[int]) -> None:
        """Reject outliers of the energy per atom."""
        values = np.array([self.frames[number].energy_eV_per_atom for number in members])
        what = f"energy of {composition}", "energy_interquartile_ranges", "eV/atom"
        self._outliers(members, [values[i : i + 1] for i in range(len(values))], *what)

    def forces(self, composition: str, members: list[int]) -> None:
        """Reject outliers of the force components."""
        values = [self.frames[number].forces_eV_per_A.ravel() for number in members]
        self._outliers(members, values, f"force in {composition}", "force_interquartile_ranges", "eV/Å")

    def _outliers(
        self, members: list[int], values: list[np.ndarray], what: str, rule: str, unit: str
    ) -> None:
        ranges = getattr(self.rules, rule)
        if ranges is None:
            return
        lower, median, upper = np.percentile(np.concatenate(values), [25, 50, 75])
        if upper - lower < _SMALLEST_RANGE:
            self.notes.append(f"{what}: most values are {median:g} {unit}, so outliers cannot be told")
            return
        limit = ranges * (upper - lower)
        for number, some in zip(members, values, strict=True):
            worst = some[np.argmax(np.abs(some - median))]
            if number not in self.broken and abs(worst - median) > limit:
                self.broken[number] = (
                    rule,
                    (
                        f"{what}: {worst:.4f} {unit} is outside {median:.4f} ± {limit:.4f} "
                        f"({ranges:g} interquartile ranges of {len(members)} frames)"
                    ),
                )

    def bonds(self, limit: float, references: Mapping[str, Structure]) -> None:
        """Reject frames in which a bond of their parent's reference is much longer or shorter."""
        lists: dict[str, tuple[np.ndarray, ...]] = {}
        for number, frame in enumerate(self.frames):
            parent = frame.parent_configuration
            if parent not in lists:
                lists[parent] = _bonds(references.get(parent), frame, self.rules.mobile_species)
            first, second, vectors, lengths = lists[parent]
            if number in self.broken or not len(first):
                continue
            fractions = np.linalg.solve(frame.cell.T, frame.positions.T).T
            step = fractions[second] - fractions[first]
            step -= np.round(step - vectors)  # the image that is nearest to the reference's
            change = np.linalg.norm(step @ frame.cell, axis=1) / lengths - 1
            worst = int(np.argmax(np.abs(change)))
            if abs(change[worst]) > limit:
                pair = f"{frame.species[first[worst]]}-{frame.species[second[worst]]}"
                self.broken[number] = (
                    "bond_change",
                    (
                        f"a {pair} bond of {lengths[worst]:.3f} Å changed by {100 * change[worst]:+.0f} %, "
                        f"more than {100 * limit:g} %"
                    ),
                )


def _bonds(
    reference: Structure | None, frame: LabelledStructure, mobile: tuple[str, ...]
) -> tuple[np.ndarray, ...]:
    """Give both atoms, the fractional vector and the length (Å) of each bond between atoms that stay."""
    from ase import Atoms
    from ase.neighborlist import natural_cutoffs, neighbor_list

    parent = frame.parent_configuration
    if reference is None:
        raise InputError(f"bond_change: there is no reference crystal of parent configuration {parent}")
    species = tuple(site.specie.symbol for site in reference)
    if species != frame.species:
        raise InputError(f"bond_change: the reference of {parent} has other atoms, or another order of them")
    atoms = Atoms(species, positions=reference.cart_coords, cell=reference.lattice.matrix, pbc=True)
    cutoffs = natural_cutoffs(atoms, mult=_BOND_TOLERANCE)
    first, second, vectors, lengths = neighbor_list("ijDd", atoms, cutoffs)
    stays = ~np.isin(species, mobile)
    chosen = (first < second) & stays[first] & stays[second]
    fractions = np.linalg.solve(atoms.cell.array.T, vectors[chosen].T).T
    return first[chosen], second[chosen], fractions, lengths[chosen]
