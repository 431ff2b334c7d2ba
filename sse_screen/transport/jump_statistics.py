"""Residence times, rates, back-jumps and correlation factor, with exact counting intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, chi2, t

from sse_screen.transport.jumps import Jumps, Visits

Array = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; the bounds may be infinite, the value None where there is none.

    Attributes
    ----------
    value : float or None
        Best estimate.
    lower, upper : float
        Ends of the interval.
    """

    value: float | None
    lower: float
    upper: float


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact two-sided interval of a Poisson mean from one count (Garwood, Biometrika 1936).

    Parameters
    ----------
    count : int
        Number of events; none at all gives 0 to 3.69 at 95 %.
    confidence : float
        Probability that the interval is to hold the mean, at least.

    Returns
    -------
    tuple of float
        Lower and upper end.
    """
    tail = 0.5 * (1 - confidence)
    lower = 0.0 if count == 0 else float(chi2.ppf(tail, 2 * count) / 2)
    return lower, float(chi2.ppf(1 - tail, 2 * count + 2) / 2)


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact interval of a probability (Clopper and Pearson, Biometrika 1934).

    Parameters
    ----------
    successes, trials : int
        Counts; no trial gives 0 to 1.
    confidence : float
        Probability that the interval is to hold the truth, at least.

    Returns
    -------
    tuple of float
        Lower and upper end.
    """
    tail = 0.5 * (1 - confidence)
    lower = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    upper = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return lower, upper


def rate_estimate(count: int, exposure: float, confidence: float = 0.95) -> Estimate:
    """Estimate a rate from a number of events in a time at risk.

    Parameters
    ----------
    count : int
        Number of events.
    exposure : float
        Time (summed over ions) in which they could have happened.
    confidence : float
        Of the exact Poisson interval.

    Returns
    -------
    Estimate
        Per unit of the exposure; none and (0, inf) without exposure.
    """
    if exposure <= 0:
        return Estimate(None, 0.0, np.inf)
    lower, upper = poisson_interval(count, confidence)
    return Estimate(count / exposure, lower / exposure, upper / exposure)


@dataclass(frozen=True, eq=False)
class Residence:
    """Residence times at one type of site.

    Attributes
    ----------
    mean_ps : Estimate
        Time at risk over number of departures, truncated visits included: exact for memoryless departures.
    median_ps : float or None
        Where the Kaplan-Meier curve falls to one half; None if it does not.
    times_ps, survival : ndarray, shape (n_steps,)
        Kaplan-Meier curve: share of visits longer than each time.
    n_complete, n_truncated : int
        Visits seen whole, and those cut by the start or the end of a trajectory.
    """

    mean_ps: Estimate
    median_ps: float | None
    times_ps: Array
    survival: Array
    n_complete: int
    n_truncated: int


def kaplan_meier(durations: Array, ended: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Estimate a survival curve from durations of which some were cut short (Kaplan and Meier 1958).

    Parameters
    ----------
    durations : ndarray, shape (n,)
        Durations as far as seen.
    ended : ndarray of bool, shape (n,)
        False where the end was not seen.

    Returns
    -------
    times : ndarray, shape (n_steps,)
        Distinct durations that ended, rising.
    survival : ndarray, shape (n_steps,)
        Probability to last longer than each of them.
    """
    times, deaths = np.unique(durations[ended], return_counts=True)
    at_risk = len(durations) - np.searchsorted(np.sort(durations), times, side="left")
    return times, np.cumprod(1.0 - deaths / np.maximum(at_risk, 1))


def residence_times(
    visits: Visits, chosen: NDArray[np.bool_], time_step_ps: float, confidence: float = 0.95
) -> Residence:
    """Estimate how long ions stay, with the truncated visits handled.

    Visits under way at the start of a trajectory have an unknown beginning: they count for the time at risk,
    not for the Kaplan-Meier curve. Visits under way at its end enter both as not ended.

    Parameters
    ----------
    visits : Visits
        Visits.
    chosen : ndarray of bool, shape (n_visits,)
        Which of them to use, such as those at one type of site.
    time_step_ps : float
        Time between frames, ps.
    confidence : float
        Of the interval of the mean.

    Returns
    -------
    Residence
        Times in ps.
    """
    ended = ~visits.truncated_end[chosen]
    whole_start = ~visits.truncated_start[chosen]
    durations = visits.durations[chosen] * time_step_ps
    rate = rate_estimate(int(ended.sum()), float(durations.sum()), confidence)
    mean = Estimate(
        None if not rate.value else 1 / rate.value,
        1 / rate.upper,
        np.inf if rate.lower == 0 else 1 / rate.lower,
    )
    times, survival = kaplan_meier(durations[whole_start], ended[whole_start])
    below = np.flatnonzero(survival <= 0.5)
    return Residence(
        mean_ps=mean,
        median_ps=float(times[below[0]]) if len(below) else None,
        times_ps=times,
        survival=survival,
        n_complete=int((ended & whole_start).sum()),
        n_truncated=int((~(ended & whole_start)).sum()),
    )


@dataclass(frozen=True)
class JumpRate:
    """Rate of jumps from one type of site to another.

    Attributes
    ----------
    origin, destination : int
        Indices of the site types.
    count : int
        Jumps seen.
    exposure_ps : float
        Time that ions spent at sites of the origin's type, ps.
    rate_per_ps : Estimate
        Jumps per ion and ps at the origin.
    mean_length_A : float or None
        Mean distance from site to site, Å; None without a jump.
    """

    origin: int
    destination: int
    count: int
    exposure_ps: float
    rate_per_ps: Estimate
    mean_length_A: float | None


def jump_rates(
    jumps: Jumps, visits: Visits, site_types: Indices, time_step_ps: float, confidence: float = 0.95
) -> list[JumpRate]:
    """Estimate the rates between all types of sites, those never seen included (as upper limits).

    Parameters
    ----------
    jumps : Jumps
        Jumps.
    visits : Visits
        The visits that the jumps came from.
    site_types : ndarray of int, shape (n_sites,)
        Type of each site, 0 to n_types − 1.
    time_step_ps : float
        Time between frames, ps.
    confidence : float
        Of the exact Poisson intervals.

    Returns
    -------
    list of JumpRate
        n_types² of them, by origin, then destination.
    """
    n_types = int(site_types.max()) + 1
    frames = np.bincount(site_types[visits.site], weights=visits.durations, minlength=n_types)
    exposure = frames * time_step_ps
    pair = site_types[jumps.origin] * n_types + site_types[jumps.destination]
    lengths = np.linalg.norm(jumps.vectors_A, axis=1)
    counts = np.bincount(pair, minlength=n_types**2)
    summed = np.bincount(pair, weights=lengths, minlength=n_types**2)
    return [
        JumpRate(
            origin=number // n_types,
            destination=number % n_types,
            count=int(counts[number]),
            exposure_ps=float(exposure[number // n_types]),
            rate_per_ps=rate_estimate(int(counts[number]), float(exposure[number // n_types]), confidence),
            mean_length_A=float(summed[number] / counts[number]) if counts[number] else None,
        )
        for number in range(n_types**2)
    ]


def back_jump_fraction(jumps: Jumps, within_frames: float, confidence: float = 0.95) -> Estimate:
    """Estimate the share of jumps that the same ion undoes as its next jump within a time.

    Parameters
    ----------
    jumps : Jumps
        Jumps, ordered by ion and time.
    within_frames : float
        Longest time between a jump and its reversal, frames.
    confidence : float
        Of the exact binomial interval.

    Returns
    -------
    Estimate
        Over those jumps alone that were followed for the full time, so that the end of the trajectory does
        not bias it.
    """
    if not len(jumps):
        return Estimate(None, 0.0, 1.0)
    followed = jumps.frame + within_frames <= jumps.last_frame - 1
    next_same = np.append(jumps.ion[1:] == jumps.ion[:-1], False)
    reverse = np.zeros(len(jumps), dtype=bool)
    undone = (jumps.destination[1:] == jumps.origin[:-1]) & np.all(
        jumps.image[1:] == -jumps.image[:-1], axis=1
    )
    soon = jumps.frame[1:] - jumps.frame[:-1] <= within_frames
    reverse[:-1] = undone & soon & next_same[:-1]
    trials, successes = int(followed.sum()), int((reverse & followed).sum())
    lower, upper = binomial_interval(successes, trials, confidence) if trials else (0.0, 1.0)
    return Estimate(successes / trials if trials else None, lower, upper)


def correlation_factor(
    jumps: Jumps, *, maximum_lag: int | None = None, confidence: float = 0.95
) -> tuple[Estimate, int]:
    """Estimate the tracer correlation factor, diffusivity over that of as many independent jumps.

    f = 1 + 2 Σ_k ⟨u_i · u_(i+k)⟩ / ⟨u²⟩ over the jumps u of an ion (Bardeen and Herring 1952; Allnatt and
    Lidiard 1993). The sum is cut where pairs of consecutive terms stop being positive (the initial positive
    sequence of Geyer, Stat. Sci. 1992). Its error is the jackknife over ions, with a cut of its own for each
    part, because the choice of the cut is noise too, and Student's t for as many ions as jumped.

    Parameters
    ----------
    jumps : Jumps
        Jumps, ordered by ion and time.
    maximum_lag : int, optional
        Longest lag in jumps; by default the cut decides (at most 100).
    confidence : float
        Of the interval.

    Returns
    -------
    factor : Estimate
        None where no ion jumped twice; an interval of (0, inf) where fewer than two ions did.
    lag : int
        Number of lags summed.
    """
    if len(jumps) < 2:
        return Estimate(None, 0.0, np.inf), 0
    limit = 100 if maximum_lag is None else maximum_lag
    limit = min(limit, int(np.bincount(jumps.ion).max()) - 1)
    ions, ion = np.unique(jumps.ion, return_inverse=True)
    products, pairs = np.zeros((len(ions), limit + 1)), np.zeros((len(ions), limit + 1))
    for lag in range(limit + 1):
        first, second = slice(0, len(jumps) - lag), slice(lag, len(jumps))
        same = ion[first] == ion[second]
        dots = np.einsum("ij,ij->i", jumps.vectors_A[first], jumps.vectors_A[second])
        products[:, lag] = np.bincount(ion[first][same], weights=dots[same], minlength=len(ions))
        pairs[:, lag] = np.bincount(ion[first][same], minlength=len(ions))
    lag = limit if maximum_lag is not None else _positive_lags(products.sum(0), pairs.sum(0))
    if lag < 1:
        return Estimate(None, 0.0, np.inf), 0
    all_products, all_pairs = products.sum(0), pairs.sum(0)
    value = _summed(all_products[: lag + 1], all_pairs[: lag + 1])
    if len(ions) < 2:
        return Estimate(value, 0.0, np.inf), lag
    left_out = []
    for own_products, own_pairs in zip(products, pairs, strict=True):
        rest = all_products - own_products, all_pairs - own_pairs
        cut = lag if maximum_lag is not None else max(1, _positive_lags(*rest))
        left_out.append(_summed(rest[0][: cut + 1], rest[1][: cut + 1]))
    error = np.sqrt((len(ions) - 1) * np.var(left_out))
    reach = float(t.ppf(0.5 + confidence / 2, len(ions) - 1) * error)
    return Estimate(value, max(0.0, value - reach), value + reach), lag


def _correlations(products: Array, pairs: Array) -> Array:
    means = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0)
    return means / means[0]


def _summed(products: Array, pairs: Array) -> float:
    # Half of the last term: the mean of the last two partial sums, right also where they alternate.
    terms = _correlations(products, pairs)[1:]
    return float(1.0 + 2.0 * terms.sum() - terms[-1])


def _positive_lags(products: Array, pairs: Array) -> int:
    """Last lag of Geyer's initial positive sequence of sums of two consecutive terms."""
    correlations = _correlations(products, pairs)
    for even in range(2, len(correlations), 2):
        if correlations[even : even + 2].sum() <= 0:
            return even - 1
    return len(correlations) - 1
