"""Generalised least squares of the mean squared displacement on time, with its start chosen from the data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from sse_screen.transport.displacement_statistics import LagStatistics, WindowOverlaps

FloatArray = NDArray[np.float64]

_ITERATIONS = 5
_VIBRATION_FRAMES = 3.0
# Joint standard errors within which an early start agrees; set on walks with known diffusivity.
_AGREEMENT = 1.5
# Part of the squared disagreement of later starts that the fit's own variance already stands for.
_EXPECTED_DISAGREEMENT = 0.3


@dataclass(frozen=True)
class SlopeFit:
    """Line y = intercept + slope·t through the mean squared displacement from one start on.

    Parameters
    ----------
    start : int
        Index of the first lag used.
    slope, intercept : float
        In Å²/ps and Å².
    log_variance : float
        Variance of ln(slope) from the model covariance.
    chi_squared : float
        Generalised sum of squares of the residuals.
    degrees_of_freedom : int
        Number of lags less two.
    """

    start: int
    slope: float
    intercept: float
    log_variance: float
    chi_squared: float
    degrees_of_freedom: int

    @property
    def log_error(self) -> float:
        """Standard error of ln(slope)."""
        return float(np.sqrt(self.log_variance))


@dataclass(frozen=True, eq=False)
class DisplacementModel:
    """Second-order description of the noise of a mean squared displacement curve.

    Parameters
    ----------
    values_A2 : numpy.ndarray
        Mean squared displacement (or its projection) at the lags, shape (n_lags,).
    gaussian : float
        Variance of the squared displacement of a Gaussian walk over its squared mean: 2/d if isotropic.
    hop_excess_A2 : float
        Excess of that variance over the Gaussian one per mean squared displacement: the effective squared
        hop length.
    """

    values_A2: FloatArray
    gaussian: float
    hop_excess_A2: float


def describe(statistics: LagStatistics, overlaps: WindowOverlaps, start: int) -> DisplacementModel:
    """Return the noise description of the full mean squared displacement from the lags after `start`.

    κ = Σ n y (v − γ y²) / Σ n y² with n the number of independent windows; γ = 2 tr M²/(tr M)² of the
    displacement tensor M. The sample variance v misses the variance of the mean itself, which is added.
    """
    values, lags = statistics.msd_A2, slice(start, None)
    tensor = statistics.tensor_A2[lags]
    weight = 1.0 / statistics.times_ps[lags]
    share = tensor / np.maximum(values[lags], 1e-300)[:, None, None]
    mean_share = np.einsum("l,lxy->xy", weight / weight.sum(), share)
    gaussian = float(np.clip(2 * np.trace(mean_share @ mean_share), 2 / 3, 2.0))
    y, v = values[lags], statistics.variance_A4[lags]
    weight = weight / np.maximum(y, 1e-12) ** 2
    spread = gaussian * np.diag(overlaps.second)[lags] * (y / statistics.times_ps[lags]) ** 2
    excess = float((weight * y * (v + spread - gaussian * y**2)).sum() / max((weight * y**2).sum(), 1e-300))
    return DisplacementModel(values, gaussian, max(excess, 0.0))


def model_covariance(
    statistics: LagStatistics, overlaps: WindowOverlaps, model: DisplacementModel, fit: SlopeFit
) -> FloatArray:
    """Return the covariance in Å⁴ of the curve from the start of `fit` on, given its slope and intercept.

    κ m ∬overlap + γ m² ∬overlap² over the pairs of windows (hops and diffusion) plus
    δ_ij g (γ c² + 2 γ c m t_i) / n_i (vibration, g its correlation time in frames, n_i windows).
    """
    lags = slice(fit.start, None)
    t, y = statistics.times_ps[lags], model.values_A2[lags]
    per_piece = zip(statistics.ions, statistics.frames, strict=True)
    windows = sum(ions * np.maximum(frames - statistics.lags[lags], 0) for ions, frames in per_piece)
    c = max(fit.intercept, 1e-3 * float(y[0]))
    noise = _VIBRATION_FRAMES * model.gaussian * (c**2 + 2 * c * fit.slope * t) / windows
    covariance = model.hop_excess_A2 * fit.slope * overlaps.first[lags, lags]
    covariance += model.gaussian * fit.slope**2 * overlaps.second[lags, lags]
    # A part in 10⁹ keeps the Cholesky factor of nearly equal lags.
    covariance[np.diag_indices_from(covariance)] += noise + 1e-9 * np.diag(covariance) + 1e-30
    return covariance


def fit_slope(
    statistics: LagStatistics,
    overlaps: WindowOverlaps,
    model: DisplacementModel,
    start: int,
    ordinary: bool = False,
) -> SlopeFit | None:
    """Fit y = c + m t from lag index `start` on, with `model_covariance` iterated to its own result.

    Parameters
    ----------
    statistics, overlaps, model
        Curve, window overlaps and noise description.
    start : int
        Index of the first lag used.
    ordinary : bool
        Weigh all lags the same; the variance still comes from `model_covariance`.

    Returns
    -------
    SlopeFit or None
        None if fewer than three lags are left or the slope is not positive.
    """
    lags = slice(start, None)
    t, y = statistics.times_ps[lags], model.values_A2[lags]
    if len(t) < 3:
        return None
    design = np.stack([np.ones_like(t), t], axis=1)
    slope, intercept = max(float(y[-1] / t[-1]), 1e-12), 0.0
    for _ in range(_ITERATIONS):
        draft = SlopeFit(start, slope, intercept, 0.0, 0.0, 0)
        covariance = model_covariance(statistics, overlaps, model, draft)
        try:
            factor = cho_factor(covariance, lower=True)
        except LinAlgError:
            return None
        weighted = design if ordinary else cho_solve(factor, design)
        solver = np.linalg.inv(design.T @ weighted) @ weighted.T
        intercept, fitted = (float(x) for x in solver @ y)
        if not fitted > 0:
            return None
        slope = fitted
    residual = y - design @ np.array([intercept, slope])
    chi_squared = float(residual @ cho_solve(factor, residual))
    log_variance = float(solver[1] @ covariance @ solver[1]) / slope**2
    return SlopeFit(start, slope, intercept, log_variance, chi_squared, len(t) - 2)


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
    """

    fit: SlopeFit
    log_variance: float
    starts_ps: tuple[float, ...]
    slopes: tuple[float, ...]
    log_errors: tuple[float, ...]
    early_agrees: bool
    largest_deviation: float


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
    down to one squared hop. Squared disagreement of later starts beyond 0.3 of its variance is added.

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
    return _scan(statistics, overlaps, model, chosen, (earliest, last), agrees), model


def _choose(
    statistics: LagStatistics, overlaps: WindowOverlaps, model: DisplacementModel, square: float, last: int
) -> tuple[SlopeFit, int, bool] | None:
    """Return the chosen fit, the earliest start considered, and whether an early start agrees."""
    curve, times = np.maximum.accumulate(statistics.msd_A2), statistics.times_ps

    def first_reaching(level: float) -> int:
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


def slope_weights(
    statistics: LagStatistics,
    overlaps: WindowOverlaps,
    model: DisplacementModel,
    fit: SlopeFit,
    ordinary: bool = False,
) -> FloatArray:
    """Return the weights w with slope = Σ w_i y_i over the lags from the start of `fit` on."""
    t = statistics.times_ps[fit.start :]
    design = np.stack([np.ones_like(t), t], axis=1)
    weighted = np.asarray(design, dtype=np.float64)
    if not ordinary:
        covariance = model_covariance(statistics, overlaps, model, fit)
        weighted = np.asarray(np.linalg.solve(covariance, design), dtype=np.float64)
    return np.asarray((np.linalg.inv(design.T @ weighted) @ weighted.T)[1])
