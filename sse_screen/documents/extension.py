"""How long runs go on, and the decision after each round."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import Document, Quantity, Specification

_PICOSECONDS: JsonDict = {"unit": "ps"}
_NUMBER: JsonDict = {"unit": "1"}
ExtensionAction = Literal["extended", "reached", "budget", "no_diffusion", "stopped", "failed"]


class ExtensionRule(Specification):
    """Runs go on until the diffusivity is known well enough, or until they are as long as they may be."""

    relative_error: float = Field(
        0.3,
        gt=0,
        le=10,
        description="Half the interval of the tracer diffusivity (95 %) over its value that is enough",
        json_schema_extra=_NUMBER,
    )
    maximum_ps: float = Field(
        gt=0, description="Longest production of one run", json_schema_extra=_PICOSECONDS
    )


class ExtensionDecisionOutput(Document):
    """What was found after a round of runs of one crystal at one temperature, and what follows."""

    kind: Literal["extension_decision"] = "extension_decision"
    calculation_key: str = Field(description="Hash of the runs and the rule")
    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    temperature_K: float = Field(description="Target temperature", gt=0, json_schema_extra={"unit": "K"})
    rule: ExtensionRule
    action: ExtensionAction = Field(
        description="extended: the runs go on; reached: known well enough; budget: as long as they may be; "
        "no_diffusion: too few jumps even for the longest runs; stopped: the framework failed; "
        "failed: no run ended well"
    )
    reason: str = Field(description="Why, in words")
    production_ps: float = Field(
        description="Production of the shortest of the runs", json_schema_extra=_PICOSECONDS
    )
    next_production_ps: float | None = Field(
        None, description="Production of each run of the next round", json_schema_extra=_PICOSECONDS
    )
    relative_error: float | None = Field(
        None,
        description="Of the diffusivity, as in the rule; none when there is none",
        json_schema_extra=_NUMBER,
    )
    n_jumps: float | None = Field(None, description="Effective jumps so far", json_schema_extra=_NUMBER)
    tracer_diffusivity: Quantity | None = Field(
        None, description="So far", json_schema_extra={"unit": "cm2/s"}
    )
    inputs: list[str] = Field(default_factory=list, description="uuids of the runs")
