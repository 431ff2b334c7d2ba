"""How errors fall with the number of labels, and whether more of them would help.

Held-out errors of learning machines fall as a power of the training-set size, error = a n^(−b) (Hestness et
al. 2017, arXiv:1712.00409), until a floor is reached. Here a straight line is fitted to logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sse_screen.training.errors import TrainingInputError

FloatArray = NDArray[np.float64]
DataVerdict = Literal["enough", "more_data_needed", "undecided"]
MINIMUM_SIZES = 4
_CURVED = 0.05
#: logarithms of errors that lie on a line up to rounding are not tested for a bend
_EXACT = 1e-20


@dataclass(frozen=True)
class PowerLaw:
    """A power law fitted to errors.

    Attributes
    ----------
    exponent, exponent_lower, exponent_upper : float
        b of error = a n^(−b), with its interval by Student's t.
    prefactor : float
        a, in the unit of the errors.
    largest_size : int
        Largest training set.
    n_points : int
        Points that the line was fitted to.
    levels_off : bool
        Whether the errors bend upwards from one line, so that only the larger half of the sizes was fitted.
    confidence : float
        Of all intervals.
    """

    exponent: float
    exponent_lower: float
    exponent_upper: float
    prefactor: float
    largest_size: int
    n_points: int
    levels_off: bool
    confidence: float
    center: float
    log_error_at_center: float
    variance_of_mean: float
    variance_of_slope: float
    quantile: float

    def at(self, n: float) -> tuple[float, float, float]:
        """Give the expected error at a training-set size.

        Parameters
        ----------
        n : float
            Structures.

        Returns
        -------
        value, lower, upper : float
            In the unit of the errors, with the interval of the line.
        """
        distance = np.log(n) - self.center
        value = self.log_error_at_center - self.exponent * distance
        half = self.quantile * np.sqrt(self.variance_of_mean + self.variance_of_slope * distance**2)
        return float(np.exp(value)), float(np.exp(value - half)), float(np.exp(value + half))

    def gain_of_doubling(self) -> tuple[float, float, float]:
        """Give the share of the error that twice the data would remove.

        Returns
        -------
        value, lower, upper : float
            1 − 2^(−b).
        """
        ends = (self.exponent, self.exponent_lower, self.exponent_upper)
        value, lower, upper = (1 - 2.0**-b for b in ends)
        return value, lower, upper

    def size_for(self, error: float) -> float | None:
        """Give the training-set size at which an error is expected.

        Parameters
        ----------
        error : float
            In the unit of the errors.

        Returns
        -------
        float or None
            None where errors do not fall, or more than 10^9 structures would be needed.
        """
        if self.exponent <= 0:
            return None
        n = float(np.exp(min(np.log(self.prefactor / error) / self.exponent, 100.0)))
        return n if n <= 1e9 else None


def fit_power_law(sizes: Sequence[int], errors: Sequence[float], confidence: float = 0.95) -> PowerLaw:
    """Fit a power law to held-out errors.

    Parameters
    ----------
    sizes : sequence of int
        Training-set sizes; the same size may occur several times (other seeds).
    errors : sequence of float
        Errors above 0, such as the RMSE of forces.
    confidence : float
        Of the intervals.

    Returns
    -------
    PowerLaw
        The fit; of the larger half of the sizes where a parabola that bends upwards is better than the line
        (F test at 5 %).

    Raises
    ------
    TrainingInputError
        Fewer than four sizes, or an error that is not above 0.
    """
    n, e = np.asarray(sizes, dtype=float), np.asarray(errors, dtype=float)
    if (n_sizes := len(np.unique(n))) < MINIMUM_SIZES:
        raise TrainingInputError(
            f"a learning curve needs at least {MINIMUM_SIZES} training-set sizes; there are {n_sizes}"
        )
    if not (np.isfinite(e).all() and (e > 0).all() and (n > 0).all()):
        raise TrainingInputError("a learning curve needs sizes and errors above 0")
    x, y = np.log(n), np.log(e)
    levels_off = _levels_off(x, y)
    if levels_off:
        kept = n >= np.sort(np.unique(n))[len(np.unique(n)) // 2 - 1]
        x, y = x[kept], y[kept]
    return _line(x, y, int(n.max()), levels_off, confidence)


def _line(x: FloatArray, y: FloatArray, largest: int, levels_off: bool, confidence: float) -> PowerLaw:
    center = float(x.mean())
    spread = float(((x - center) ** 2).sum())
    slope = float(((x - center) * (y - y.mean())).sum() / spread)
    residuals = y - y.mean() - slope * (x - center)
    freedom = len(x) - 2
    variance = float((residuals**2).sum() / freedom)
    quantile = float(stats.t.ppf(0.5 + confidence / 2, freedom))
    half = quantile * np.sqrt(variance / spread)
    return PowerLaw(
        exponent=-slope,
        exponent_lower=float(-slope - half),
        exponent_upper=float(-slope + half),
        prefactor=float(np.exp(y.mean() - slope * center)),
        largest_size=largest,
        n_points=len(x),
        levels_off=levels_off,
        confidence=confidence,
        center=center,
        log_error_at_center=float(y.mean()),
        variance_of_mean=variance / len(x),
        variance_of_slope=variance / spread,
        quantile=quantile,
    )


def _levels_off(x: FloatArray, y: FloatArray) -> bool:
    """Whether a parabola in the logarithms bends upwards and is better than the line by an F test."""
    n_sizes = len(np.unique(x))
    if n_sizes < MINIMUM_SIZES + 2 or len(x) < MINIMUM_SIZES + 2:
        return False  # a half of fewer sizes would be no fit
    line, parabola = np.polyfit(x, y, 1), np.polyfit(x, y, 2)
    of_line = float(((y - np.polyval(line, x)) ** 2).sum())
    of_parabola = float(((y - np.polyval(parabola, x)) ** 2).sum())
    freedom = len(x) - 3
    if parabola[0] <= 0 or of_line < _EXACT * len(x):
        return False
    ratio = (of_line - of_parabola) / max(of_parabola / freedom, 1e-300)
    return bool(stats.f.sf(ratio, 1, freedom) < _CURVED)


@dataclass(frozen=True)
class DataJudgement:
    """Whether there is enough data, and why."""

    verdict: DataVerdict
    reasons: tuple[str, ...]


def judge_data(law: PowerLaw, tolerance: float, target: float | None = None, unit: str = "") -> DataJudgement:
    """Judge whether more labels would help.

    Parameters
    ----------
    law : PowerLaw
        The fit.
    tolerance : float
        Doubling the data is not worth it when it removes less than this share of the error.
    target : float, optional
        Error that is good enough, in the unit of the errors.
    unit : str
        Of the errors, for the reasons.

    Returns
    -------
    DataJudgement
        ``enough``: the target is reached, or doubling would remove less than the tolerance, at the confidence
        of the fit. ``more_data_needed``: neither, at the same confidence. ``undecided`` between the two.
    """
    gain, low, high = law.gain_of_doubling()
    now, now_low, now_high = law.at(law.largest_size)
    doubling = (
        f"twice the data would remove {100 * gain:.0f} % of the error ({100 * low:.0f} to {100 * high:.0f} %)"
    )
    if target is not None:
        interval = f"({now_low:.3g} to {now_high:.3g})"
        aim = f"the error at {law.largest_size} structures is {now:.3g} {unit} {interval}"
        if now_high <= target:
            return DataJudgement("enough", (f"{aim}, below the target {target:g}", doubling))
        if now_low > target:
            needed = law.size_for(target)
            way = f"about {needed:.0f} structures would reach it" if needed else "more data will not reach it"
            return DataJudgement("more_data_needed", (f"{aim}, above the target {target:g}", way, doubling))
        return DataJudgement("undecided", (f"{aim}; the target {target:g} lies within", doubling))
    if high < tolerance:
        return DataJudgement("enough", (f"{doubling}, less than {100 * tolerance:g} %",))
    if low > tolerance:
        return DataJudgement("more_data_needed", (f"{doubling}, more than {100 * tolerance:g} %",))
    return DataJudgement("undecided", (f"{doubling}; {100 * tolerance:g} % lies within",))
