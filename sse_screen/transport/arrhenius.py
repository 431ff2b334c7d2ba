"""Activation energy from diffusivities at several temperatures, with intervals and refusals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.constants
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray
from pydantic import Field

from sse_screen.documents.base import Document, Quantity
from sse_screen.exceptions import InputError

FloatArray = NDArray[np.float64]

BOLTZMANN_EV_PER_K = scipy.constants.physical_constants["Boltzmann constant in eV/K"][0]
# Softness of an upper limit in ln D: the limit itself is only known to about this.
_CENSORED_LOG_ERROR = 0.3
_MAY_BE_ZERO = "the interval of the activation energy includes zero"
_MINIMUM_POINTS = 3
# Temperatures closer than this fraction are one: over 6 K at 600 K an error of 10 % in D is one of 0.7 eV in
# E_a, and the mean temperatures of runs are themselves not known much better.
_SAME_TEMPERATURE = 0.01
# exp of more is beyond a double precision number
_LARGEST_EXPONENT = 700.0
_SIGNIFICANCE = 0.05
_TRANSITION_SIGNIFICANCE = 0.01


class ArrheniusPoint(Document):
    """Diffusivity at one temperature, measured or bounded from above."""

    temperature_K: float = Field(description="Temperature", gt=0, json_schema_extra={"unit": "K"})
    diffusivity_cm2_per_s: float = Field(
        description="Diffusivity, or its upper limit", gt=0, json_schema_extra={"unit": "cm2/s"}
    )
    log_error: float | None = Field(
        default=None, description="Standard error of ln D; null when not known", gt=0
    )
    upper_limit: bool = Field(default=False, description="True if the diffusivity is only an upper limit")

    @classmethod
    def from_quantity(cls, temperature_K: float, diffusivity: Quantity) -> "ArrheniusPoint | None":
        """Return the point that a judged diffusivity amounts to, None if it was refused.

        Parameters
        ----------
        temperature_K : float
            Temperature in K.
        diffusivity : Quantity
            In cm²/s, with verdict diffusive (or ok) or upper_limit.
        """
        if diffusivity.verdict == "upper_limit" and diffusivity.upper:
            return cls(temperature_K=temperature_K, diffusivity_cm2_per_s=diffusivity.upper, upper_limit=True)
        if diffusivity.verdict not in ("diffusive", "ok") or not diffusivity.value:
            return None
        error = None
        if diffusivity.lower and diffusivity.upper:
            z = scipy.stats.norm.ppf(0.5 + diffusivity.confidence / 2)
            error = float(np.log(diffusivity.upper / diffusivity.lower) / (2 * z))
        return cls(temperature_K=temperature_K, diffusivity_cm2_per_s=diffusivity.value, log_error=error)


class LeftOut(Document):
    """Activation energy without one of the points."""

    temperature_K: float = Field(description="The point left out", json_schema_extra={"unit": "K"})
    activation_energy_eV: float = Field(description="From the rest", json_schema_extra={"unit": "eV"})


class ArrheniusFit(Document):
    """ln D = ln D0 − E_a/kT with full covariance, and the tests of whether one line is right."""

    activation_energy: Quantity = Field(description="E_a; an interval without a value where it is doubtful")
    prefactor: Quantity = Field(description="D0; an interval without a value where E_a is doubtful")
    parameters: tuple[float, float] | None = Field(
        default=None, description="ln D0 (cm2/s) and E_a (eV) of the line, also where they are doubtful"
    )
    covariance: list[list[float]] | None = Field(default=None, description="Of ln D0 and E_a")
    degrees_of_freedom: float | None = Field(
        default=None, description="Of Student's t for intervals; null for a normal distribution"
    )
    reduced_chi_squared: float | None = Field(default=None, description="χ² per degree of freedom")
    scatter_p_value: float | None = Field(
        default=None,
        description="Probability of this much scatter about the line if the errors are right; null without "
        "errors",
    )
    curvature_p_value: float | None = Field(
        default=None, description="Probability of this much curvature in ln D against 1/T of a straight line"
    )
    transition_between_K: tuple[float, float] | None = Field(
        default=None, description="Temperatures between which two lines meet, if one line does not do"
    )
    known_transitions_K: list[float] = Field(default_factory=list, description="Transitions that were given")
    leave_one_out: list[LeftOut] = Field(default_factory=list, description="Influence of every point")
    points: list[ArrheniusPoint] = Field(description="What was fitted")
    confidence: float = Field(description="Probability of all intervals")

    def diffusivity_at(self, temperature_K: float) -> Quantity:
        """Return the diffusivity at a temperature with the log-normal interval of the full covariance.

        The variance of ln D at x = 1/kT is s_b² + x² s_m² + 2x s_mb. Extrapolation from fewer than three
        measured points or across a transition is refused; its distance is stated.

        Parameters
        ----------
        temperature_K : float
            Temperature in K.

        Raises
        ------
        InputError
            If the temperature is not positive.
        """
        if not temperature_K > 0:
            raise InputError(f"temperature_K: {temperature_K} is not a temperature")
        refusal = self._refusal(temperature_K)
        if refusal or self.parameters is None or self.covariance is None:
            reasons = [refusal or "no line could be fitted"]
            return Quantity(unit="cm2/s", confidence=self.confidence, verdict="refused", reasons=reasons)
        x = np.array([1.0, -1 / (BOLTZMANN_EV_PER_K * temperature_K)])
        center = float(x @ np.array(self.parameters))
        half = self._quantile() * float(np.sqrt(x @ np.array(self.covariance) @ x))
        reasons = [f"warning: {text}" for text in self._doubts(temperature_K, half)]
        found = _exponential(center, half, confidence=self.confidence, reasons=reasons)
        line = self.activation_energy.reasons
        doubtful = [text for text in line if text != _MAY_BE_ZERO and not text.startswith("warning")]
        return found.unresolved(*doubtful) if doubtful or half > np.log(10) else found

    def _quantile(self) -> float:
        """Return the two-sided quantile that the intervals use."""
        tail = 0.5 + self.confidence / 2
        if self.degrees_of_freedom is None:
            return float(scipy.stats.norm.ppf(tail))
        return float(scipy.stats.t.ppf(tail, self.degrees_of_freedom))

    def _refusal(self, temperature_K: float) -> str | None:
        """Return why no diffusivity is given at this temperature, None if it is."""
        measured = [point.temperature_K for point in self.points if not point.upper_limit]
        n_different = len(_different(measured))
        if n_different < _MINIMUM_POINTS:
            return (
                f"{n_different} measured points at different temperatures: {_MINIMUM_POINTS} are needed to "
                "go to another temperature"
            )
        low, high = min(measured), max(measured)
        if self.transition_between_K is not None:
            a, b = self.transition_between_K
            return f"the points change slope between {a:g} and {b:g} K: fit each phase by itself"
        for known in self.known_transitions_K:
            if not (known < min(low, temperature_K) or known > max(high, temperature_K)):
                return f"a transition at {known:g} K lies between the points and {temperature_K:g} K"
        return None

    def _doubts(self, temperature_K: float, half: float) -> list[str]:
        """Return what a reader of an extrapolated number has to know."""
        measured = [point.temperature_K for point in self.points if not point.upper_limit]
        low, high = min(measured), max(measured)
        doubts = []
        if not low <= temperature_K <= high:
            distance = max(1 / temperature_K - 1 / low, 1 / high - 1 / temperature_K) / (1 / low - 1 / high)
            doubts.append(
                f"extrapolated from {low:g}-{high:g} K to {temperature_K:g} K, "
                f"{distance:.1f} times the range in 1/T"
            )
        if self.curvature_p_value is not None and self.curvature_p_value < _SIGNIFICANCE:
            doubts.append(f"ln D is curved in 1/T (p = {self.curvature_p_value:.2g})")
        if half > np.log(10):
            doubts.append("the interval spans more than a factor 100")
        return doubts


def fit_arrhenius(
    points: Sequence[ArrheniusPoint],
    *,
    known_transitions_K: Sequence[float] = (),
    confidence: float = 0.95,
) -> ArrheniusFit:
    """Fit ln D = ln D0 − E_a/kT to diffusivities with their errors.

    Errors known for all points weight them. Where the points scatter more than the errors (χ² above its
    degrees of freedom), the covariance is scaled by χ²/dof (Birge, Phys. Rev. 40, 207 (1932)). While that
    may be chance (p >= 0.05) the quantile stays that of the normal distribution; once it may not, it is that
    of Student's t, and the activation energy is unresolved. Without errors all points weigh the same, and
    the residuals with Student's t set the scale.

    On 20 000 series each, the 95 % interval of E_a holds the truth in 96 % at 3, 4, 5 and 8 temperatures
    where the errors are right. Where the scatter is really larger by a factor, the test has to see it: at 5
    temperatures the interval holds in 90 % at factors of 1.6 to 2.5 and in more beyond, at 8 in 93 %. Three
    temperatures leave one degree of freedom and cannot tell: 82 % at a factor 2, 79 % at 3. Errors given too
    small are not made good by three points.

    Upper limits enter as censored points with likelihood Φ((ln U − ln D)/s). Temperatures within 1 % are one.

    Parameters
    ----------
    points : sequence of ArrheniusPoint
        One a temperature (or more), of one phase.
    known_transitions_K : sequence of float
        Temperatures of known phase transitions; points on both sides of one are not fitted together.
    confidence : float
        Probability of the intervals.

    Raises
    ------
    InputError
        If there is no point.
    """
    if not points:
        raise InputError("points: none given")
    ordered = sorted(points, key=lambda point: point.temperature_K)
    measured = [point for point in ordered if not point.upper_limit]
    temperatures = _different([point.temperature_K for point in measured])
    common: dict[str, Any] = {
        "points": ordered,
        "confidence": confidence,
        "known_transitions_K": sorted(known_transitions_K),
    }
    inside = [t for t in known_transitions_K if measured and _within(t, measured)]
    if len(temperatures) < 2 or inside:
        reason = (
            f"points on both sides of the transition at {inside[0]:g} K: fit each phase by itself"
            if inside
            else _too_few(measured)
        )
        return _refused_fit(reason, common)
    parameters, covariance, chi_squared, freedom, t_freedom = _fit(ordered)
    weighted = freedom > 0 and _arrays(measured)[2] is not None
    fit = ArrheniusFit(
        activation_energy=Quantity(unit="eV"),
        prefactor=Quantity(unit="cm2/s"),
        parameters=(float(parameters[0]), float(parameters[1])),
        covariance=covariance.tolist(),
        degrees_of_freedom=t_freedom,
        reduced_chi_squared=chi_squared / freedom if freedom > 0 else None,
        scatter_p_value=float(scipy.stats.chi2.sf(chi_squared, freedom)) if weighted else None,
        curvature_p_value=_curvature(measured),
        transition_between_K=_transition(measured),
        leave_one_out=_leave_one_out(ordered),
        **common,
    )
    return _with_quantities(fit, len(temperatures))


def _within(temperature_K: float, points: Sequence[ArrheniusPoint]) -> bool:
    """Return whether a temperature lies between those of points."""
    temperatures = [point.temperature_K for point in points]
    return min(temperatures) < temperature_K < max(temperatures)


def _different(temperatures_K: Sequence[float]) -> list[float]:
    """Return the temperatures, ascending, without those within 1 % above one that is kept."""
    kept: list[float] = []
    for temperature in sorted(temperatures_K):
        if not kept or temperature > (1 + _SAME_TEMPERATURE) * kept[-1]:
            kept.append(temperature)
    return kept


def _too_few(measured: Sequence[ArrheniusPoint]) -> str:
    """Return why points at fewer than two different temperatures have no slope."""
    distinct = sorted({point.temperature_K for point in measured})
    needed = "at least 2 are needed for a slope"
    if len(distinct) < 2:
        return f"measured at {len(distinct)} temperature(s): {needed}"
    low, high = distinct[0], distinct[-1]
    return (
        f"the temperatures from {low:.10g} to {high:.10g} K are {100 * (high / low - 1):.2g} % apart, and "
        f"within {100 * _SAME_TEMPERATURE:g} % they are one: errors of D would be the whole slope; {needed}"
    )


def _exponential(center: float, half: float, **common: Any) -> Quantity:
    """Return exp of a number with its interval in cm2/s, without a value where no number can hold it."""
    logarithms = np.clip([center - half, center, center + half], -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    lower, value, upper = (float(end) for end in np.exp(logarithms))
    found = Quantity(unit="cm2/s", value=value, lower=lower, upper=upper, **common)
    if abs(center) < _LARGEST_EXPONENT:
        return found
    return found.unresolved(f"its logarithm, {center:.0f}, is beyond what a number can hold")


def _refused_fit(reason: str, common: dict[str, Any]) -> ArrheniusFit:
    """Return a fit without a line and why."""
    refused = {"confidence": common["confidence"], "verdict": "refused", "reasons": [reason]}
    return ArrheniusFit(
        activation_energy=Quantity(unit="eV", **refused),
        prefactor=Quantity(unit="cm2/s", **refused),
        **common,
    )


def _with_quantities(fit: ArrheniusFit, n_temperatures: int) -> ArrheniusFit:
    """Return the fit with activation energy and prefactor as quantities."""
    assert fit.parameters is not None
    assert fit.covariance is not None
    quantile, (log_d0, energy) = fit._quantile(), fit.parameters
    d0_half = quantile * float(np.sqrt(fit.covariance[0][0]))
    half = quantile * float(np.sqrt(fit.covariance[1][1]))
    reasons = []
    if n_temperatures < _MINIMUM_POINTS:
        reasons.append("two temperatures only: the line cannot be tested")
    if fit.transition_between_K is not None:
        low, high = fit.transition_between_K
        reasons.append(f"two lines fit better than one: transition between {low:g} and {high:g} K")
    elif fit.curvature_p_value is not None and fit.curvature_p_value < _SIGNIFICANCE:
        reasons.append(f"ln D is curved in 1/T (p = {fit.curvature_p_value:.2g})")
    if fit.scatter_p_value is not None and fit.scatter_p_value < _SIGNIFICANCE:
        reasons.append(
            f"scatter exceeds the errors (reduced χ² {fit.reduced_chi_squared:.1f}, "
            f"p = {fit.scatter_p_value:.2g})"
        )
    if energy - half <= 0 <= energy + half:
        reasons.append(_MAY_BE_ZERO)
    far = [item.temperature_K for item in fit.leave_one_out if abs(item.activation_energy_eV - energy) > half]
    reasons += [f"warning: without {temperature:g} K the slope is another" for temperature in far]
    common: dict[str, Any] = {"confidence": fit.confidence, "reasons": reasons}
    quantities = {
        "activation_energy": Quantity(
            unit="eV", value=energy, lower=energy - half, upper=energy + half, **common
        ),
        "prefactor": _exponential(log_d0, d0_half, **common),
    }
    if any(not reason.startswith("warning") for reason in reasons):
        # the reasons are those that both have already
        quantities = {name: quantity.unresolved() for name, quantity in quantities.items()}
    return fit.model_copy(update=quantities)


def _arrays(points: Sequence[ArrheniusPoint]) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return the design matrix, ln D and the errors of ln D (None if any is unknown)."""
    x = np.array([[1.0, -1 / (BOLTZMANN_EV_PER_K * point.temperature_K)] for point in points])
    y = np.log([point.diffusivity_cm2_per_s for point in points])
    known = [point.log_error for point in points if point.log_error is not None]
    return x, y, np.array(known) if len(known) == len(points) else None


def _fit(points: Sequence[ArrheniusPoint]) -> tuple[FloatArray, FloatArray, float, int, float | None]:
    """Return parameters, covariance, χ², degrees of freedom and those of t (None for normal)."""
    measured = [point for point in points if not point.upper_limit]
    x, y, errors = _arrays(measured)
    parameters, covariance, chi_squared = _least_squares(x, y, errors)
    freedom = len(y) - x.shape[1]
    t_freedom: float | None = None
    if freedom > 0 and (errors is None or chi_squared > freedom):
        covariance = covariance * chi_squared / freedom
        # t of one degree of freedom is 12.7: right errors exceed χ² = 1 in a third of all series
        if errors is None or scipy.stats.chi2.sf(chi_squared, freedom) < _SIGNIFICANCE:
            t_freedom = float(freedom)
    limits = [point for point in points if point.upper_limit]
    if limits:
        parameters, covariance = _with_limits(parameters, covariance, limits)
    return parameters, covariance, chi_squared, freedom, t_freedom


def _least_squares(
    x: FloatArray, y: FloatArray, errors: FloatArray | None
) -> tuple[FloatArray, FloatArray, float]:
    """Return parameters, covariance (unit errors if none are known) and χ²."""
    scale = np.ones(len(y)) if errors is None else errors
    design, target = x / scale[:, None], y / scale
    covariance = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
    parameters = covariance @ (design.T @ target)
    return parameters, covariance, float(np.sum((target - design @ parameters) ** 2))


def _with_limits(
    parameters: FloatArray, covariance: FloatArray, limits: Sequence[ArrheniusPoint]
) -> tuple[FloatArray, FloatArray]:
    """Return parameters and covariance after censored points are added to a Gaussian likelihood."""
    x, bounds, _ = _arrays(limits)
    precision = np.linalg.inv(covariance)

    def cost(trial: FloatArray) -> float:
        """Return the negative log-likelihood of measured points and upper limits."""
        away = trial - parameters
        below = scipy.stats.norm.logcdf((bounds - x @ trial) / _CENSORED_LOG_ERROR)
        return float(0.5 * away @ precision @ away - below.sum())

    # Steps in units of the uncorrelated errors keep the search well scaled.
    root = np.linalg.cholesky(covariance)
    found = scipy.optimize.minimize(
        lambda step: cost(parameters + root @ step), np.zeros(2), method="BFGS", options={"gtol": 1e-8}
    )
    best = parameters + root @ found.x
    z = (bounds - x @ best) / _CENSORED_LOG_ERROR
    ratio = np.exp(scipy.stats.norm.logpdf(z) - scipy.stats.norm.logcdf(z))
    information = ratio * (z + ratio) / _CENSORED_LOG_ERROR**2
    return np.asarray(best), np.linalg.inv(precision + (x * information[:, None]).T @ x)


def _curvature(measured: Sequence[ArrheniusPoint]) -> float | None:
    """Return the p-value of a quadratic term in 1/kT, None with fewer than four points."""
    if len(_different([point.temperature_K for point in measured])) < 4:
        return None
    x, y, errors = _arrays(measured)
    center = x[:, 1].mean()
    quadratic = np.column_stack([x[:, 0], x[:, 1] - center, (x[:, 1] - center) ** 2])
    parameters, covariance, chi_squared = _least_squares(quadratic, y, errors)
    freedom = len(y) - 3
    if errors is None:
        deviation = abs(parameters[2]) / np.sqrt(max(covariance[2, 2] * chi_squared / freedom, 1e-300))
        return float(2 * scipy.stats.t.sf(deviation, freedom))
    return float(2 * scipy.stats.norm.sf(abs(parameters[2]) / np.sqrt(covariance[2, 2])))


def _transition(measured: Sequence[ArrheniusPoint]) -> tuple[float, float] | None:
    """Return the neighbouring temperatures between which two lines fit significantly better than one.

    Two lines have two parameters more; the best of k splits must be significant at 0.01/k. Without known
    errors three points are needed beyond the four parameters.
    """
    x, y, errors = _arrays(measured)
    temperatures = np.array([point.temperature_K for point in measured])
    total = _least_squares(x, y, errors)[2]
    splits = [cut for cut in range(2, len(y) - 1) if temperatures[cut - 1] < temperatures[cut]]
    best: tuple[float, int] | None = None
    for cut in splits:
        parts = [slice(None, cut), slice(cut, None)]
        if any(len(_different(temperatures[part].tolist())) < 2 for part in parts):
            continue
        rest = sum(_least_squares(x[p], y[p], None if errors is None else errors[p])[2] for p in parts)
        freedom = len(y) - 4
        if errors is not None:
            p_value = float(scipy.stats.chi2.sf(total - rest, 2))
        elif freedom >= 3:
            p_value = float(scipy.stats.f.sf((total - rest) / 2 / max(rest / freedom, 1e-300), 2, freedom))
        else:
            continue
        if best is None or p_value < best[0]:
            best = (p_value, cut)
    if best is None or best[0] * len(splits) > _TRANSITION_SIGNIFICANCE:
        return None
    return float(temperatures[best[1] - 1]), float(temperatures[best[1]])


def _leave_one_out(points: Sequence[ArrheniusPoint]) -> list[LeftOut]:
    """Return the activation energy without each measured point, where a line is left."""
    found = []
    for point in points:
        rest = [other for other in points if other is not point]
        left = _different([other.temperature_K for other in rest if not other.upper_limit])
        if point.upper_limit or len(left) < 2:
            continue
        energy = float(_fit(rest)[0][1])
        found.append(LeftOut(temperature_K=point.temperature_K, activation_energy_eV=energy))
    return found
