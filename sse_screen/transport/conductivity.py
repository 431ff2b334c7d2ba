"""Ionic conductivity from tracer and charge diffusivity, and the Haven ratio that relates them."""

from collections.abc import Mapping

import numpy as np
import scipy.constants
import scipy.stats
from numpy.typing import NDArray
from pydantic import Field

from sse_screen.documents.base import Document, Quantity
from sse_screen.exceptions import InputError
from sse_screen.transport.diffusivity import A2_PER_PS, Fitted, quantity, slope_at_start
from sse_screen.transport.displacement_statistics import lag_statistics
from sse_screen.transport.displacements import collective_displacement
from sse_screen.transport.ensemble import Ensemble

FloatArray = NDArray[np.float64]

# Ions of which only one charge exists in solid electrolytes; any other has to be given.
KNOWN_CHARGES: Mapping[str, int] = {
    "Li": 1,
    "Na": 1,
    "K": 1,
    "Rb": 1,
    "Cs": 1,
    "Ag": 1,
    "Mg": 2,
    "Ca": 2,
    "Zn": 2,
    "Al": 3,
    "F": -1,
    "Cl": -1,
    "Br": -1,
    "I": -1,
    "O": -2,
    "S": -2,
}
# Beyond this ratio of its ends the interval of a Haven ratio says nothing.
UNRESOLVED_FACTOR = 3.0


class Conductivity(Document):
    """Charge transport at one temperature."""

    charge_number: int = Field(description="Charge of the mobile ion in elementary charges")
    temperature_K: float | None = Field(
        description="Temperature of the conductivity", json_schema_extra={"unit": "K"}
    )
    nernst_einstein_conductivity: Quantity = Field(description="From the tracer diffusivity, Haven ratio 1")
    charge_diffusivity: Quantity = Field(description="From the collective displacement of the charges")
    charge_conductivity: Quantity = Field(description="From the charge diffusivity")
    haven_ratio: Quantity = Field(description="Tracer over charge diffusivity")


def charge_of(species: str, charge: int | None = None) -> int:
    """Return the charge number of an ion: the given one, or the only one the element has.

    Raises
    ------
    InputError
        If it is not given and the element has several.
    """
    if charge is not None:
        if charge == 0:
            raise InputError("charge: 0 carries no current")
        return charge
    if species not in KNOWN_CHARGES:
        raise InputError(f"charge: {species} has no single charge; give it (--charge)")
    return KNOWN_CHARGES[species]


def nernst_einstein(
    diffusivity_cm2_per_s: float, n_ions: int, charge: int, volume_A3: float, temperature_K: float
) -> float:
    """Return the conductivity σ = N z² e² D / (V k T) in S/cm.

    Parameters
    ----------
    diffusivity_cm2_per_s : float
        Tracer or charge diffusivity in cm²/s.
    n_ions : int
        Number of mobile ions in the cell.
    charge : int
        Charge number of the ion.
    volume_A3 : float
        Mean volume of the cell in Å³.
    temperature_K : float
        Temperature in K.
    """
    density = n_ions / (volume_A3 * scipy.constants.angstrom**3)
    diffusivity = diffusivity_cm2_per_s * scipy.constants.centi**2
    conductivity = density * (charge * scipy.constants.e) ** 2 * diffusivity
    return conductivity / (scipy.constants.k * temperature_K) * scipy.constants.centi


def charge_diffusivity(
    ensemble: Ensemble, fitted: Fitted, confidence: float = 0.95
) -> tuple[Quantity, tuple[float, float] | None]:
    """Return the charge diffusivity lim ⟨|Σ z Δr|²⟩/(2 d t N z²), and its estimate however wide its interval.

    One coordinate stands for all ions, with 1/N of their statistics: the interval is wide. The start of the
    fit is the one chosen for the tracer. Without a framework the sum vanishes by the choice of the reference.

    Parameters
    ----------
    ensemble : Ensemble
        Displacements.
    fitted : Fitted
        Fit of the tracer.
    confidence : float
        Probability of the interval.

    Returns
    -------
    quantity : Quantity
        In cm²/s; without a value where the interval spans more than a factor 3.
    estimate : tuple of float or None
        Value in cm²/s and standard error of its logarithm; None where there is no slope.
    """
    none = {"unit": "cm2/s", "confidence": confidence, "value": None, "lower": None, "upper": None}
    if not ensemble.framework:
        reason = "without a framework the collective displacement is zero by the choice of the reference"
        return Quantity(**none, verdict="refused", reasons=[reason]), None
    if fitted.scan is None:
        return Quantity(**none, verdict="refused", reasons=["no slope of the tracer to start from"]), None
    start_ps = float(fitted.statistics.times_ps[fitted.scan.fit.start])
    pieces = [collective_displacement(piece) / np.sqrt(ensemble.n_ions) for piece in ensemble.mobile]
    statistics = lag_statistics(pieces, ensemble.time_step_ps, fitted.statistics.lags)
    found = slope_at_start(statistics, start_ps, fitted.ordinary)
    if found is None:
        reason = "the collective displacement has no positive slope: longer or more runs are needed"
        return Quantity(**none, verdict="unresolved", reasons=[reason]), None
    value, error = found[0] / 6 * A2_PER_PS, found[1]
    return _resolved(quantity(value, error, "cm2/s", confidence), error), (value, error)


def _resolved(found: Quantity, log_error: float) -> Quantity:
    """Return a quantity without its value where its interval spans more than a factor 3."""
    wide = np.exp(2 * _z(found.confidence) * log_error) > UNRESOLVED_FACTOR
    return found.unresolved("the interval spans more than a factor 3: pool more replicas") if wide else found


def conductivity(
    ensemble: Ensemble,
    fitted: Fitted,
    tracer: Quantity,
    charge: int,
    temperature_K: float | None,
    confidence: float = 0.95,
) -> Conductivity:
    """Return Nernst-Einstein and charge conductivity and the Haven ratio with their intervals.

    Parameters
    ----------
    ensemble : Ensemble
        Displacements, volume and number of ions.
    fitted : Fitted
        Fit of the tracer.
    tracer : Quantity
        Tracer diffusivity as judged; its verdict passes on to what follows from it.
    charge : int
        Charge number of the mobile ion.
    temperature_K : float or None
        Temperature; without it there is no conductivity.
    confidence : float
        Probability of the intervals.
    """
    collective, estimate = charge_diffusivity(ensemble, fitted, confidence)
    scan = fitted.scan
    haven = Quantity(unit="", confidence=confidence, verdict="refused", reasons=collective.reasons)
    if scan is not None and estimate is not None:
        value, error = estimate
        total = float(np.hypot(error, np.sqrt(scan.log_variance)))
        ratio = scan.fit.slope / 6 * A2_PER_PS / value
        haven = _resolved(quantity(ratio, total, "", confidence), total)
    collective = _no_better(collective, tracer)
    return Conductivity(
        charge_number=charge,
        temperature_K=temperature_K,
        nernst_einstein_conductivity=_scaled(tracer, ensemble, charge, temperature_K),
        charge_diffusivity=collective,
        charge_conductivity=_scaled(collective, ensemble, charge, temperature_K),
        haven_ratio=_no_better(haven, tracer),
    )


def _no_better(found: Quantity, tracer: Quantity) -> Quantity:
    """Return a quantity whose verdict is no better than that of the tracer diffusivity it goes with."""
    reason = f"the tracer diffusivity is {tracer.verdict}"
    if tracer.verdict == "refused":
        nothing = {"value": None, "lower": None, "upper": None}
        return found.model_copy(update={**nothing, "verdict": "refused", "reasons": [reason]})
    if tracer.verdict == "diffusive" or found.verdict == "refused":
        return found
    return found.unresolved(reason)


def _z(confidence: float) -> float:
    """Return the normal quantile of a two-sided confidence."""
    return float(scipy.stats.norm.ppf(0.5 + confidence / 2))


def _scaled(source: Quantity, ensemble: Ensemble, charge: int, temperature_K: float | None) -> Quantity:
    """Return the conductivity that a diffusivity amounts to, with its verdict and reasons."""
    if temperature_K is None:
        reason = "no temperature: none is recorded in the trajectory and none was given"
        return Quantity(unit="S/cm", confidence=source.confidence, verdict="refused", reasons=[reason])
    factor = nernst_einstein(1.0, ensemble.n_ions, charge, ensemble.volume_A3, temperature_K)
    ends = {name: getattr(source, name) for name in ("value", "lower", "upper")}
    scaled = {name: None if end is None else factor * end for name, end in ends.items()}
    return source.model_copy(update={"unit": "S/cm", **scaled})
