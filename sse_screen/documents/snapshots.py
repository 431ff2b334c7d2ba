"""Structures chosen to be labelled, as a job leaves them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity
from sse_screen.training.sampling import SamplingProtocol


class SnapshotsOutput(Document):
    """What a sampling of runs leaves in ``outputs``; the structures are in the blob store, in batches."""

    kind: Literal["snapshots"] = "snapshots"
    calculation_key: str = Field(description="Hash of runs, protocol and seed")
    protocol: SamplingProtocol = Field(description="How the structures were taken")
    seed: int = Field(description="Seed of the sampling; each run's is derived from it and the run")
    runs: list[str] = Field(description="Calculation keys of the runs")
    temperatures_K: list[float] = Field(
        description="Temperatures of the runs", json_schema_extra={"unit": "K"}
    )
    parents: dict[str, int] = Field(description="Structures by parent configuration")
    descriptor: PotentialIdentity | None = Field(
        None, description="CHGNet whose features told frames apart; none for other methods"
    )
    n_structures: int = Field(description="Structures to be labelled", gt=0)
    n_left_out: int = Field(description="Structures not worth a label because atoms were too near", ge=0)
    batches: list[BlobReference] = Field(description="Packed structures, one blob a labelling job")
    inputs: list[str] = Field(default_factory=list, description="uuids of the runs' jobs")
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")
