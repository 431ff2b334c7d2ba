"""Tests that a trajectory must pass before its slope is called a diffusivity."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray
from pydantic import Field

from sse_screen.documents.base import Document
from sse_screen.transport.displacement_statistics import (
    LagStatistics,
    WindowOverlaps,
    geometric_lags,
    lag_statistics,
    window_overlaps,
)
from sse_screen.transport.line_fit import (
    DisplacementModel,
    SlopeFit,
    describe,
    fit_slope,
    model_covariance,
)
from sse_screen.transport.start_scan import StartScan

FloatArray = NDArray[np.float64]
Outcome = Literal["passed", "warning", "failed", "refused"]

PERSISTENCE = "persistence"
MINIMUM_JUMPS = 30.0
FEW_JUMPS = 100.0
_EXPONENT_BAND = (0.9, 1.1)
_CHI_SQUARED_LIMIT = 2.0
# Half the width of the band: an exponent that is known so well is not outside by chance of few jumps.
_WELL_KNOWN = 0.05
_SPARSE_LIMIT = 1e-3
_FRAMEWORK_MSD_A2 = 1.0


class Gate(Document):
    """Outcome of one test of a trajectory."""

    name: str = Field(description="What was tested")
    outcome: Outcome = Field(
        description="warning keeps the verdict; failed makes an upper limit; refused none"
    )
    message: str = Field("", description="What was found, in words; empty when passed")
    value: float | None = Field(None, description="The number that was tested")


def _gate(name: str, outcome: Outcome, message: str, value: float | None = None) -> Gate:
    """Return a gate whose message is kept only when it did not pass."""
    return Gate(name=name, outcome=outcome, message="" if outcome == "passed" else message, value=value)


def jump_gates(
    largest_msd_A2: float, effective_jumps: float, log_error: float, hop_A: float, concerted_ions: float = 1.0
) -> list[Gate]:
    """Test that the ions left their sites, and often enough.

    It is the lower end of the 95 % interval of the number of jumps that must reach 30: of short runs, only
    those whose slope is too high by chance would pass on the number itself.

    Parameters
    ----------
    largest_msd_A2 : float
        Largest mean squared displacement within the lags in Å².
    effective_jumps : float
        Total mean squared displacement of all ions over the squared hop.
    log_error : float
        Standard error of its logarithm.
    hop_A : float
        Distance between sites in Å.
    concerted_ions : float
        Ions that move together, whose jumps count as one.
    """
    reached = largest_msd_A2 / hop_A**2
    far = _gate(
        "displacement",
        "passed" if reached >= 1 else "failed",
        f"the mean squared displacement reaches {reached:.2g} squared hops of {hop_A:.2f} Å; 1 is needed",
        reached,
    )
    independent = effective_jumps / concerted_ions
    fewest = independent * float(np.exp(-1.96 * log_error))
    outcome: Outcome = "passed" if independent >= FEW_JUMPS else "warning"
    if fewest < MINIMUM_JUMPS:
        outcome = "failed"
    together = "" if concerted_ions == 1 else f", {independent:.1f} of them independent (ions move together)"
    many = _gate(
        "effective_jumps",
        outcome,
        f"{effective_jumps:.1f} effective jumps{together}, at least {fewest:.1f} at 95 % confidence; "
        f"{MINIMUM_JUMPS:.0f} are needed for certain, better {FEW_JUMPS:.0f}",
        effective_jumps,
    )
    return [far, many]


def lower_end_of_selected(effective_jumps: float, log_error: float, confidence: float) -> float:
    """Return the lower end of the interval of a number of jumps that was large enough to be reported.

    Near the least number only runs whose slope is too high by chance pass `jump_gates`. Given that one did,
    ln n is normal, cut off below c = ln 30 + 1.96 s; the lower end is the mean ν at which what was found, or
    more, has the probability (1 − confidence)/2 of what passes: Q((x − ν)/s) / Q((c − ν)/s), Q the upper tail
    (conditional inference after selection: Lee, Sun, Sun, Taylor, Ann. Statist. 2016, 44, 907). Far above the
    least number it is the ordinary end. No less than x − 20 s, where a run tells nothing any more.

    Parameters
    ----------
    effective_jumps : float
        Number found, exp(x).
    log_error : float
        Standard error s of its logarithm.
    confidence : float
        Probability of the two-sided interval.
    """
    tail, found = np.log((1 - confidence) / 2), float(np.log(effective_jumps))
    least = min(float(np.log(MINIMUM_JUMPS)) + 1.96 * log_error, found)

    def excess(mean: float) -> float:
        """Return the logarithm of the probability of what was found, or more, less that of the tail."""
        upper = scipy.stats.norm.logsf([(found - mean) / log_error, (least - mean) / log_error])
        return float(upper[0] - upper[1] - tail)

    furthest = found - 20 * log_error
    if excess(furthest) > 0:
        return float(np.exp(furthest))
    return float(np.exp(scipy.optimize.brentq(excess, furthest, found)))


def local_exponent(
    statistics: LagStatistics,
    overlaps: WindowOverlaps,
    model: DisplacementModel,
    scan: StartScan,
    hop_A: float,
) -> tuple[float, float]:
    """Return α = d ln(MSD − c) / d ln t over the fit window and its standard error.

    c is what motion about a site adds to the curve of any diffusing ion (vibration, jumps that are undone):
    the intercept of the fit, but no more than half a squared hop, and only where the curve is straight by the
    other tests: a curve that bends shows its own exponent.
    """
    fit = scan.fit
    lags = slice(fit.start, None)
    straight = _reduced(fit) <= _CHI_SQUARED_LIMIT and scan.largest_deviation <= 2
    offset = float(np.clip(fit.intercept, 0.0, 0.5 * hop_A**2)) if straight else 0.0
    t, y = statistics.times_ps[lags], model.values_A2[lags]
    y = np.maximum(y - offset, 0.1 * y)
    covariance = model_covariance(statistics, overlaps, model, fit) / np.outer(y, y)
    design = np.stack([np.ones_like(t), np.log(t)], axis=1)
    weighted = np.linalg.solve(covariance, design)
    parameters = np.linalg.inv(design.T @ weighted)
    return float((parameters @ (weighted.T @ np.log(y)))[1]), float(np.sqrt(parameters[1, 1]))


def _reduced(fit: SlopeFit) -> float:
    """Return χ² per degree of freedom."""
    return fit.chi_squared / max(fit.degrees_of_freedom, 1)


def regime_gates(alpha: float, alpha_error: float, scan: StartScan) -> list[Gate]:
    """Test that the curve is a straight line from the chosen start on.

    The exponent fails if it lies outside 0.9 to 1.1 by more than two of its standard errors, or outside 0.7
    to 1.3 at all; outside by less is a warning, and so is an error above 0.2: too short to tell. Later starts
    fail by more than three joint errors; by more than two where the exponent is outside too and known within
    0.05, so that the run is not too short.
    """
    low, high = _EXPONENT_BAND
    outside = alpha + 2 * alpha_error < low or alpha - 2 * alpha_error > high
    far = not 0.7 <= alpha <= 1.3
    outcome: Outcome = "failed" if outside or far else "passed"
    regime = "sub-diffusive" if alpha < 1 else "super-diffusive"
    message = f"{regime}: the local exponent is {alpha:.2f} ± {alpha_error:.2f}, not within {low} to {high}"
    if outcome == "passed" and alpha_error > 0.2:
        outcome, message = "warning", f"too short to tell the local exponent: {alpha:.2f} ± {alpha_error:.2f}"
    elif outcome == "passed" and not low <= alpha <= high:
        outcome = "warning"
    gates = [_gate("local_exponent", outcome, message, alpha)]
    reduced = _reduced(scan.fit)
    gates.append(
        _gate(
            "linearity",
            "passed" if reduced <= _CHI_SQUARED_LIMIT else "failed",
            f"the curve is not straight: reduced χ² is {reduced:.1f}, more than {_CHI_SQUARED_LIMIT:.0f}",
            reduced,
        )
    )
    deviation = scan.largest_deviation
    bent = alpha_error <= _WELL_KNOWN and not low <= alpha <= high
    gates.append(
        _gate(
            "start_of_fit",
            "passed" if deviation <= 2 else ("failed" if deviation > 3 or bent else "warning"),
            f"later starts of the fit differ by {deviation:.1f} joint errors; the slope has no plateau",
            deviation,
        )
    )
    gates.append(
        _gate(
            PERSISTENCE,
            "failed" if scan.persistent else "passed",
            "ions go on in the direction of their last jump and the run ends before that has averaged out: "
            "the slope is a lower limit",
            scan.fit.intercept,
        )
    )
    return gates


def halves_gate(pieces: Sequence[FloatArray], time_step_ps: float, start_ps: float) -> Gate:
    """Test that the first halves of the pieces give the same slope as the second halves.

    Parameters
    ----------
    pieces : sequence of numpy.ndarray
        Displacements of the mobile ions in Å, (n_frames, n_ions, 3) each.
    time_step_ps : float
        Time between frames in ps.
    start_ps : float
        First lag of the fit in ps.
    """
    halves = [
        [piece[: len(piece) // 2 + 1] for piece in pieces],
        [piece[len(piece) // 2 :] for piece in pieces],
    ]
    fits = [fit_pieces(half, time_step_ps, start_ps) for half in halves]
    first, second = fits
    if first is None or second is None:
        return _gate("halves", "warning", "the halves are too short to be compared")
    error = np.hypot(first.log_error, second.log_error)
    deviation = float(abs(np.log(first.slope / second.slope)) / error)
    return _gate(
        "halves",
        "passed" if deviation <= 2.6 else "failed",
        f"the halves disagree by {deviation:.1f} standard errors (ratio {second.slope / first.slope:.2g})",
        deviation,
    )


def fit_pieces(pieces: Sequence[FloatArray], time_step_ps: float, start_ps: float) -> SlopeFit | None:
    """Return the slope of pieces from a given first lag in ps on, None if it cannot be had."""
    longest = max(len(piece) for piece in pieces)
    lags = geometric_lags(longest, 40)
    lags = np.unique(np.append(lags, min(max(1, round(start_ps / time_step_ps)), lags[-1])))
    lags = lags[lags * time_step_ps > 0.5 * start_ps]
    if len(lags) < 4:
        return None
    statistics = lag_statistics(pieces, time_step_ps, lags)
    start = int(np.searchsorted(statistics.times_ps, start_ps * (1 - 1e-6)))
    if len(lags) - start < 3:
        return None
    overlaps = window_overlaps(statistics)
    return fit_slope(statistics, overlaps, describe(statistics, overlaps, start), start)


def framework_gates(
    framework: dict[str, list[FloatArray]],
    curves: dict[str, FloatArray],
    statistics: LagStatistics,
    start_ps: float,
    mobile_slope: float,
) -> list[Gate]:
    """Test that the framework vibrates and does not flow, species by species.

    A species flows if its slope is positive by three standard errors, its displacement exceeds 1 Å², grows
    by half between the middle and the end of the window, and is more than 2 % of the mobile ions' slope.
    All species flowing is a melt; one among others that stay is decomposition or rotation: ligands that
    rotate about a centre that stays (S in PS4) are a warning.

    Parameters
    ----------
    framework : dict of str to list of numpy.ndarray
        Displacements of each framework species in Å, piece by piece.
    curves : dict of str to numpy.ndarray
        Mean squared displacement of each species in Å² at the lags of `statistics`.
    statistics : LagStatistics
        Of the mobile ions.
    start_ps : float
        First lag of the mobile ions' fit in ps.
    mobile_slope : float
        Slope of the mobile ions in Å²/ps.
    """
    flowing = {}
    for symbol, pieces in framework.items():
        lags, msd = statistics.lags, curves[symbol]
        middle = float(np.interp(0.5 * lags[-1], lags, msd))
        growing = msd[-1] > _FRAMEWORK_MSD_A2 and msd[-1] > 1.5 * middle
        fit = fit_pieces(pieces, statistics.time_step_ps, start_ps) if growing else None
        if fit is None:
            continue
        steady = fit.log_error < 1 / 3 and fit.slope > 0.02 * mobile_slope
        if steady or msd[-1] > 4 * _FRAMEWORK_MSD_A2:
            flowing[symbol] = float(msd[-1])
    if not framework:
        return []
    if not flowing:
        return [_gate("framework", "passed", "")]
    listed = ", ".join(f"{symbol} {msd:.1f} Å²" for symbol, msd in flowing.items())
    if len(flowing) == len(framework):
        return [_gate("framework", "refused", f"the framework flows (melt or decomposition): {listed}")]
    resting = ", ".join(symbol for symbol in framework if symbol not in flowing)
    message = f"{listed}: rotating or exchanging ligands, or decomposition, while {resting} stays"
    return [_gate("framework", "warning", message)]


def sampling_gates(sparse_steps: float) -> list[Gate]:
    """Test that the frames are close enough for the periodic image of every step to be known.

    Parameters
    ----------
    sparse_steps : float
        Share of steps longer than 0.4 of a cell vector.
    """
    outcome: Outcome = "passed" if sparse_steps == 0 else "warning"
    if sparse_steps > _SPARSE_LIMIT:
        outcome = "refused"
    return [
        _gate(
            "frame_spacing",
            outcome,
            f"{100 * sparse_steps:.2g} % of the steps are so long that their periodic image is a guess: "
            "write frames more often or unwrapped",
            sparse_steps,
        )
    ]
