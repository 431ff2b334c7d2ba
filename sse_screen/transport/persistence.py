"""Ions that go on in the direction of their last jump: told from the curve, and where it has died out."""

import numpy as np
from numpy.typing import NDArray

from sse_screen.transport.displacement_statistics import LagStatistics, WindowOverlaps
from sse_screen.transport.line_fit import DisplacementModel, SlopeFit, fit_slope, model_covariance

FloatArray = NDArray[np.float64]

# Standard errors, set on walks with known persistence so that one uncorrelated walk in five is looked at
# more closely (which costs it nothing, for its line does meet the origin).
_CURVATURE = 1.6
_EARLY_INTERCEPT = 0.3
_LATE_INTERCEPT = 0.8
# The slope is right within 3 % where the curve is this many times the intercept that is missing.
_INTERCEPTS = 6.0
# The fit needs what lies beyond this part of the end of the curve.
_LAST_START = 0.6
_STEPS = 15


def goes_on(
    statistics: LagStatistics, overlaps: WindowOverlaps, model: DisplacementModel, hop_A: float
) -> bool:
    """Return True if the curve bends upwards or its line meets zero time below zero.

    Vibration and back-jumps lift the line at zero time; jumps that repeat the direction of the last one lower
    it: with cosines pᵏ between jumps k apart, each of length a, the sum over all pairs of n jumps is
    MSD(n) = a² [n (1 + p)/(1 − p) − 2p (1 − pⁿ)/(1 − p)²].

    Parameters
    ----------
    statistics, overlaps, model
        Curve, window overlaps and noise description.
    hop_A : float
        Distance between sites in Å.
    """
    curve = np.maximum.accumulate(statistics.msd_A2)
    last = len(curve) - 5

    def start_at(hops: float) -> int:
        """Return the first lag at which the curve reaches so many squared hops."""
        return min(int(np.searchsorted(curve, hops * hop_A**2)), last)

    if _curvature(statistics, overlaps, model, start_at(0.25)) > _CURVATURE:
        return True
    for hops, limit in ((0.5, _EARLY_INTERCEPT), (1.0, _LATE_INTERCEPT)):
        fit = fit_slope(statistics, overlaps, model, start_at(hops))
        if fit is not None and -fit.intercept > limit * fit.intercept_error:
            return True
    return False


def _curvature(
    statistics: LagStatistics, overlaps: WindowOverlaps, model: DisplacementModel, start: int
) -> float:
    """Return the coefficient of a term in t² beside the line, in standard errors."""
    fit = fit_slope(statistics, overlaps, model, start)
    if fit is None:
        return 0.0
    t = statistics.times_ps[start:] / statistics.times_ps[-1]
    design = np.stack([np.ones_like(t), t, t**2], axis=1)
    weighted = np.linalg.solve(model_covariance(statistics, overlaps, model, fit), design)
    covariance = np.linalg.inv(design.T @ weighted)
    return float(covariance[2] @ (weighted.T @ model.values_A2[start:]) / np.sqrt(covariance[2, 2]))


def start_beyond(
    statistics: LagStatistics, overlaps: WindowOverlaps, model: DisplacementModel, chosen: SlopeFit
) -> tuple[SlopeFit, bool]:
    """Move the start of a fit to where the persistence of directions has died out.

    There the curve is six times what the line lacks at zero time. The missing part grows as the start moves
    on, so the step is repeated.

    Parameters
    ----------
    statistics, overlaps, model
        Curve, window overlaps and noise description.
    chosen : SlopeFit
        Fit to start from.

    Returns
    -------
    SlopeFit
        The fit from the last start that the curve allows.
    bool
        True if the curve ends before persistence has died out: the slope is too small then.
    """
    curve = np.maximum.accumulate(statistics.msd_A2)
    furthest = _LAST_START * float(curve[-1])
    for _ in range(_STEPS):
        level = -_INTERCEPTS * chosen.intercept
        if level <= curve[chosen.start]:
            return chosen, False
        start = min(int(np.searchsorted(curve, min(level, furthest))), len(curve) - 5)
        later = fit_slope(statistics, overlaps, model, start) if start > chosen.start else None
        if level > furthest or later is None:
            return (chosen if later is None else later), True
        chosen = later
    return chosen, False
