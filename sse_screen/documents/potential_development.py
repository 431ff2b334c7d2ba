"""What the steps between a composition space and a new potential leave in ``outputs``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity


class ChosenOrdering(Document):
    """One ordering whose snapshots are labelled."""

    configuration_id: str = Field(description="Id of the ordering, or hash of the crystal")
    composition_name: str = Field(description="Name of its composition in the campaign")
    formula: str = Field(description="Reduced formula")
    n_atoms: int = Field(description="Atoms in its cell", json_schema_extra={"unit": "1"})
    energy_above_hull_eV_per_atom: float = Field(json_schema_extra={"unit": "eV/atom"})
    probability: float = Field(description="Boltzmann weight among all orderings", ge=0, le=1)
    lowest_of_its_composition: bool = Field(description="Whether it is in whatever its weight")


class LabellingSelection(Document):
    """Orderings of a composition space that were chosen for labels."""

    kind: Literal["labelling_selection"] = "labelling_selection"
    calculation_key: str = Field(description="Hash of the relaxed orderings, the rule and the seed")
    chosen: list[ChosenOrdering]
    n_candidates: int = Field(description="Relaxed orderings that they were drawn from")
    n_unconverged: int = Field(description="Orderings left out because their relaxation did not converge")
    temperature_K: float = Field(description="Of the Boltzmann weights", json_schema_extra={"unit": "K"})
    seed: int = Field(description="Seed of the draw")
    structures: BlobReference = Field(description="The chosen relaxed cells by configuration id, packed")
    inputs: list[str] = Field(default_factory=list, description="uuids of the relaxations")
    versions: dict[str, str] = Field(default_factory=dict)


class DevelopmentOutcome(Document):
    """The end of a potential's development: whether production runs were started with it, and why."""

    kind: Literal["potential_development"] = "potential_development"
    calculation_key: str = Field(description="Hash of weights and requests")
    potential: PotentialIdentity = Field(description="Who the new potential is")
    passed: bool = Field(description="Whether it passed the gates")
    reasons: list[str] = Field(description="Gates that it did not pass")
    n_production_jobs: int = Field(description="Jobs that were added with the new potential")
    inputs: list[str] = Field(default_factory=list, description="uuids of training and gates")
