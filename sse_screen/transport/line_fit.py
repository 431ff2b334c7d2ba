"""Generalised least squares of the mean squared displacement on time, from a given start."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from sse_screen.transport.displacement_statistics import LagStatistics, WindowOverlaps

FloatArray = NDArray[np.float64]

_ITERATIONS = 5
_VIBRATION_FRAMES = 3.0


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
    intercept_error : float
        Standard error of the intercept in Å².
    """

    start: int
    slope: float
    intercept: float
    log_variance: float
    chi_squared: float
    degrees_of_freedom: int
    intercept_error: float = 0.0

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

    κ m ∬overlap + γ m² ∬overlap² over the pairs of windows (hops and diffusion), times the number of ions
    that move together, plus
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
    covariance *= statistics.concerted_ions
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
    variance = solver @ covariance @ solver.T
    return SlopeFit(
        start=start,
        slope=slope,
        intercept=intercept,
        log_variance=float(variance[1, 1]) / slope**2,
        chi_squared=chi_squared,
        degrees_of_freedom=len(t) - 2,
        intercept_error=float(np.sqrt(variance[0, 0])),
    )


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
