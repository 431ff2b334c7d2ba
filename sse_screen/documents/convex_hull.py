"""Stored form of a convex hull: one composition space at one level of theory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import DerivedDocument, Document, PotentialIdentity
from sse_screen.thermodynamics.composition_space import (
    CompositionSpace,
    HullEntry,
    PlacedEntries,
    elemental_space,
    end_member_space,
    missing_references,
    place_on_hull,
    single_level_of_theory,
)
from sse_screen.thermodynamics.hull import decomposition
from sse_screen.thermodynamics.suspicious_entries import JumpThresholds, suspicious_entries

_PER_ATOM: JsonDict = {"unit": "eV/atom"}


class DecompositionProduct(Document):
    """One of the phases that an entry decomposes into."""

    entry_id: str = Field(description="Id of the phase's entry")
    formula: str = Field(description="Reduced formula of the phase")
    atom_fraction: float = Field(
        description="Share of the atoms in this phase", json_schema_extra={"unit": "1"}
    )


class ConvexHullEntry(Document):
    """One crystal on or above the hull."""

    entry_id: str = Field(description="Id of the entry")
    formula: str = Field(description="Reduced formula")
    cell_formula: str = Field(description="Formula of the cell that 'per cell' refers to")
    n_atoms: float = Field(description="Atoms in the cell", json_schema_extra={"unit": "1"})
    component_fractions: list[float] = Field(
        description="Mole fractions of the document's components", json_schema_extra={"unit": "1"}
    )
    energy_eV_per_atom: float = Field(description="Total energy", json_schema_extra=_PER_ATOM)
    formation_energy_eV_per_atom: float | None = Field(
        description="Energy against the lowest entries at the pure components; null when one is missing",
        json_schema_extra=_PER_ATOM,
    )
    energy_above_hull_eV_per_atom: float = Field(
        description="Distance to the hull; negative for a suspicious entry that was left out of it",
        json_schema_extra=_PER_ATOM,
    )
    energy_above_hull_eV_per_formula_unit: float = Field(
        description="The same per formula unit", json_schema_extra={"unit": "eV/formula unit"}
    )
    energy_above_hull_eV_per_cell: float = Field(
        description="The same per cell", json_schema_extra={"unit": "eV/cell"}
    )
    stable: bool = Field(description="True when the entry is a corner of the hull")
    decomposition: list[DecompositionProduct] = Field(
        default_factory=list, description="Phases it decomposes into; empty when stable"
    )
    suspicious: bool = Field(
        False, description="True when it lies too far below everything known to be served"
    )
    suspicious_reason: str | None = Field(None, description="How far, and below what")


class ConvexHullDoc(DerivedDocument):
    """A convex hull over elements or end members, of entries of one level of theory."""

    collection: ClassVar[str] = "convex_hull"
    meaning_version: ClassVar[str] = "1"
    group_fields: ClassVar[tuple[str, ...]] = ("components", "level_of_theory")

    chemical_system: str = Field(description="Elements of all entries, joined by dashes")
    elements: list[str] = Field(description="Elements of all entries")
    components: list[str] = Field(description="Elements, or end members of a pseudo-binary or higher space")
    level_of_theory: str = Field(description="The one potential or DFT setting of all energies")
    potential: PotentialIdentity | None = Field(
        None, description="The potential, where the energies are from one"
    )
    n_entries: int = Field(description="Number of entries", ge=1, json_schema_extra={"unit": "1"})
    n_stable: int = Field(description="Number of corners of the hull", json_schema_extra={"unit": "1"})
    stable_formulas: list[str] = Field(description="Reduced formulas of the stable entries, sorted")
    formulas: list[str] = Field(description="All reduced formulas, sorted, without repetition")
    entries: list[ConvexHullEntry] = Field(description="All entries, by component fractions and energy")
    suspicious_entry_ids: list[str] = Field(
        default_factory=list, description="Entries left out of the hull as suspicious"
    )
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")

    @classmethod
    def from_entries(
        cls,
        entries: Sequence[HullEntry],
        *,
        level_of_theory: str | None = None,
        potential: PotentialIdentity | None = None,
        end_members: Sequence[str] | None = None,
        thresholds: JumpThresholds | None = None,
        not_converged: Sequence[str] = (),
    ) -> Self:
        """Build the hull of entries.

        Parameters
        ----------
        entries : sequence of HullEntry
            Crystals with energies, the elements or end members among them.
        level_of_theory : str, optional
            Name of the level when the entries do not carry it; the potential's name and hash if left out.
        potential : PotentialIdentity, optional
            The potential that made all energies.
        end_members : sequence of str, optional
            Components of a pseudo-binary or higher space; the elements if left out.
        thresholds : JumpThresholds, optional
            What counts as suspicious.
        not_converged : sequence of str
            Phases that are left out because their relaxation did not end, with the forces left.

        Returns
        -------
        ConvexHullDoc
            The document, without build metadata.

        Raises
        ------
        HullError
            If levels of theory are mixed, all entries have one composition, or an entry is no mixture of the
            end members.
        """
        level = single_level_of_theory([entry.level_of_theory for entry in entries]) or level_of_theory
        if level is None:
            level = "not given" if potential is None else f"{potential.name} {potential.weights_sha256[:12]}"
        formulas = [entry.formula for entry in entries]
        elements = elemental_space(formulas)
        space = elements if end_members is None else end_member_space(formulas, end_members)
        energies = np.array([entry.energy_eV_per_atom for entry in entries], dtype=float)
        suspects = suspicious_entries(space, energies, thresholds)
        left_out = np.isin(np.arange(len(entries)), list(suspects))
        placed = place_on_hull(space, energies, left_out)
        records = _records(entries, placed, suspects)
        stable = sorted({record.formula for record in records if record.stable})
        return cls(
            id=cls.id_of({"components": list(space.components), "level_of_theory": level}),
            chemical_system="-".join(elements.components),
            elements=list(elements.components),
            components=list(space.components),
            level_of_theory=level,
            potential=potential,
            n_entries=len(entries),
            n_stable=sum(record.stable for record in records),
            stable_formulas=stable,
            formulas=sorted({record.formula for record in records}),
            entries=records,
            suspicious_entry_ids=sorted(record.entry_id for record in records if record.suspicious),
            warnings=_warnings(space, placed, len(suspects), not_converged),
        )

    def entries_of(self, formula: str) -> list[ConvexHullEntry]:
        """List the entries of a composition, lowest first.

        Parameters
        ----------
        formula : str
            Any multiple of the formula.

        Returns
        -------
        list of ConvexHullEntry
            Entries with that reduced formula.
        """
        wanted = reduced_formula(formula)
        found = [entry for entry in self.entries if entry.formula == wanted]
        return sorted(found, key=lambda entry: entry.energy_eV_per_atom)


def reduced_formula(formula: str) -> str:
    """Reduce a formula to the field's usual form.

    Parameters
    ----------
    formula : str
        Any multiple of the formula.

    Returns
    -------
    str
        Such as Li3PS4 for Li12P4S16.
    """
    from pymatgen.core import Composition

    composition = Composition(formula)
    # Elements stay as they are: pymatgen writes H2, N2, O2, F2, Cl2 for the gases' elements.
    return composition.elements[0].symbol if composition.is_element else composition.reduced_formula


def _records(
    entries: Sequence[HullEntry], placed: PlacedEntries, suspects: dict[int, str]
) -> list[ConvexHullEntry]:
    """Write the entries' records in a fixed order."""
    space, above = placed.space, placed.energies_above_hull_eV_per_atom
    per_unit, per_cell = placed.energies_above_hull("formula_unit"), placed.energies_above_hull("cell")
    stable = np.zeros(len(entries), dtype=bool)
    stable[placed.hull.vertices] = True
    names = [entry.entry_id or entry.formula for entry in entries]
    reduced = [reduced_formula(entry.formula) for entry in entries]
    order = sorted(
        range(len(entries)),
        key=lambda i: (*np.round(-space.fractions[i], 9), entries[i].energy_eV_per_atom, names[i]),
    )
    records = []
    for i in order:
        formation = float(placed.formation_energies_eV_per_atom[i])
        records.append(
            ConvexHullEntry(
                entry_id=names[i],
                formula=reduced[i],
                cell_formula=entries[i].formula,
                n_atoms=float(space.atoms_per_cell[i]),
                component_fractions=[float(x) for x in space.fractions[i]],
                energy_eV_per_atom=entries[i].energy_eV_per_atom,
                formation_energy_eV_per_atom=None if np.isnan(formation) else formation,
                energy_above_hull_eV_per_atom=float(above[i]),
                energy_above_hull_eV_per_formula_unit=float(per_unit[i]),
                energy_above_hull_eV_per_cell=float(per_cell[i]),
                stable=bool(stable[i]),
                decomposition=[] if stable[i] else _products(placed, i, names, reduced),
                suspicious=i in suspects,
                suspicious_reason=suspects.get(i),
            )
        )
    return records


def _products(
    placed: PlacedEntries, index: int, names: list[str], reduced: list[str]
) -> list[DecompositionProduct]:
    """List the phases that an entry decomposes into, by share of the atoms."""
    space = placed.space
    shares = decomposition(placed.hull, space.fractions[index], space.fractions)
    atoms = np.array([share / space.units_per_atom[i] for i, share in shares])
    atoms /= atoms.sum()
    products = [
        DecompositionProduct(entry_id=names[i], formula=reduced[i], atom_fraction=float(fraction))
        for (i, _), fraction in zip(shares, atoms, strict=True)
    ]
    return sorted(products, key=lambda product: (-product.atom_fraction, product.formula))


def _warnings(
    space: CompositionSpace, placed: PlacedEntries, n_suspects: int, not_converged: Sequence[str]
) -> list[str]:
    """Say what a reader has to know."""
    warnings = []
    if missing := missing_references(space):
        warnings.append(
            f"no entry for {', '.join(missing)}: no formation energies there, and distances only within the "
            "compositions that the entries span"
        )
    if n_suspects:
        warnings.append(f"{n_suspects} suspicious entries were left out of the hull")
    if not_converged:
        warnings.append(
            f"left out because their relaxation did not converge (largest force left): "
            f"{', '.join(sorted(not_converged))}; distances to the hull may be too small"
        )
    return warnings
