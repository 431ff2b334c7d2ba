"""A cleaned set of labels as a job leaves it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sse_screen.documents.base import BlobReference, Document
from sse_screen.training.cleaning import CleaningRules
from sse_screen.training.labelled import LevelOfTheory


class RejectedLabel(Document):
    """A label that is not in the set, and why."""

    label_sha256: str = Field(description="Hash of structure, label and level of theory")
    source: str = Field(description="Where the structure is from")
    rule: str = Field(description="Cleaning rule that it broke")
    reason: str = Field(description="In words, with value and limit")


class DatasetOutput(Document):
    """What the cleaning of labels leaves in ``outputs``; the labels are in the blob store."""

    kind: Literal["dataset"] = "dataset"
    calculation_key: str = Field(description="Hash of the labels and the rules")
    name: str = Field(description="Name given to the set")
    dataset_sha256: str = Field(description="Hash of the labels kept, whatever their order")
    level_of_theory: LevelOfTheory = Field(description="The one level of all labels")
    level_identifier: str = Field(description="Short hash of the level of theory")
    elements: list[str] = Field(description="Elements, alphabetical")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    parents: dict[str, int] = Field(description="Labels by parent configuration")
    n_labels: int = Field(description="Labels kept", gt=0)
    rules: CleaningRules = Field(description="When a label is rejected")
    rejected: list[RejectedLabel] = Field(description="Labels that are not in the set")
    notes: list[str] = Field(default_factory=list, description="Tests that could not be made")
    packed: BlobReference = Field(description="Labels kept, packed")
    packed_rejected: BlobReference | None = Field(None, description="Labels rejected, packed")
    inputs: list[str] = Field(default_factory=list, description="uuids of the jobs it came from")
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")
