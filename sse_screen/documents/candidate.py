"""Stored form of a candidate: one crystal of a survey with its way through the tiers and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import DerivedDocument, Document, PotentialIdentity, Quantity
from sse_screen.documents.survey import Action, SurveyCrystal, SurveyDecisionOutput, TierConductivity

Outcome = Literal["finished", "running", "waiting", "stopped", "over_budget", "failed", "refused"]
_CONDUCTIVITY: JsonDict = {"unit": "S/cm"}
_PER_ATOM: JsonDict = {"unit": "eV/atom"}
_HOURS: JsonDict = {"unit": "h"}
_NUMBER: JsonDict = {"unit": "1"}


class CandidateStep(Document):
    """One decision on a crystal's way through a survey."""

    tier: int = Field(description="Tier that was judged; 0 for the relaxation", json_schema_extra=_NUMBER)
    action: Action = Field(description="What was decided")
    reason: str = Field(description="Why, with the numbers and the limit")
    core_hours: float = Field(
        description="Spent in this tier, relaxation and failed runs too", json_schema_extra=_HOURS
    )
    conductivities: list[TierConductivity] = Field(description="What the tier found")


class CandidateDoc(DerivedDocument):
    """One crystal of a survey: filters, tiers, extrapolated conductivity, stability.

    An upper limit has no value, so that sorting by ``conductivity_300K`` never takes one for a number.
    """

    collection: ClassVar[str] = "candidate"
    meaning_version: ClassVar[str] = "3"
    group_fields: ClassVar[tuple[str, ...]] = ("survey", "material_name")

    survey: str = Field(description="Name of the campaign")
    material_name: str = Field(description="Name in the survey")
    material_id: str | None = Field(
        None, description="Hash of the crystal as submitted; null when a filter refused it"
    )
    formula: str | None = Field(None, description="Reduced formula; null when it could not be read")
    chemical_system: str | None = Field(None, description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(default_factory=list, description="Elements, alphabetical")
    n_atoms: int | None = Field(None, description="Atoms in the simulated cell", json_schema_extra=_NUMBER)
    mobile_ion: str = Field(description="Mobile species")
    charge_number: int = Field(
        description="Charge of the mobile ion in units of e", json_schema_extra=_NUMBER
    )
    potential: PotentialIdentity = Field(description="Potential of the survey")
    potential_sha256: str = Field(description="sha256 of the potential's weights")
    outcome: Outcome = Field(description="What became of it so far")
    reason: str = Field(description="Why, with the numbers and the limit")
    refused_by: str | None = Field(None, description="Filter that refused it")
    tier: int = Field(description="Last tier that was judged; 0 before", json_schema_extra=_NUMBER)
    steps: list[CandidateStep] = Field(description="All decisions in their order")
    core_hours: float = Field(description="Spent in all tiers", json_schema_extra=_HOURS)
    highest_temperature_K: float | None = Field(
        None, description="Highest temperature of the last tier", json_schema_extra={"unit": "K"}
    )
    conductivity_highest: Quantity = Field(
        description="Conductivity at the highest temperature of the last tier",
        json_schema_extra=_CONDUCTIVITY,
    )
    conductivity_300K: Quantity = Field(
        description="Conductivity at 300 K from the fit over temperatures", json_schema_extra=_CONDUCTIVITY
    )
    activation_energy: Quantity = Field(
        description="Activation energy; an interval without a value where it is doubtful",
        json_schema_extra={"unit": "eV"},
    )
    activation_energy_id: str | None = Field(None, description="Its document in activation_energy")
    energy_above_hull_eV_per_atom: float | None = Field(
        None, description="Distance to the hull", json_schema_extra=_PER_ATOM
    )
    energy_above_hull_source: Literal["computed", "given"] | None = Field(
        None, description="computed: with the survey's own potential; given: with the crystal"
    )
    convex_hull_id: str | None = Field(None, description="The hull it was computed on")
    band_gap_eV: float | None = Field(
        None, description="As given with the crystal", json_schema_extra={"unit": "eV"}
    )

    @classmethod
    def from_decisions(
        cls,
        crystal: SurveyCrystal,
        decisions: Sequence[SurveyDecisionOutput],
        *,
        survey: str,
        mobile_ion: str,
        charge_number: int,
        potential: PotentialIdentity,
        fit: dict[str, Any] | None = None,
        hull: tuple[str, float] | None = None,
    ) -> Self:
        """Put together what is known of one crystal.

        Parameters
        ----------
        crystal : SurveyCrystal
            As the filters left it.
        decisions : sequence of SurveyDecisionOutput
            In their order.
        survey, mobile_ion, charge_number, potential : str, str, int, PotentialIdentity
            Of the survey.
        fit : dict, optional
            ``id``, ``activation_energy`` and ``conductivity_300K`` of its document in activation_energy.
        hull : tuple of str and float, optional
            Id of a hull of the same potential, and the crystal's distance to it (eV/atom).

        Returns
        -------
        CandidateDoc
            The document, without build metadata.
        """
        outcome, reason = _outcome(crystal, decisions)
        found = next((d.conductivities for d in reversed(decisions) if d.conductivities), [])
        highest = max(found, key=lambda point: point.temperature_K, default=None)
        why = ["not run at enough temperatures"] if highest is not None else [reason]
        given = crystal.energy_above_hull_eV_per_atom
        source = "computed" if hull is not None else None if given is None else "given"
        return cls(
            id=cls.id_of({"survey": survey, "material_name": crystal.name}),
            survey=survey,
            material_name=crystal.name,
            **crystal.model_dump(include={"material_id", "formula", "n_atoms", "refused_by", "band_gap_eV"}),
            **_chemistry(crystal.formula),
            mobile_ion=mobile_ion,
            charge_number=charge_number,
            potential=potential,
            potential_sha256=potential.weights_sha256,
            outcome=outcome,
            reason=reason,
            tier=max((d.tier for d in decisions), default=0),
            steps=[CandidateStep(**d.model_dump(include=set(CandidateStep.model_fields))) for d in decisions],
            core_hours=sum(d.core_hours for d in decisions),
            highest_temperature_K=None if highest is None else highest.temperature_K,
            conductivity_highest=_refused("S/cm", why) if highest is None else highest.conductivity,
            conductivity_300K=_refused("S/cm", why) if fit is None else fit["conductivity_300K"],
            activation_energy=_refused("eV", why) if fit is None else fit["activation_energy"],
            activation_energy_id=None if fit is None else fit["id"],
            energy_above_hull_eV_per_atom=given if hull is None else hull[1],
            energy_above_hull_source=source,
            convex_hull_id=None if hull is None else hull[0],
        )


def _outcome(crystal: SurveyCrystal, decisions: Sequence[SurveyDecisionOutput]) -> tuple[Outcome, str]:
    if crystal.refused_by is not None:
        return "refused", f"{crystal.refused_by}: {crystal.reason}"
    if not decisions:
        return "waiting", "no tier was judged yet"
    last = decisions[-1]
    return ("running" if last.action == "promoted" else last.action), last.reason


def _chemistry(formula: str | None) -> dict[str, Any]:
    if formula is None:
        return {}
    from pymatgen.core import Composition

    composition = Composition(formula)
    elements = sorted(element.symbol for element in composition.elements)
    return {"elements": elements, "chemical_system": "-".join(elements)}


def _refused(unit: str, reasons: list[str]) -> Quantity:
    return Quantity(unit=unit, verdict="refused", reasons=reasons)
