"""The start of the fit of a mean squared displacement, chosen from the data."""

from dataclasses import dataclass, replace

import numpy as np

from sse_screen.transport.displacement_statistics import LagStatistics, WindowOverlaps
from sse_screen.transport.line_fit import DisplacementModel, SlopeFit, describe, fit_slope
from sse_screen.transport.persistence import goes_on, start_beyond

# Joint standard errors within which an early start agrees; set on walks with known diffusivity.
_AGREEMENT = 1.5
# Part of the squared disagreement of later starts that the fit's own variance already stands for.
_EXPECTED_DISAGREEMENT = 0.3


@dataclass(frozen=True)
class StartScan:
    """The fit from the chosen start and what other starts would have given.

    Parameters
    ----------
    fit : SlopeFit
        Fit from the chosen start.
    log_variance : float
        Variance of ln(slope) with the start dependence that is left added to that of the fit.
    starts_ps, slopes, log_errors : tuple of float
        Times of all starts tried, their slopes in Å²/ps and standard errors of ln(slope).
    early_agrees : bool
        True if even a start at half a squared hop agrees with the later ones (uncorrelated hops).
    largest_deviation : float
        Largest deviation of ln(slope) of a later start from the chosen one in joint standard errors.
    persistent : bool
        True if ions go on in the direction of their last jump and the curve ends before that has died out.
    """

    fit: SlopeFit
    log_variance: float
    starts_ps: tuple[float, ...]
    slopes: tuple[float, ...]
    log_errors: tuple[float, ...]
    early_agrees: bool
    largest_deviation: float
    persistent: bool = False


def scan_starts(
    statistics: LagStatistics,
    overlaps: WindowOverlaps,
    hop_A: float,
    minimum_lags: int = 5,
    start: int | None = None,
) -> tuple[StartScan, DisplacementModel] | None:
    """Choose the start of the fit from the data, in the manner of Lepski's method.

    Successive jumps of real ions are correlated (back-jumps, blocked sites), which bends the curve up to a
    few squared hop lengths. The cautious start is where the curve reaches 0.6 of its end, held between one
    and two squared hops. If a fit from half a squared hop, where correlation shows most and noise least,
    agrees with it within 1.5 joint standard errors (nested generalised least squares: the variance of the
    difference is the difference of the variances), the hops are taken as uncorrelated and the start moves
    down to one squared hop. Where jumps go on in the direction of the last one, the start moves up until that
    has died out (`start_beyond`). Squared disagreement of later starts beyond 0.3 of its variance is added.

    Parameters
    ----------
    statistics : LagStatistics
        Windowed statistics of the mobile ions.
    overlaps : WindowOverlaps
        Of the same lags.
    hop_A : float
        Distance between sites in Å.
    minimum_lags : int
        Lags that must be left after a start.
    start : int, optional
        Index of a start fixed by the caller: nothing is chosen then, and all lags weigh the same.

    Returns
    -------
    tuple of StartScan and DisplacementModel, or None
        None if no start gives a positive slope.
    """
    curve = np.maximum.accumulate(statistics.msd_A2)
    last = len(curve) - minimum_lags
    if last < 0 or curve[-1] <= 0:
        return None
    level = min(0.5 * hop_A**2, 0.3 * curve[-1])
    model = describe(statistics, overlaps, min(int(np.searchsorted(curve, level)), last))
    if start is not None:
        fixed = fit_slope(statistics, overlaps, model, start, ordinary=True)
        if fixed is None:
            return None
        return _scan(statistics, overlaps, model, fixed, (start, max(last, start)), False), model
    found = _choose(statistics, overlaps, model, hop_A**2, last)
    if found is None:
        return None
    chosen, earliest, agrees = found
    persistent = False
    if goes_on(statistics, overlaps, model, hop_A):
        chosen, persistent = start_beyond(statistics, overlaps, model, chosen)
    scan = _scan(statistics, overlaps, model, chosen, (earliest, last), agrees)
    return replace(scan, persistent=persistent), model


def _choose(
    statistics: LagStatistics, overlaps: WindowOverlaps, model: DisplacementModel, square: float, last: int
) -> tuple[SlopeFit, int, bool] | None:
    """Return the chosen fit, the earliest start considered, and whether an early start agrees."""
    curve, times = np.maximum.accumulate(statistics.msd_A2), statistics.times_ps

    def first_reaching(level: float) -> int:
        """Return the first lag at which the curve reaches a level in Å²."""
        return min(int(np.searchsorted(curve, level)), last)

    cautious = first_reaching(float(np.clip(0.6 * curve[-1], min(square, 0.6 * curve[-1]), 2 * square)))
    earliest = first_reaching(min(square, float(curve[cautious])))
    if curve[-1] < square:
        # Hardly a hop: keep out of the vibrations, which end within a small part of any run.
        cautious = max(cautious, min(int(np.searchsorted(times, 0.1 * times[-1])), last))
        earliest = cautious
    base = fit_slope(statistics, overlaps, model, cautious)
    if base is None:
        return None
    early = fit_slope(statistics, overlaps, model, first_reaching(0.5 * square))
    agrees = early is not None and early.start < base.start and _deviation(early, base) < _AGREEMENT
    chosen = fit_slope(statistics, overlaps, model, earliest) if agrees else base
    return (base if chosen is None else chosen), earliest, agrees


def _scan(
    statistics: LagStatistics,
    overlaps: WindowOverlaps,
    model: DisplacementModel,
    chosen: SlopeFit,
    bounds: tuple[int, int],
    early_agrees: bool,
) -> StartScan:
    """Fit from all starts between the bounds and carry what is left of their disagreement."""
    curve = np.maximum.accumulate(statistics.msd_A2)
    steps = np.unique(np.linspace(*bounds, 12).astype(int))
    tried = [fit for step in steps if (fit := fit_slope(statistics, overlaps, model, int(step))) is not None]
    later = [fit for fit in tried if fit.start > chosen.start and curve[fit.start] <= 2 * curve[chosen.start]]
    deviations = [_deviation(chosen, fit) for fit in later]
    left = 0.0
    for fit in later:
        expected = _EXPECTED_DISAGREEMENT * _difference_variance(chosen, fit)
        excess = np.log(fit.slope / chosen.slope) ** 2 - expected
        left = max(left, min(float(excess), fit.log_variance))
    return StartScan(
        fit=chosen,
        log_variance=chosen.log_variance + left,
        starts_ps=tuple(float(statistics.times_ps[fit.start]) for fit in tried),
        slopes=tuple(fit.slope for fit in tried),
        log_errors=tuple(fit.log_error for fit in tried),
        early_agrees=early_agrees,
        largest_deviation=max(deviations, default=0.0),
    )


def _difference_variance(early: SlopeFit, late: SlopeFit) -> float:
    """Return the variance of the difference of ln(slope) of two nested fits."""
    return max(late.log_variance - early.log_variance, 0.05 * late.log_variance)


def _deviation(early: SlopeFit, late: SlopeFit) -> float:
    """Return the difference of ln(slope) of two nested fits in standard errors."""
    return float(abs(np.log(early.slope / late.slope)) / np.sqrt(_difference_variance(early, late)))
