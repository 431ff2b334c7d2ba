"""Stored form of the barriers of jumps: site networks of one material over temperatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, ClassVar, Self

import numpy as np
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
from sse_screen.documents.diffusivity import DynamicsConditions
from sse_screen.documents.site_network import SiteNetwork, SiteNetworkDoc
from sse_screen.documents.site_network_parts import JumpRateSummary, quantity_of, rate_quantity
from sse_screen.exceptions import InputError
from sse_screen.transport.jump_barriers import SCATTER_SIGNIFICANCE, barrier_from_rates
from sse_screen.transport.jump_statistics import rate_estimate

#: more than the thermal expansion between the coldest and the hottest run of a crystal
_VOLUME_RATIO = 1.15
_NUMBER: JsonDict = {"unit": "1"}
_KELVIN: JsonDict = {"unit": "K"}
_ENERGY: JsonDict = {"unit": "eV"}
_FREQUENCY: JsonDict = {"unit": "THz"}
_PROBABILITY = "Probability of counts that scatter this much about one line; null with two temperatures"


class RatePoint(Document):
    """Rate of one kind of jump at one temperature."""

    temperature_K: float = Field(description="Temperature", json_schema_extra=_KELVIN)
    count: int = Field(description="Jumps seen", json_schema_extra=_NUMBER)
    exposure_ps: float = Field(description="Time of all ions at the origin", json_schema_extra={"unit": "ps"})
    rate: Quantity = Field(
        description="Jumps per ion and time at the origin, exact Poisson interval",
        json_schema_extra={"unit": "1/ps"},
    )


class JumpBarrier(Document):
    """Barrier of jumps between two types of sites from their rates at several temperatures."""

    origin: str = Field(description="Type of site left")
    destination: str = Field(description="Type of site reached")
    count: int = Field(description="Jumps at all temperatures", json_schema_extra=_NUMBER)
    mean_length_A: float | None = Field(
        description="From site to site, over all jumps", json_schema_extra={"unit": "angstrom"}
    )
    barrier: Quantity = Field(
        description="Activation energy of the rate; a lower limit with jumps at the highest temperature only",
        json_schema_extra=_ENERGY,
    )
    attempt_frequency: Quantity = Field(
        description="Rate at infinite temperature", json_schema_extra=_FREQUENCY
    )
    scatter_p_value: float | None = Field(description=_PROBABILITY, json_schema_extra=_NUMBER)
    rates: list[RatePoint] = Field(description="One a temperature, ascending")


class NetworkPoint(Document):
    """One temperature."""

    temperature_K: float = Field(description="Temperature used in the fit", json_schema_extra=_KELVIN)
    site_network_id: str | None = Field(None, description="Id of the document in site_network")
    verdict: Verdict = Field(description="Of the network; a refused one is left out")
    reasons: list[str] = Field(description="Why it is not ok")
    n_jumps: int = Field(description="Jumps seen", json_schema_extra=_NUMBER)


class JumpBarriers(Document):
    """Barriers of all kinds of jumps of one crystal, whatever the site networks came from."""

    mobile_ion: str = Field(description="Mobile species")
    formula: str = Field(description="Reduced formula")
    verdict: Verdict = Field(description="Of the barrier of all jumps together")
    reasons: list[str] = Field(description="Why the verdict is not ok")
    barrier: Quantity = Field(
        description="Activation energy of the rate of all jumps together, of whatever kind",
        json_schema_extra=_ENERGY,
    )
    attempt_frequency: Quantity = Field(
        description="Rate of all jumps at infinite temperature", json_schema_extra=_FREQUENCY
    )
    scatter_p_value: float | None = Field(description=_PROBABILITY, json_schema_extra=_NUMBER)
    n_temperatures: int = Field(description="Different temperatures used", json_schema_extra=_NUMBER)
    n_jumps: int = Field(description="Jumps at all of them", json_schema_extra=_NUMBER)
    lowest_temperature_K: float = Field(description="Lowest temperature given", json_schema_extra=_KELVIN)
    highest_temperature_K: float = Field(description="Highest temperature given", json_schema_extra=_KELVIN)
    kinds: list[JumpBarrier] = Field(description="Kinds of jumps seen at any temperature, most jumps first")
    points: list[NetworkPoint] = Field(description="All temperatures, ascending")
    warnings: list[str] = Field(default_factory=list, description="What makes the numbers worth less")

    @classmethod
    def of(cls, networks: Sequence[SiteNetwork], *, confidence: float = 0.95, **more: Any) -> Self:
        """Fit the barriers of all kinds of jumps; types of sites are matched by name.

        Networks that were refused, or whose sites do not describe where the ions are, are left out; without
        two temperatures all quantities are refused. Interstitial sites of one Wyckoff position are taken
        together: those of two runs were found one by one, and the same number need not be the same place.

        Parameters
        ----------
        networks : sequence of SiteNetwork
            Of one crystal, one a temperature (or more, as independent runs).
        confidence : float
            Of the likelihood-ratio intervals.
        **more : Any
            Fields of a derived class.

        Returns
        -------
        JumpBarriers
            The document.

        Raises
        ------
        InputError
            When there is no network, one is there twice, or they are of different ions or crystals.
        """
        if not networks:
            raise InputError("jump barriers need site networks; there are none")
        ordered = sorted(networks, key=lambda network: network.temperature_K)
        used = [network for network in ordered if shows_jumps(network)]
        _of_one_crystal(used)
        together = _barrier(("all", "all"), _pooled_rates(used, lambda _: "all", confidence), confidence)
        rates = _pooled_rates(used, _kind_of_site, confidence)
        pairs = {(rate.origin, rate.destination) for _, rate in rates if rate.count}
        kinds = [_barrier(pair, rates, confidence) for pair in sorted(pairs)]
        common: dict[str, Any] = {
            "mobile_ion": ordered[0].mobile_ion,
            "formula": ordered[0].formula,
            "warnings": [*_left_out(ordered), *_warnings(used)],
        }
        return cls(
            verdict=together.barrier.verdict,
            reasons=together.barrier.reasons,
            barrier=together.barrier,
            attempt_frequency=together.attempt_frequency,
            scatter_p_value=together.scatter_p_value,
            n_temperatures=len({network.temperature_K for network in used}),
            n_jumps=together.count,
            lowest_temperature_K=ordered[0].temperature_K,
            highest_temperature_K=ordered[-1].temperature_K,
            kinds=sorted(kinds, key=lambda kind: -kind.count),
            points=[_point(network) for network in ordered],
            **common | more,
        )


class JumpBarrierDoc(JumpBarriers, DerivedDocument):
    """Barriers of jumps between sites from their rates over all temperatures."""

    collection: ClassVar[str] = "jump_barrier"
    meaning_version: ClassVar[str] = "2"
    group_fields: ClassVar[tuple[str, ...]] = ("material_id", "potential_sha256", "mobile_ion", "protocol_id")

    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    potential: PotentialIdentity = Field(description="Potential of the dynamics")
    potential_sha256: str = Field(description="sha256 of the potential's weights")
    protocol: DynamicsConditions = Field(description="What the runs share")
    protocol_id: str = Field(description="Hash of these conditions")

    @classmethod
    def from_networks(cls, networks: Sequence[SiteNetworkDoc], *, confidence: float = 0.95) -> Self:
        """Fit the barriers of one material over temperatures.

        Parameters
        ----------
        networks : sequence of SiteNetworkDoc
            One a temperature.
        confidence : float
            Of the intervals.

        Returns
        -------
        JumpBarrierDoc
            The document, without build metadata.

        Raises
        ------
        InputError
            When there is none, or two differ in material, potential, ion or protocol.
        """
        group = common_fields(networks, cls.group_fields)
        first = min(networks, key=lambda network: network.temperature_K)
        names = {"material_name", "formula", "chemical_system", "elements"}
        return cls.of(
            [_at_measured_temperature(network) for network in networks],
            confidence=confidence,
            id=cls.id_of(group),
            **group,
            **first.model_dump(include=names),
            potential=first.potential,
            protocol=first.protocol,
        )


def _at_measured_temperature(network: SiteNetworkDoc) -> SiteNetworkDoc:
    """Take the measured temperature where no thermostat holds the target."""
    if network.protocol.ensemble != "nve":
        return network
    return network.model_copy(update={"temperature_K": network.mean_temperature_K})


def _of_one_crystal(networks: Sequence[SiteNetwork]) -> None:
    """Refuse networks that cannot be of one crystal, and one that was given twice."""
    for one, other in combinations(networks, 2):
        where = f"the networks at {one.temperature_K:g} and {other.temperature_K:g} K"
        for name in ("mobile_ion", "formula"):
            if getattr(one, name) != getattr(other, name):
                raise InputError(
                    f"{where} are of different {'ions' if name == 'mobile_ion' else 'crystals'}: "
                    f"{getattr(one, name)} and {getattr(other, name)}"
                )
        if _host_types(one) != _host_types(other):
            raise InputError(
                f"{where} have different sites, {', '.join(sorted(_host_types(one)))} and "
                f"{', '.join(sorted(_host_types(other)))}: give the same --structure for all"
            )
        volumes = sorted(abs(np.linalg.det(n.lattice_A)) / n.n_ions for n in (one, other))
        if volumes[1] > _VOLUME_RATIO * volumes[0]:
            raise InputError(
                f"{where} are of different crystals: {volumes[0]:.1f} and {volumes[1]:.1f} Å³ a "
                f"{one.mobile_ion} ion"
            )
        if one == other:
            raise InputError(f"{where} are the same one: a copy is no second run; leave one out")


def _host_types(network: SiteNetwork) -> set[str]:
    return {kind.name for kind in network.site_types if not kind.name.startswith("i-")}


def _warnings(networks: Sequence[SiteNetwork]) -> list[str]:
    found = [f"{n.temperature_K:g} K: {text}" for n in networks for text in n.warnings]
    if any(kind.name == "peak" for network in networks for kind in network.site_types):
        found.append(
            "sites are the peaks of each run's density, all of one kind: --structure tells them apart"
        )
    return found


def _point(network: SiteNetwork) -> NetworkPoint:
    return NetworkPoint(
        temperature_K=network.temperature_K,
        site_network_id=network.id if isinstance(network, SiteNetworkDoc) else None,
        verdict=network.verdict,
        reasons=network.reasons,
        n_jumps=network.n_jumps,
    )


def shows_jumps(network: SiteNetwork) -> bool:
    """Say whether the jumps of a network can be counted: it has sites, and they describe where the ions are.

    Parameters
    ----------
    network : SiteNetwork
        Of any verdict.

    Returns
    -------
    bool
        Also true where none was seen.
    """
    return network.verdict not in ("refused", "unresolved")


def _left_out(networks: Sequence[SiteNetwork]) -> list[str]:
    return [
        f"{network.temperature_K:g} K is left out: {'; '.join(network.reasons)}"
        for network in networks
        if not shows_jumps(network)
    ]


def _kind_of_site(name: str) -> str:
    """Return the name without its number where that is one of a run, such as ``i-48g`` of ``i-48g.2``."""
    return name.split(".")[0] if name.startswith("i-") else name


def _pooled_rates(
    networks: Sequence[SiteNetwork], name: Callable[[str], str], confidence: float
) -> list[tuple[float, JumpRateSummary]]:
    """Sum over the types of sites that get one name; the time at each counts once for every destination."""
    found = []
    for network in networks:
        exposures = {rate.origin: rate.exposure_ps for rate in network.rates}
        groups: dict[tuple[str, str], list[JumpRateSummary]] = {}
        for rate in network.rates:
            groups.setdefault((name(rate.origin), name(rate.destination)), []).append(rate)
        for (origin, destination), rates in groups.items():
            exposure = sum(time for origin_type, time in exposures.items() if name(origin_type) == origin)
            count = sum(rate.count for rate in rates)
            length = sum(rate.count * (rate.mean_length_A or 0.0) for rate in rates)
            summary = JumpRateSummary(
                origin=origin,
                destination=destination,
                count=count,
                exposure_ps=exposure,
                rate=rate_quantity(rate_estimate(count, exposure, confidence), confidence),
                mean_length_A=length / count if count else None,
            )
            found.append((network.temperature_K, summary))
    return found


def _barrier(
    pair: tuple[str, str], all_rates: Sequence[tuple[float, JumpRateSummary]], confidence: float
) -> JumpBarrier:
    """Fit one kind of jump."""
    rates = [(t, rate) for t, rate in all_rates if (rate.origin, rate.destination) == pair]
    counts = np.array([rate.count for _, rate in rates], dtype=np.int64)
    lengths = np.array([rate.mean_length_A or 0.0 for _, rate in rates])
    total = int(counts.sum())
    barrier, attempt, p_value = _fitted(rates, counts, confidence)
    return JumpBarrier(
        origin=pair[0],
        destination=pair[1],
        count=total,
        mean_length_A=float(lengths @ counts / total) if total else None,
        barrier=barrier,
        attempt_frequency=attempt,
        scatter_p_value=p_value,
        rates=[
            RatePoint(temperature_K=t, **rate.model_dump(include={"count", "exposure_ps", "rate"}))
            for t, rate in rates
        ],
    )


def _fitted(
    rates: Sequence[tuple[float, JumpRateSummary]], counts: np.ndarray, confidence: float
) -> tuple[Quantity, Quantity, float | None]:
    """Return barrier and attempt frequency with their verdicts, and the p-value of the scatter."""
    seen = {temperature for temperature, rate in rates if rate.exposure_ps > 0}
    if len(seen) < 2 or not counts.sum():
        reason = "no jump was seen at any temperature"
        if len(seen) < 2:
            known = f" ({min(seen):g} K)" if seen else ""
            reason = f"ions were at such sites at {len(seen)} temperature(s){known}: a barrier needs two"
        refused = {"confidence": confidence, "verdict": "refused", "reasons": [reason]}
        return Quantity(unit="eV", **refused), Quantity(unit="THz", **refused), None
    fit = barrier_from_rates(
        np.array([temperature for temperature, _ in rates]),
        counts,
        np.array([rate.exposure_ps for _, rate in rates]),
        confidence,
    )
    side = "lower" if fit.barrier_eV.upper == np.inf else "upper"
    reason = f"jumps at one end of the temperatures alone: {'a' if side == 'lower' else 'an'} {side} limit"
    barrier = quantity_of(fit.barrier_eV, "eV", confidence, reason)
    attempt = quantity_of(fit.attempt_frequency_THz, "THz", confidence, reason)
    p_value = fit.scatter_p_value
    if p_value is not None and p_value < SCATTER_SIGNIFICANCE:
        text = f"the rates scatter about one line more than counting does (p = {p_value:.1g})"
        doubt = {"value": None, "verdict": "unresolved", "reasons": [text]}
        barrier, attempt = barrier.model_copy(update=doubt), attempt.model_copy(update=doubt)
    return barrier, attempt, p_value
