"""Where a recorded quantity has become stationary, and how many independent values follow.

Chodera, J. Chem. Theory Comput. 12, 1799 (2016): of all starts take the one that leaves most effectively
independent values; a transient makes the correlation time long and so pays for being dropped. Written here
rather than taken from pymbar, which does this but brings compiled parts that nothing else needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

_STARTS = 60
_SHORTEST = 10
_FEWEST = 100  # of fewer values nothing can be told
_NEARLY_BEST = 0.95


@dataclass(frozen=True)
class Equilibration:
    """First stationary value, correlation in units of the spacing, and independent values after it.

    ``stationary`` is False when the start lies in the second half: what is left is too short to tell.
    """

    start: int
    statistical_inefficiency: float
    n_effective: float
    stationary: bool


def statistical_inefficiency(values: FloatArray) -> float:
    """Give the number of successive values that are worth one independent value.

    g = 1 + 2 Σ (1 − t/T) C(t) up to the first non-positive C(t) (Chodera 2016, Eq. 9 and following).

    Parameters
    ----------
    values : numpy.ndarray
        Equally spaced values, shape (n,).

    Returns
    -------
    float
        At least 1; 1 for constant or fewer than three values.
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < 3:
        return 1.0
    deviations = array - array.mean()
    variance = float(deviations @ deviations) / n
    if variance <= (1e-12 * max(float(np.abs(array).max()), 1e-300)) ** 2:
        return 1.0
    padded = np.fft.rfft(deviations, 2 * n)
    lags = np.arange(n)
    correlation = np.fft.irfft(padded * np.conj(padded))[:n] / ((n - lags) * variance)
    ends = np.flatnonzero(correlation <= 0)
    last = int(ends[0]) if len(ends) else n - 1
    taken = slice(1, max(last, 1))
    return max(1.0, float(1 + 2 * np.sum((1 - lags[taken] / n) * correlation[taken])))


def detect_equilibration(values: FloatArray) -> Equilibration:
    """Find from where on a series is stationary.

    Parameters
    ----------
    values : numpy.ndarray
        Equally spaced values, shape (n,).

    Returns
    -------
    Equilibration
        The earliest start whose number of independent values is within 5 % of the largest; the first value
        of series of fewer than a hundred.
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < _FEWEST:
        found = statistical_inefficiency(array)
        return Equilibration(0, found, n / found, stationary=True)
    starts = np.unique(np.linspace(0, n - _SHORTEST, _STARTS).astype(int))
    inefficiencies = np.array([statistical_inefficiency(array[start:]) for start in starts])
    effective = (n - starts) / inefficiencies
    best = int(np.flatnonzero(effective >= _NEARLY_BEST * effective.max())[0])
    start = int(starts[best])
    return Equilibration(start, float(inefficiencies[best]), float(effective[best]), start <= n // 2)


def equilibrate_together(series: Sequence[FloatArray]) -> Equilibration:
    """Find from where on all of several series of one run are stationary.

    Parameters
    ----------
    series : sequence of numpy.ndarray
        Such as potential energy and volume, of equal length.

    Returns
    -------
    Equilibration
        That of the series which is stationary last.
    """
    return max((detect_equilibration(values) for values in series), key=lambda found: found.start)
