"""Barriers of jumps from their rates at several temperatures, by the likelihood of the counts themselves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp, xlogy
from scipy.stats import chi2, f

from sse_screen.exceptions import InputError
from sse_screen.transport.jump_statistics import Estimate

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

#: less probable scatter than this is not of counting alone
SCATTER_SIGNIFICANCE = 0.01
_UNKNOWN = Estimate(None, 0.0, np.inf)


@dataclass(frozen=True)
class BarrierFit:
    """Rates Γ = ν exp(−E/k_B T) of one kind of jump.

    Attributes
    ----------
    barrier_eV : Estimate
        E; without a value, and with a bound on one side, where all jumps were at the highest (or lowest)
        temperature.
    attempt_frequency_THz : Estimate
        ν in 10^12 per second.
    scatter_p_value : float or None
        Probability of counts that scatter at least this much about the line; None with two temperatures,
        which always lie on one.
    """

    barrier_eV: Estimate
    attempt_frequency_THz: Estimate
    scatter_p_value: float | None


def barrier_from_rates(
    temperatures_K: Array, counts: Indices, exposures_ps: Array, confidence: float = 0.95
) -> BarrierFit:
    """Fit Γ = ν exp(−E/k_B T) to counted jumps by maximum likelihood, zero counts included.

    Counts are Poisson; given their sum they are multinomial and ν drops out, so that the interval of E is
    that of the profile likelihood in one dimension; that of ν is of the profile over E. Nothing is divided by
    a count or taken the logarithm of. The deviance 2 Σ [n ln(n/μ) − n + μ] tests whether one line does; where
    it does not, the intervals are those of a scale that is estimated from it (quasi-likelihood, McCullagh and
    Nelder, Generalized Linear Models 1989, ch. 9).

    Parameters
    ----------
    temperatures_K : ndarray, shape (n,)
        Temperatures.
    counts : ndarray of int, shape (n,)
        Jumps at each.
    exposures_ps : ndarray, shape (n,)
        Time at risk at each, ps.
    confidence : float
        Of the likelihood-ratio intervals.

    Returns
    -------
    BarrierFit
        Barrier, attempt frequency and the test.

    Raises
    ------
    InputError
        If fewer than two different temperatures have a time at risk.
    """
    temperatures, counts = np.asarray(temperatures_K, dtype=float), np.asarray(counts)
    exposures = np.asarray(exposures_ps, dtype=float)
    used = exposures > 0
    if len(set(temperatures[used])) < 2:
        raise InputError("a barrier needs jumps counted at two or more different temperatures")
    inverse, counts, exposures = 1 / (kB * temperatures[used]), counts[used], exposures[used]
    offsets = inverse - inverse.min()

    def loss(barrier: float) -> float:
        """Return the negative log-likelihood of a barrier, given the total count."""
        weights = np.log(exposures) - barrier * offsets
        return float(-np.sum(counts * (weights - logsumexp(weights))))

    if not counts.sum():
        return BarrierFit(Estimate(None, -np.inf, np.inf), _UNKNOWN, None)
    scale, bound = 100.0 / offsets.max(), float(chi2.ppf(confidence, 1) / 2)
    seen = offsets[counts > 0]
    # Jumps at one end of the temperatures alone: the likelihood rises all the way to that infinity.
    if seen.max() == 0:
        lower = _crossing(loss, loss(scale) + bound, scale, -scale)
        return BarrierFit(Estimate(None, lower, np.inf), _UNKNOWN, None)
    if seen.min() == offsets.max():
        upper = _crossing(loss, loss(-scale) + bound, -scale, scale)
        return BarrierFit(Estimate(None, -np.inf, upper), _UNKNOWN, None)
    barrier = float(
        minimize_scalar(loss, bounds=(-scale, scale), method="bounded", options={"xatol": 1e-9}).x
    )
    attempt = float(counts.sum() / np.sum(exposures * np.exp(-barrier * inverse)))
    p_value, widening = _scatter(counts, attempt * exposures * np.exp(-barrier * inverse), confidence)
    bound *= widening
    lower, upper = (_crossing(loss, loss(barrier) + bound, barrier, end) for end in (-scale, scale))
    interval = _attempt_interval(counts, exposures, inverse, (barrier, attempt), bound)
    return BarrierFit(Estimate(barrier, lower, upper), Estimate(attempt, *interval), p_value)


def _scatter(counts: Indices, expected: Array, confidence: float) -> tuple[float | None, float]:
    """Return the p-value of the deviance, and by how much it widens the bound of the log-likelihood."""
    freedom = len(counts) - 2
    if freedom < 1:
        return None, 1.0
    deviance = 2 * float(np.sum(xlogy(counts, counts / expected) - counts + expected))
    p_value = float(chi2.sf(deviance, freedom))
    if p_value >= SCATTER_SIGNIFICANCE:
        return p_value, 1.0
    return p_value, float(deviance / freedom * f.ppf(confidence, 1, freedom) / chi2.ppf(confidence, 1))


def _attempt_interval(
    counts: Indices, exposures: Array, inverse: Array, best: tuple[float, float], bound: float
) -> tuple[float, float]:
    """Return where the likelihood, at each ν the best over E, has fallen by a bound."""
    log_exposures, moment = np.log(exposures), float(np.sum(counts * inverse))
    barrier, start = best[0], float(np.log(best[1]))

    def best_barrier(log_attempt: float) -> float:
        """Return the most likely barrier at an attempt frequency."""

        # Σ β (μ − n) = 0 in logarithms, which fall with E and do not overflow.
        def excess(trial: float) -> float:
            """Return the score of a barrier, expected over found, in logarithms."""
            terms = np.log(inverse) + log_exposures + log_attempt - trial * inverse
            return float(logsumexp(terms) - np.log(moment))

        low, high, step = barrier, barrier, 0.1
        while excess(low) < 0:
            low, step = low - step, 2 * step
        while excess(high) > 0:
            high, step = high + step, 2 * step
        return low if low == high else float(brentq(excess, low, high, xtol=1e-12))

    def loss(log_attempt: float) -> float:
        """Return the negative log-likelihood of an attempt frequency with its best barrier."""
        log_expected = log_exposures + log_attempt - best_barrier(log_attempt) * inverse
        return float(np.sum(np.exp(log_expected) - counts * log_expected))

    level, ends = loss(start) + bound, []
    for sign in (-1.0, 1.0):
        step = 0.5
        while loss(start + sign * step) < level:
            step *= 2
        ends.append(float(np.exp(brentq(lambda x: loss(x) - level, start, start + sign * step))))
    return ends[0], ends[1]


def _crossing(loss: Callable[[float], float], level: float, inside: float, outside: float) -> float:
    """Where a loss crosses a level between a point below it and one above it."""
    if loss(outside) <= level:
        return float(np.copysign(np.inf, outside))
    return float(brentq(lambda x: loss(x) - level, inside, outside))
