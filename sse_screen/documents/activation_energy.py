"""Stored form of an activation energy: diffusivities of one material over temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import (
    DerivedDocument,
    Document,
    PotentialIdentity,
    Quantity,
    Verdict,
    common_fields,
)
from sse_screen.documents.diffusivity import DiffusivityDoc, DynamicsConditions
from sse_screen.transport.arrhenius import ArrheniusFit, ArrheniusPoint, fit_arrhenius
from sse_screen.transport.conductivity import nernst_einstein

REFERENCE_TEMPERATURE_K = 300.0
_DIFFUSIVITY: JsonDict = {"unit": "cm2/s"}
_KELVIN: JsonDict = {"unit": "K"}
_NUMBER: JsonDict = {"unit": "1"}


class TemperaturePoint(Document):
    """Diffusivity and conductivity at one temperature, as stored."""

    diffusivity_id: str = Field(description="Id of the document in diffusivity")
    temperature_K: float = Field(description="Temperature used in the fit", json_schema_extra=_KELVIN)
    tracer_diffusivity: Quantity = Field(description="Tracer diffusivity", json_schema_extra=_DIFFUSIVITY)
    conductivity: Quantity = Field(
        description="Nernst-Einstein conductivity", json_schema_extra={"unit": "S/cm"}
    )


class ActivationEnergyDoc(DerivedDocument):
    """Arrhenius fit over all temperatures, and what it gives at 300 K."""

    collection: ClassVar[str] = "activation_energy"
    meaning_version: ClassVar[str] = "3"
    group_fields: ClassVar[tuple[str, ...]] = (
        "material_id",
        "potential_sha256",
        "mobile_ion",
        "protocol_id",
    )

    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    mobile_ion: str = Field(description="Mobile species")
    charge_number: int = Field(
        description="Charge of the mobile ion in units of e", json_schema_extra=_NUMBER
    )
    potential: PotentialIdentity = Field(description="Potential of the dynamics")
    potential_sha256: str = Field(description="sha256 of the potential's weights")
    protocol: DynamicsConditions = Field(description="What the runs share")
    protocol_id: str = Field(description="Hash of these conditions")
    verdict: Verdict = Field(description="What the activation energy may be taken for")
    flags: list[str] = Field(description="What to know of the points and the fit")
    activation_energy: Quantity = Field(
        description="Activation energy; an interval without a value where it is doubtful",
        json_schema_extra={"unit": "eV"},
    )
    prefactor: Quantity = Field(
        description="Prefactor D0; an interval without a value where the activation energy is doubtful",
        json_schema_extra=_DIFFUSIVITY,
    )
    diffusivity_300K: Quantity = Field(
        description="Tracer diffusivity at 300 K from the fit", json_schema_extra=_DIFFUSIVITY
    )
    conductivity_300K: Quantity = Field(
        description="Nernst-Einstein conductivity at 300 K from the fit", json_schema_extra={"unit": "S/cm"}
    )
    lowest_temperature_K: float = Field(description="Lowest temperature run", json_schema_extra=_KELVIN)
    highest_temperature_K: float = Field(description="Highest temperature run", json_schema_extra=_KELVIN)
    n_diffusive: int = Field(description="Temperatures with a diffusivity", json_schema_extra=_NUMBER)
    n_upper_limits: int = Field(
        description="Temperatures with an upper limit only", json_schema_extra=_NUMBER
    )
    n_refused: int = Field(description="Temperatures without a number", json_schema_extra=_NUMBER)
    points: list[TemperaturePoint] = Field(description="All temperatures, ascending")
    fit: ArrheniusFit | None = Field(description="The fit with covariance and tests; null without points")

    @classmethod
    def from_diffusivities(cls, diffusivities: Sequence[DiffusivityDoc], *, confidence: float = 0.95) -> Self:
        """Fit the diffusivities of one material over temperatures.

        Too few points give a document whose quantities are refused with the reasons.

        Parameters
        ----------
        diffusivities : sequence of DiffusivityDoc
            One a temperature.
        confidence : float
            Probability of the intervals.

        Returns
        -------
        ActivationEnergyDoc
            The document, without build metadata.

        Raises
        ------
        InputError
            When there is none, or two differ in material, potential, ion or protocol.
        """
        ordered = sorted(diffusivities, key=lambda found: found.temperature_K)
        group = common_fields(ordered, cls.group_fields)
        points = [_point(found) for found in ordered]
        judged = [ArrheniusPoint.from_quantity(p.temperature_K, p.tracer_diffusivity) for p in points]
        usable = [point for point in judged if point is not None]
        fit = fit_arrhenius(usable, confidence=confidence) if usable else None
        first = ordered[0]
        activation_energy = _refused("eV", confidence) if fit is None else fit.activation_energy
        diffusivity = (
            _refused("cm2/s", confidence) if fit is None else fit.diffusivity_at(REFERENCE_TEMPERATURE_K)
        )
        n_limits = sum(point.upper_limit for point in usable)
        return cls(
            id=cls.id_of(group),
            **group,
            **first.model_dump(include={"material_name", "formula", "chemical_system", "elements"}),
            charge_number=first.charge_number,
            potential=first.potential,
            protocol=first.protocol,
            verdict=activation_energy.verdict,
            flags=_flags(ordered),
            activation_energy=activation_energy,
            prefactor=_refused("cm2/s", confidence) if fit is None else fit.prefactor,
            diffusivity_300K=diffusivity,
            conductivity_300K=_conductivity(diffusivity, first),
            lowest_temperature_K=points[0].temperature_K,
            highest_temperature_K=points[-1].temperature_K,
            n_diffusive=len(usable) - n_limits,
            n_upper_limits=n_limits,
            n_refused=len(points) - len(usable),
            points=points,
            fit=fit,
        )


def _point(found: DiffusivityDoc) -> TemperaturePoint:
    """Take one temperature: the target, or without a thermostat the measured one."""
    measured = found.protocol.ensemble == "nve"
    return TemperaturePoint(
        diffusivity_id=found.id,
        temperature_K=found.mean_temperature_K if measured else found.temperature_K,
        tracer_diffusivity=found.tracer_diffusivity,
        conductivity=found.conductivity,
    )


def _refused(unit: str, confidence: float) -> Quantity:
    """Give a quantity that nothing is known about."""
    reason = "no temperature has a diffusivity or an upper limit"
    return Quantity(unit=unit, confidence=confidence, verdict="refused", reasons=[reason])


def _conductivity(diffusivity: Quantity, coldest: DiffusivityDoc) -> Quantity:
    """Turn the diffusivity at 300 K into a conductivity, with the volume of the lowest temperature."""
    factor = nernst_einstein(
        1.0, coldest.n_ions, coldest.charge_number, coldest.mean_volume_A3, REFERENCE_TEMPERATURE_K
    )
    ends = {name: getattr(diffusivity, name) for name in ("value", "lower", "upper")}
    scaled = {name: None if end is None else factor * end for name, end in ends.items()}
    return diffusivity.model_copy(update={"unit": "S/cm", **scaled})


def _flags(diffusivities: Sequence[DiffusivityDoc]) -> list[str]:
    """Gather the flags of the points, each with its temperature."""
    flags = [f"{found.temperature_K:g} K {flag}" for found in diffusivities for flag in found.flags]
    return flags + [f"{found.temperature_K:g} K stale" for found in diffusivities if found.stale]
