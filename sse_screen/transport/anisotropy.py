"""Diffusivity tensor, and diffusivities within crystal planes and along crystal axes."""

from dataclasses import replace

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from pydantic import Field

from sse_screen.documents.base import Document, Quantity, Verdict
from sse_screen.transport.diffusivity import A2_PER_PS, Fitted, quantity, slope_at_start, upper_limit
from sse_screen.transport.ensemble import Ensemble
from sse_screen.transport.line_fit import slope_weights

FloatArray = NDArray[np.float64]

_UNIT = "cm2/s"
# Of ln D: its 95 % interval spans a factor of fifty already.
_LARGEST_LOG_ERROR = 1.0
AXES = {"a": (0,), "b": (1,), "c": (2,)}
PLANES = {"ab": (0, 1), "bc": (1, 2), "ac": (0, 2)}


class DiffusivityTensor(Document):
    """Tracer diffusivity tensor and its projections on crystal axes and planes."""

    verdict: Verdict = Field("ok", description="unresolved where the tracer diffusivity is no diffusivity")
    tensor_cm2_per_s: list[list[float]] = Field(
        description="Cartesian tensor; a third of its trace is the tracer diffusivity",
        json_schema_extra={"unit": "cm2/s"},
    )
    principal: list[Quantity] = Field(description="Eigenvalues, largest first")
    principal_axes: list[list[float]] = Field(description="Unit eigenvectors (Cartesian), one row each")
    principal_axes_error_degrees: list[float] = Field(
        description="Standard error of the direction of each; 90 when two values cannot be told apart",
        json_schema_extra={"unit": "degree"},
    )
    anisotropy_p_value: float = Field(
        description="Probability of eigenvalues this different in an isotropic walk"
    )
    axial: dict[str, Quantity] = Field(description="Along the lattice vectors a, b, c")
    planar: dict[str, Quantity] = Field(description="Within the planes ab, bc, ac")

    def no_better_than(self, tracer: Quantity) -> "DiffusivityTensor":
        """Return the tensor with verdicts no better than that of the tracer diffusivity.

        Parameters
        ----------
        tracer : Quantity
            Tracer diffusivity as judged.
        """
        if tracer.verdict == "diffusive":
            return self
        reason = f"the tracer diffusivity is {tracer.verdict}"

        def judged(found: Quantity) -> Quantity:
            """Return a quantity without its value where the tracer's has none."""
            if found.verdict not in ("ok", "diffusive") and tracer.verdict != "refused":
                return found
            return found.unresolved(reason)

        return self.model_copy(
            update={
                "verdict": "unresolved",
                "principal": [judged(value) for value in self.principal],
                "axial": {name: judged(value) for name, value in self.axial.items()},
                "planar": {name: judged(value) for name, value in self.planar.items()},
            }
        )


def projected_diffusivity(fitted: Fitted, directions: FloatArray, confidence: float = 0.95) -> Quantity:
    """Return the diffusivity within the space spanned by some directions.

    Parameters
    ----------
    fitted : Fitted
        Statistics and fit of the whole displacement, whose start and start dependence the projection shares.
    directions : numpy.ndarray
        One to three independent vectors, shape (n, 3), not necessarily orthogonal.
    confidence : float
        Probability of the interval.

    Returns
    -------
    Quantity
        An upper limit where the slope in these directions cannot be told from zero.
    """
    none = {"unit": _UNIT, "confidence": confidence, "value": None, "lower": None, "upper": None}
    if fitted.scan is None:
        return Quantity(**none, verdict="refused", reasons=["no slope of the whole displacement"])
    basis = np.linalg.qr(np.asarray(directions, dtype=float).T)[0].T
    statistics = fitted.statistics.projected(basis.T @ basis)
    start_ps = float(fitted.statistics.times_ps[fitted.scan.fit.start])
    slope, error = slope_at_start(statistics, start_ps, fitted.ordinary) or (0.0, np.inf)
    extra = max(fitted.scan.log_variance - fitted.scan.fit.log_variance, 0.0)
    total = float(np.hypot(error, np.sqrt(extra)))
    if total > _LARGEST_LOG_ERROR:
        projected = replace(fitted, statistics=statistics, scan=None, model=None)
        limit = upper_limit(projected, confidence, len(basis))
        reason = "the slope in this direction cannot be told from zero"
        found = none | {"lower": 0.0, "upper": limit}
        return Quantity(**found, verdict="upper_limit", reasons=[reason])
    return quantity(slope / (2 * len(basis)) * A2_PER_PS, total, _UNIT, confidence)


def diffusivity_tensor(
    ensemble: Ensemble, fitted: Fitted, confidence: float = 0.95
) -> DiffusivityTensor | None:
    """Return the tensor with eigenvectors, and planar and axial diffusivities in crystal axes.

    The slope of every Cartesian component is taken with the weights of the fit to the trace, so that the
    trace of the tensor is three times the tracer diffusivity. The interval of each eigenvalue is that of the
    one-dimensional walk along its axis. To first order the axes i and j turn into one another by
    s(D_ij)/|D_i − D_j| with s(D_ij)² = s(D_i) s(D_j)/2.

    Parameters
    ----------
    ensemble : Ensemble
        The mean cell.
    fitted : Fitted
        The fit to the trace.
    confidence : float
        Probability of the intervals.

    Returns
    -------
    DiffusivityTensor or None
        None if no slope could be fitted.
    """
    scan, model, statistics = fitted.scan, fitted.model, fitted.statistics
    if scan is None or model is None:
        return None
    weights = slope_weights(statistics, fitted.overlaps, model, scan.fit, fitted.ordinary)
    tensor = np.einsum("l,lxy->xy", weights, statistics.tensor_A2[scan.fit.start :]) / 2 * A2_PER_PS
    tensor = (tensor + tensor.T) / 2
    values, vectors = np.linalg.eigh(tensor)
    order = np.argsort(values)[::-1]
    values, axes = values[order], vectors[:, order].T

    def along(directions: FloatArray) -> Quantity:
        """Return the diffusivity in the span of some directions."""
        return projected_diffusivity(fitted, directions, confidence)

    principal = [along(axis[None]) for axis in axes]
    errors = np.array([_standard_error(item, value) for item, value in zip(principal, values, strict=True)])
    cell = ensemble.cell_A
    return DiffusivityTensor(
        tensor_cm2_per_s=tensor.tolist(),
        principal=principal,
        principal_axes=axes.tolist(),
        principal_axes_error_degrees=_axis_errors(values, errors).tolist(),
        anisotropy_p_value=_anisotropy_p_value(values, errors),
        axial={name: along(cell[list(rows)]) for name, rows in AXES.items()},
        planar={name: along(cell[list(rows)]) for name, rows in PLANES.items()},
    )


def _standard_error(found: Quantity, value: float) -> float:
    """Return the standard error of an eigenvalue from its interval (all of it if there is none)."""
    if found.lower is None or found.upper is None or found.lower <= 0:
        return abs(value)
    z = float(scipy.stats.norm.ppf(0.5 + found.confidence / 2))
    return abs(value) * float(np.log(found.upper / found.lower)) / (2 * z)


def _axis_errors(values: FloatArray, errors: FloatArray) -> FloatArray:
    """Return the angle in degrees by which each principal axis is uncertain."""
    angles = np.zeros(3)
    for i in range(3):
        for j in range(3):
            if i != j:
                mixed = np.sqrt(errors[i] * errors[j] / 2)
                angles[i] += (mixed / max(abs(values[i] - values[j]), 1e-300)) ** 2
    return np.minimum(np.degrees(np.sqrt(angles)), 90.0)


def _anisotropy_p_value(values: FloatArray, errors: FloatArray) -> float:
    """Return the probability of such a spread of eigenvalues in an isotropic walk.

    The trace-free part of a symmetric tensor has five components, each of variance s(D)²/2 off the diagonal;
    2 Σ (D_i − D)²/ (2 s²) counts them through the invariant Σ (D_i − D)² (χ² with five degrees of freedom).
    """
    mean = float(values.mean())
    relative = float(np.mean(errors / np.maximum(np.abs(values), 1e-300)))
    statistic = float(np.sum((values - mean) ** 2)) / (relative * mean) ** 2 if mean > 0 else 0.0
    return float(scipy.stats.chi2.sf(statistic, 5))
