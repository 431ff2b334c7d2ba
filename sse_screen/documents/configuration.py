"""One relaxed ordering of a disordered crystal."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sse_screen.documents.base import BlobReference, DerivedDocument, PotentialIdentity


class ConfigurationDoc(DerivedDocument):
    """A relaxed ordering at one level of theory; its structure is in the blob of its batch, by its id."""

    collection: ClassVar[str] = "configuration"
    meaning_version: ClassVar[str] = "2"
    group_fields: ClassVar[tuple[str, ...]] = ("configuration_id", "level_of_theory")

    configuration_id: str = Field(description="Content id of the ordering before relaxation")
    parent: str = Field(description="Id of the disordered parent crystal")
    parent_name: str = Field(description="Name of the parent given in the campaign")
    occupancy_class: str = Field(description="Occupied sites of each sublattice")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, joined by dashes")
    elements: list[str] = Field(description="Elements")
    n_atoms: int = Field(description="Atoms in the cell", json_schema_extra={"unit": "1"})
    level_of_theory: str = Field(description="Potential and relaxation protocol")
    potential: PotentialIdentity = Field(description="The potential")
    degeneracy: int = Field(
        description="Symmetry-equivalent orderings it stands for", json_schema_extra={"unit": "1"}
    )
    energy_eV_per_cell: float = Field(description="Relaxed energy", json_schema_extra={"unit": "eV/cell"})
    energy_eV_per_atom: float = Field(description="Relaxed energy", json_schema_extra={"unit": "eV/atom"})
    maximum_force_eV_per_A: float = Field(
        description="Largest force left", json_schema_extra={"unit": "eV/angstrom"}
    )
    converged: bool = Field(description="Whether the forces fell below the limit")
    n_moved_ions: int | None = Field(
        None,
        description="Ions that the relaxation carried to another site; none if not looked for",
        json_schema_extra={"unit": "1"},
    )
    reached_id: str | None = Field(
        None, description="Content id of the ordering that the relaxed ions map to; none if outside the space"
    )
    structures: BlobReference = Field(description="Packed relaxed structures of its batch, by id")
