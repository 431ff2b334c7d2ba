"""What a survey leaves in ``outputs``: its crystals with the filters' answers, and every decision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import Document, PotentialIdentity, Quantity, Specification
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol, Temperatures

_HOURS: JsonDict = {"unit": "h"}
_CONDUCTIVITY: JsonDict = {"unit": "S/cm"}
_PER_ATOM: JsonDict = {"unit": "eV/atom"}
_NUMBER: JsonDict = {"unit": "1"}

Action = Literal["promoted", "stopped", "finished", "failed", "over_budget"]
Certainty = Literal["measured", "likely", "possible"]


class PromotionRule(Specification):
    """What a crystal must show in a tier to go on to the next one."""

    minimum_conductivity_S_per_cm: float = Field(
        gt=0,
        description="Least Nernst-Einstein conductivity at the tier's highest temperature",
        json_schema_extra=_CONDUCTIVITY,
    )
    certainty: Certainty = Field(
        "likely",
        description="measured: a conductivity was measured and its value reaches the minimum; likely: or, if "
        "the run was too short for that, the slope of the displacement does; possible: the upper end of the "
        "interval, or the upper limit, does",
    )


class SurveyTier(Specification):
    """One round of molecular dynamics of a survey."""

    temperatures_K: Temperatures = Field(description="Temperatures", json_schema_extra={"unit": "K"})
    replicas: int = Field(
        1, ge=1, le=100, description="Runs a temperature, with different seeds", json_schema_extra=_NUMBER
    )
    protocol: MolecularDynamicsProtocol = Field(
        default_factory=MolecularDynamicsProtocol, description="How each is run"
    )
    promote: PromotionRule | None = Field(None, description="Who goes on; only the last tier has none")

    @property
    def n_runs(self) -> int:
        """Runs a crystal."""
        return len(self.temperatures_K) * self.replicas


class FilterResult(Document):
    """What a filter did to the survey."""

    filter: str = Field(description="Name of the filter")
    tested: int = Field(description="Crystals that reached it", json_schema_extra=_NUMBER)
    refused: int = Field(description="Crystals it refused", json_schema_extra=_NUMBER)
    not_known: int = Field(
        description="Crystals that passed because the value it needs is not known", json_schema_extra=_NUMBER
    )


class SurveyCrystal(Document):
    """One crystal of a survey and what the filters said."""

    name: str = Field(description="Name in the survey: file, prototype or row of the table")
    material_id: str | None = Field(
        None, description="Hash of the crystal as submitted; null when it could not be read or ordered"
    )
    formula: str | None = Field(None, description="Reduced formula; null when it could not be read")
    n_atoms: int | None = Field(
        None, description="Atoms in the cell that is simulated", json_schema_extra=_NUMBER
    )
    energy_above_hull_eV_per_atom: float | None = Field(
        None, description="As given with the crystal", json_schema_extra=_PER_ATOM
    )
    band_gap_eV: float | None = Field(
        None, description="As given with the crystal", json_schema_extra={"unit": "eV"}
    )
    refused_by: str | None = Field(None, description="Filter that refused it; null when it was accepted")
    reason: str | None = Field(None, description="Why it was refused")


class SurveyOutput(Document):
    """A survey as it was submitted: settings, tiers, and every crystal with the filters' answer."""

    kind: Literal["survey"] = "survey"
    calculation_key: str = Field(description="Hash of all of it")
    survey: str = Field(description="Name of the campaign")
    mobile_ion: str = Field(description="Mobile species")
    charge_number: int = Field(description="Charge of the mobile ion in units of e")
    potential: PotentialIdentity
    tiers: list[SurveyTier] = Field(description="Rounds of molecular dynamics, in their order")
    budget_core_hours: float | None = Field(
        description="Most that may be spent; null without limit", json_schema_extra=_HOURS
    )
    estimated_core_hours: list[float] = Field(
        description="Estimate a tier, if every accepted crystal ran in it", json_schema_extra=_HOURS
    )
    filters: list[FilterResult] = Field(description="Counts, in the order in which the filters ran")
    crystals: list[SurveyCrystal] = Field(description="Accepted and refused ones, in the order of the survey")


class TierConductivity(Document):
    """What a tier found at one temperature."""

    temperature_K: float = Field(description="Target temperature", json_schema_extra={"unit": "K"})
    conductivity: Quantity = Field(
        description="Nernst-Einstein conductivity", json_schema_extra=_CONDUCTIVITY
    )
    slope_conductivity: Quantity = Field(
        description="From the slope of the displacement whatever the verdict: to decide by, not to quote",
        json_schema_extra=_CONDUCTIVITY,
    )
    tracer_diffusivity: Quantity = Field(
        description="Tracer diffusivity", json_schema_extra={"unit": "cm2/s"}
    )
    time_ps: float = Field(description="Length of the runs", json_schema_extra={"unit": "ps"})


class SurveyDecisionOutput(Document):
    """What became of one crystal after one tier, and why."""

    kind: Literal["survey_decision"] = "survey_decision"
    calculation_key: str = Field(description="Hash of survey, crystal, tier and step")
    survey: str = Field(description="Name of the campaign")
    material_id: str = Field(description="Hash of the crystal as submitted")
    material_name: str = Field(description="Name in the survey")
    tier: int = Field(
        ge=0, description="Tier that was judged, from 1; 0 for the relaxation", json_schema_extra=_NUMBER
    )
    action: Action = Field(description="What was decided")
    reason: str = Field(description="Why, with the numbers and the limit")
    protocol_id: str | None = Field(
        None, description="Hash of the conditions of the tier's runs, as in activation_energy"
    )
    conductivities: list[TierConductivity] = Field(
        default_factory=list, description="What the tier found, descending temperatures"
    )
    core_hours: float = Field(
        0.0,
        description="Spent in this tier with failed runs, and in the first one with the relaxation; what was "
        "taken over from other jobs costs nothing",
        json_schema_extra=_HOURS,
    )
    next_tier_core_hours: float | None = Field(
        None, description="Estimate of the next tier from the speed of this one", json_schema_extra=_HOURS
    )
    inputs: list[str] = Field(default_factory=list, description="uuids of the jobs that were judged")
