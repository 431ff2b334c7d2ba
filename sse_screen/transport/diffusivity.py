"""Tracer diffusivity with an interval that holds, or the reasons why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.constants
import scipy.stats
from numpy.typing import NDArray
from pydantic import Field

from sse_screen.documents.base import Document, Quantity
from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.transport import gates as g
from sse_screen.transport.displacement_statistics import (
    LagStatistics,
    WindowOverlaps,
    geometric_lags,
    lag_statistics,
    pooled_curve,
    window_overlaps,
)
from sse_screen.transport.ensemble import Ensemble, prepare_ensemble
from sse_screen.transport.line_fit import DisplacementModel, describe, fit_slope
from sse_screen.transport.start_scan import StartScan, scan_starts

FloatArray = NDArray[np.float64]

# 1 Å²/ps in cm²/s.
A2_PER_PS = (scipy.constants.angstrom / scipy.constants.centi) ** 2 / scipy.constants.pico
_UNIT = "cm2/s"
# Evenly spaced lags within a window fixed by the caller.
_WINDOW_LAGS = 200
# Above this mean squared displacement ions have left their sites; vibrations stay below.
_OFF_SITE_A2 = 1.0
_SHORTEST_HOP_A = 2.0


class Curve(Document):
    """Mean squared displacement against lag time."""

    times_ps: list[float] = Field(description="Lag times", json_schema_extra={"unit": "ps"})
    values_A2: list[float] = Field(description="Mean squared displacements", json_schema_extra={"unit": "Å²"})


class FitWindow(Document):
    """Where and how the slope was taken, and what other starts give."""

    start_ps: float = Field(description="First lag of the fit", json_schema_extra={"unit": "ps"})
    end_ps: float = Field(description="Last lag of the fit", json_schema_extra={"unit": "ps"})
    slope_A2_per_ps: float = Field(description="Slope", json_schema_extra={"unit": "Å²/ps"})
    intercept_A2: float = Field(description="Intercept (vibration)", json_schema_extra={"unit": "Å²"})
    log_error: float = Field(description="Standard error of ln D with the start dependence")
    fit_log_error: float = Field(description="Standard error of ln D of the fit alone")
    hop_excess_A2: float = Field(description="Effective squared hop length", json_schema_extra={"unit": "Å²"})
    reduced_chi_squared: float = Field(description="χ² per degree of freedom")
    starts_ps: list[float] = Field(description="All starts that were tried", json_schema_extra={"unit": "ps"})
    diffusivities_cm2_per_s: list[float] = Field(
        description="Diffusivity from each start", json_schema_extra={"unit": "cm2/s"}
    )


class TracerDiffusivity(Document):
    """Tracer diffusivity of one mobile species with all that it was judged by."""

    tracer_diffusivity: Quantity = Field(description="Tracer diffusivity with its interval and verdict")
    estimate: Quantity = Field(
        description="Slope over 2d with the fit's interval, also where it is not the diffusivity (unresolved)"
    )
    he_2018_log_error: float | None = Field(
        None, description="Second opinion: relative standard deviation of He et al. 2018"
    )
    effective_jumps: float = Field(description="Squared displacement of all ions over the squared hop")
    concerted_ions: float = Field(1.0, description="Ions that move together; 1 where they move alone")
    local_exponent: float | None = Field(None, description="d ln(MSD - c) / d ln t in the window")
    local_exponent_error: float | None = Field(None, description="Its standard error")
    hop_distance_A: float = Field(description="Distance between sites used", json_schema_extra={"unit": "Å"})
    n_ions: int = Field(description="Mobile ions in the cell")
    n_pieces: int = Field(description="Continuous pieces pooled")
    total_time_ps: float = Field(description="Length of all pieces", json_schema_extra={"unit": "ps"})
    window: FitWindow | None = Field(None, description="The fit; null when none could be made")
    mean_squared_displacement: Curve = Field(description="Of the mobile ions")
    framework_mean_squared_displacement: dict[str, Curve] = Field(description="Of each framework species")
    gates: list[g.Gate] = Field(description="Every test with its outcome")


@dataclass(frozen=True, eq=False)
class Fitted:
    """Statistics, model and chosen fit of an ensemble: what tensor and conductivity build on."""

    statistics: LagStatistics
    overlaps: WindowOverlaps
    model: DisplacementModel | None
    scan: StartScan | None
    hop_A: float
    ordinary: bool = False


def estimate_diffusivity(
    trajectories: Sequence[Trajectory],
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
    *,
    hop_distance_A: float | None = None,
    window_ps: tuple[float, float] | None = None,
    confidence: float = 0.95,
) -> TracerDiffusivity:
    """Return the tracer diffusivity of replicas and segments pooled, with its interval and verdict.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Replicas of one system at one temperature.
    mobile_species : str or sequence of str
        Symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        Symbols whose mean is held still; all that is not mobile if not given.
    hop_distance_A : float, optional
        Distance between sites in Å; from the displacements (`hop_distance`) if not given.
    window_ps : tuple of float, optional
        First and last lag of an ordinary least squares fit in ps, as published numbers are often made,
        instead of generalised least squares from a start chosen from the data.
    confidence : float
        Probability of the interval.

    Raises
    ------
    TrajectoryError
        If the trajectories cannot be pooled, or the window is impossible.
    SpeciesError
        If a named species is not there.
    """
    ensemble = prepare_ensemble(trajectories, mobile_species, framework_species)
    fitted = fit_ensemble(ensemble, hop_distance_A=hop_distance_A, window_ps=window_ps)
    return judge(ensemble, fitted, confidence=confidence)


def fit_ensemble(
    ensemble: Ensemble, *, hop_distance_A: float | None = None, window_ps: tuple[float, float] | None = None
) -> Fitted:
    """Return the windowed statistics and the slope of an ensemble.

    Raises
    ------
    TrajectoryError
        If the hop distance is not positive or the window holds fewer than three lags.
    """
    if hop_distance_A is not None and not hop_distance_A > 0:
        raise TrajectoryError(f"hop_distance_A: {hop_distance_A} is not a positive length")
    longest = max((len(piece) for piece in ensemble.mobile), default=0)
    step = ensemble.time_step_ps
    if longest < 2:
        raise TrajectoryError("trajectories: no two frames follow one another")
    lags = geometric_lags(longest)
    if window_ps is not None:
        first, last = (round(time / step) for time in window_ps)
        if not 1 <= first < last - 1 or last >= longest:
            raise TrajectoryError(
                f"window_ps: {window_ps[0]} to {window_ps[1]} ps does not fit {step:.4g} ps frames of a "
                f"{(longest - 1) * step:.6g} ps run"
            )
        inside = np.arange(first, last + 1, max(1, (last - first) // _WINDOW_LAGS))
        lags = np.concatenate([lags[lags < first], inside])
    statistics = lag_statistics(ensemble.mobile, step, lags)
    overlaps = window_overlaps(statistics)
    hop = hop_distance_A or hop_distance(statistics, overlaps, ensemble.neighbour_distance_A)
    start = None if window_ps is None else int(np.searchsorted(lags, first))
    scanned = scan_starts(statistics, overlaps, hop, start=start)
    scan, model = scanned if scanned is not None else (None, None)
    return Fitted(statistics, overlaps, model, scan, hop, ordinary=window_ps is not None)


def hop_distance(statistics: LagStatistics, overlaps: WindowOverlaps, neighbour_distance_A: float) -> float:
    """Return the distance between sites in Å that the displacements themselves show.

    The excess variance of hops of length a is a² times the mean squared displacement; correlation and
    vibration lower it by about a tenth. The result is held between 2 Å and the distance between neighbouring
    mobile ions, which is also what is returned if the ions have hardly left their sites.

    Parameters
    ----------
    statistics : LagStatistics
        Of the mobile ions.
    overlaps : WindowOverlaps
        Of the same lags.
    neighbour_distance_A : float
        Distance between neighbouring mobile ions in Å.
    """
    start = int(np.searchsorted(np.maximum.accumulate(statistics.msd_A2), _OFF_SITE_A2))
    if start > len(statistics.lags) - 5 or statistics.msd_A2.max() < 2 * _OFF_SITE_A2:
        return neighbour_distance_A
    length = 1.1 * float(np.sqrt(describe(statistics, overlaps, start).hop_excess_A2))
    return float(np.clip(length, min(_SHORTEST_HOP_A, neighbour_distance_A), neighbour_distance_A))


def quantity(
    value: float,
    log_error: float,
    unit: str,
    confidence: float,
    verdict: str = "ok",
    reasons: Sequence[str] = (),
) -> Quantity:
    """Return a positive quantity with its log-normal interval."""
    half = float(scipy.stats.norm.ppf(0.5 + confidence / 2)) * log_error
    return Quantity.model_validate(
        {
            "value": value,
            "lower": value * float(np.exp(-half)),
            "upper": value * float(np.exp(min(half, 500.0))),
            "unit": unit,
            "confidence": confidence,
            "verdict": verdict,
            "reasons": list(reasons),
        }
    )


def judge(
    ensemble: Ensemble, fitted: Fitted, *, confidence: float = 0.95, run_gates: Sequence[g.Gate] = ()
) -> TracerDiffusivity:
    """Return the diffusivity of a fitted ensemble with the outcome of every gate.

    Refused gates (melt, guessed images, no two independent lags) leave no number; failed ones an upper
    limit, which is the largest of the upper bounds from all starts and the Poisson bound on jumps not seen.
    Jumps that go on in one direction beyond the end of the curve leave a lower limit (unresolved).
    ``run_gates`` are what is known of the runs besides their trajectories.
    """
    statistics, scan, hop = fitted.statistics, fitted.scan, fitted.hop_A
    ion_time = statistics.ion_time_ps
    slope = curve_rise(fitted)[0] if scan is None else scan.fit.slope
    largest = float(statistics.msd_A2.max())
    jumps = slope * ion_time / hop**2
    log_error = 0.0 if scan is None else float(np.sqrt(scan.log_variance))
    outcomes = g.sampling_gates(ensemble.sparse_steps)
    outcomes += g.jump_gates(largest, jumps, log_error, hop, statistics.concerted_ions)
    alpha: tuple[float, float] | None = None
    if scan is not None and fitted.model is not None:
        alpha = g.local_exponent(statistics, fitted.overlaps, fitted.model, scan, hop)
        start_ps = float(statistics.times_ps[scan.fit.start])
        outcomes += g.regime_gates(*alpha, scan)
        outcomes.append(g.halves_gate(ensemble.mobile, ensemble.time_step_ps, start_ps))
    else:
        start_ps = float(statistics.times_ps[len(statistics.lags) // 2])
        outcomes.append(_no_slope_gate(statistics, slope))
    curves = {symbol: pooled_curve(pieces, statistics.lags) for symbol, pieces in ensemble.framework.items()}
    outcomes += g.framework_gates(ensemble.framework, curves, statistics, start_ps, slope)
    outcomes += [g.Gate(name="run", outcome="warning", message=text) for text in ensemble.warnings]
    outcomes += run_gates
    estimate = Quantity(unit=_UNIT, confidence=confidence, verdict="refused", reasons=["no positive slope"])
    if scan is not None:
        estimate = quantity(slope / 6 * A2_PER_PS, log_error, _UNIT, confidence)
    independent = ensemble.n_ions * len(ensemble.mobile) * largest / hop**2
    judged = _verdict(estimate, outcomes, fitted, confidence)
    if scan is not None and judged.verdict != "diffusive":
        reason = f"the tracer diffusivity is {judged.verdict}: this slope is not a diffusivity"
        estimate = estimate.model_copy(update={"verdict": "unresolved", "reasons": [reason]})
    return TracerDiffusivity(
        tracer_diffusivity=judged,
        estimate=estimate,
        he_2018_log_error=3.43 / np.sqrt(independent) + 0.04 if independent > 0 else None,
        effective_jumps=jumps,
        concerted_ions=statistics.concerted_ions,
        local_exponent=None if alpha is None else alpha[0],
        local_exponent_error=None if alpha is None else alpha[1],
        hop_distance_A=hop,
        n_ions=ensemble.n_ions,
        n_pieces=len(ensemble.mobile),
        total_time_ps=ensemble.total_time_ps,
        window=_window(fitted),
        mean_squared_displacement=_curve(statistics.times_ps, statistics.msd_A2),
        framework_mean_squared_displacement={
            symbol: _curve(statistics.times_ps, values) for symbol, values in curves.items()
        },
        gates=outcomes,
    )


def _no_slope_gate(statistics: LagStatistics, rise_A2_per_ps: float) -> g.Gate:
    """Return why there is no slope: too few frames for a fit, or a curve that does not rise."""
    if len(statistics.lags) < 6:
        frames = max(statistics.frames)
        return g.Gate(name="length", outcome="refused", message=f"{frames} frames are too few for any slope")
    message = "the mean squared displacement does not rise"
    if rise_A2_per_ps > 0:
        message = "the mean squared displacement does not rise in a straight line: no slope can be fitted"
    return g.Gate(name="slope", outcome="failed", message=message)


def _verdict(estimate: Quantity, outcomes: Sequence[g.Gate], fitted: Fitted, confidence: float) -> Quantity:
    """Return the quantity that the outcomes of the gates leave."""
    # What refuses comes first: the rest follows from it.
    reasons = [gate.message for kind in ("refused", "failed") for gate in outcomes if gate.outcome == kind]
    reasons += [f"warning: {gate.message}" for gate in outcomes if gate.outcome == "warning"]
    kinds = {gate.outcome for gate in outcomes}
    common: dict[str, Any] = {"unit": _UNIT, "confidence": confidence, "reasons": reasons}
    if "refused" in kinds:
        return Quantity(verdict="refused", **common)
    if "failed" not in kinds:
        lower = estimate.lower if fitted.ordinary else _lower_end(estimate, fitted, confidence)
        return estimate.model_copy(update={"verdict": "diffusive", "lower": lower, "reasons": reasons})
    if any(gate.name == g.PERSISTENCE and gate.outcome == "failed" for gate in outcomes):
        # The curve still rises faster and faster: there is no upper end.
        return Quantity(verdict="unresolved", lower=estimate.lower, **common)
    upper = upper_limit(fitted, confidence)
    return Quantity(verdict="upper_limit", lower=0.0, upper=upper, **common)


def _lower_end(estimate: Quantity, fitted: Fitted, confidence: float) -> float | None:
    """Return the lower end that allows for only runs with enough jumps being called diffusive."""
    scan = fitted.scan
    if scan is None or estimate.value is None:
        return estimate.lower
    log_error = float(np.sqrt(scan.log_variance))
    jumps = scan.fit.slope * fitted.statistics.ion_time_ps / fitted.hop_A**2
    independent = jumps / fitted.statistics.concerted_ions
    return estimate.value * g.lower_end_of_selected(independent, log_error, confidence) / independent


def upper_limit(fitted: Fitted, confidence: float, dimensions: int = 3) -> float:
    """Return a diffusivity in cm²/s that the true one does not exceed at the given (two-sided) confidence.

    The largest of the upper bounds from all starts of the fit, from the plain rise of the curve
    (:func:`curve_rise`) and of the Poisson bound: if n effective jumps were seen, the mean number is below
    χ²(2n + 2)/2; ions that move together count as one. ``dimensions`` are those of the displacements: fewer
    than three where they are projected.
    """
    statistics, scan = fitted.statistics, fitted.scan
    tail = 0.5 + confidence / 2
    slope = 0.0 if scan is None else scan.fit.slope
    together = statistics.concerted_ions
    rise, events = curve_rise(fitted)
    bounds = [
        fitted.hop_A**2 / statistics.ion_time_ps * together * _most(jumps / together, tail)
        for jumps in (0.0, slope * statistics.ion_time_ps / fitted.hop_A**2)
    ]
    if events > 0:
        bounds.append(rise / events * _most(events, tail))
    if scan is not None:
        z = float(scipy.stats.norm.ppf(tail))
        # A start whose error exceeds a factor e says nothing about the slope.
        each = [(slope, float(np.sqrt(scan.log_variance))), *zip(scan.slopes, scan.log_errors, strict=True)]
        bounds += [value * float(np.exp(z * error)) for value, error in each if error < 0.5]
    return max(bounds) / (2 * dimensions) * A2_PER_PS


def _most(seen: float, tail: float) -> float:
    """Return the upper end of the mean of a Poisson number of which so many were seen."""
    return float(scipy.stats.chi2.ppf(tail, 2 * seen + 2)) / 2


def curve_rise(fitted: Fitted) -> tuple[float, float]:
    """Return how fast the curve rises as a whole, and how many independent events tell so.

    From a tenth to the half of its lags in time, where vibrations have ended and windows still overlap
    little: no start is chosen and no line is fitted, so that it is there when no line can be.

    Parameters
    ----------
    fitted : Fitted
        Curve, overlaps of its windows and hop distance.

    Returns
    -------
    rise : float
        Å²/ps; 0 where the curve does not rise.
    events : float
        The inverse of its relative variance by hops and diffusion (as in
        :func:`sse_screen.transport.line_fit.model_covariance`); 0 where it does not rise.
    """
    statistics, overlaps = fitted.statistics, fitted.overlaps
    times, curve = statistics.times_ps, statistics.msd_A2
    first, last = (int(np.searchsorted(times, share * times[-1])) for share in (0.1, 0.5))
    rise = float(curve[last] - curve[first]) / float(times[last] - times[first]) if last > first else 0.0
    if rise <= 0:
        return 0.0, 0.0
    model = describe(statistics, overlaps, first)
    excess = max(model.hop_excess_A2, fitted.hop_A**2) * rise
    both = np.ix_((first, last), (first, last))
    covariance = excess * overlaps.first[both] + model.gaussian * rise**2 * overlaps.second[both]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    span = float(times[last] - times[first])
    return rise, (rise * span) ** 2 / float(variance * statistics.concerted_ions)


def _curve(times_ps: FloatArray, values_A2: FloatArray) -> Curve:
    """Return a curve as a document."""
    return Curve(times_ps=times_ps.tolist(), values_A2=values_A2.tolist())


def _window(fitted: Fitted) -> FitWindow | None:
    """Return the description of the fit, None if there is none."""
    scan, model, times = fitted.scan, fitted.model, fitted.statistics.times_ps
    if scan is None or model is None:
        return None
    fit = scan.fit
    return FitWindow(
        start_ps=float(times[fit.start]),
        end_ps=float(times[-1]),
        slope_A2_per_ps=fit.slope,
        intercept_A2=fit.intercept,
        log_error=float(np.sqrt(scan.log_variance)),
        fit_log_error=fit.log_error,
        hop_excess_A2=model.hop_excess_A2,
        reduced_chi_squared=fit.chi_squared / max(fit.degrees_of_freedom, 1),
        starts_ps=list(scan.starts_ps),
        diffusivities_cm2_per_s=[slope / 6 * A2_PER_PS for slope in scan.slopes],
    )


def slope_at_start(
    statistics: LagStatistics, start_ps: float, ordinary: bool = False
) -> tuple[float, float] | None:
    """Return slope in Å²/ps and standard error of its logarithm, from a start fixed elsewhere.

    Used for projections and collective coordinates, which are too noisy to choose a start of their own.
    Returns None if the slope is not positive or fewer than three lags are left.
    """
    start = int(np.searchsorted(statistics.times_ps, start_ps * (1 - 1e-6)))
    if len(statistics.lags) - start < 3:
        return None
    overlaps = window_overlaps(statistics)
    fit = fit_slope(statistics, overlaps, describe(statistics, overlaps, start), start, ordinary)
    return None if fit is None else (fit.slope, fit.log_error)
