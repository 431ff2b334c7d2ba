"""Tensor, planes and axes on walks whose tensor is known."""

import numpy as np
import pytest

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.transport.anisotropy import diffusivity_tensor, projected_diffusivity
from sse_screen.transport.diffusivity import A2_PER_PS, fit_ensemble
from sse_screen.transport.ensemble import prepare_ensemble

FRAMES, IONS = 3000, 30


def rotation():
    return np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]


def ensemble_of(sigmas, frame, seed=0, cell=None):
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(FRAMES, IONS, 3)) * np.asarray(sigmas)
    walk = np.cumsum(steps, axis=0) @ frame
    framework = 0.1 * generator.normal(size=(FRAMES, 20, 3))
    positions = np.concatenate([walk, framework], axis=1)
    cell = np.eye(3) * 15 if cell is None else cell
    trajectory = Trajectory(
        positions, cell, ("Li",) * IONS + ("S",) * 20, 0.1 * np.arange(FRAMES), unwrapped=True
    )
    return prepare_ensemble([trajectory], "Li")


def test_eigenvectors_of_an_anisotropic_walk_within_their_errors():
    sigmas, frame = (0.4, 0.25, 0.1), rotation()
    ensemble = ensemble_of(sigmas, frame)
    found = diffusivity_tensor(ensemble, fit_ensemble(ensemble, hop_distance_A=2.0))
    for axis, true, error in zip(
        found.principal_axes, frame, found.principal_axes_error_degrees, strict=True
    ):
        angle = np.degrees(np.arccos(min(abs(np.dot(axis, true)), 1)))
        assert error < 10
        assert angle < 3 * error
    for value, sigma in zip(found.principal, sigmas, strict=True):
        truth = sigma**2 / 2 / 0.1 * A2_PER_PS
        assert value.lower * 0.97 < truth < value.upper * 1.03
    assert found.anisotropy_p_value < 1e-6


def test_trace_is_three_times_the_tracer_diffusivity():
    ensemble = ensemble_of((0.3, 0.2, 0.2), rotation())
    fitted = fit_ensemble(ensemble, hop_distance_A=2.0)
    found = diffusivity_tensor(ensemble, fitted)
    assert np.trace(found.tensor_cm2_per_s) / 3 == pytest.approx(fitted.scan.fit.slope / 6 * A2_PER_PS)


def test_an_isotropic_walk_is_not_called_anisotropic():
    p_values = []
    for seed in range(8):
        ensemble = ensemble_of((0.3, 0.3, 0.3), np.eye(3), seed)
        fitted = fit_ensemble(ensemble, hop_distance_A=2.0)
        p_values.append(diffusivity_tensor(ensemble, fitted).anisotropy_p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.25
    assert np.mean(np.array(p_values) > 0.5) >= 0.1


def test_planes_and_axes_are_those_of_the_crystal():
    """Fast along a, slow across; in a skewed cell b is not y."""
    cell = np.array([[15.0, 0, 0], [7.5, 13.0, 0], [0, 0, 20.0]])
    ensemble = ensemble_of((0.4, 0.1, 0.1), np.eye(3), cell=cell)
    found = diffusivity_tensor(ensemble, fit_ensemble(ensemble, hop_distance_A=2.0))
    fast, slow = (sigma**2 / 2 / 0.1 * A2_PER_PS for sigma in (0.4, 0.1))
    assert found.axial["a"].lower < fast < found.axial["a"].upper
    assert found.axial["c"].lower < slow < found.axial["c"].upper
    oblique = (7.5**2 * fast + 13.0**2 * slow) / (7.5**2 + 13.0**2)
    assert found.axial["b"].lower < oblique < found.axial["b"].upper
    assert found.planar["ab"].value == pytest.approx((fast + slow) / 2, rel=0.25)
    assert found.planar["bc"].lower < found.planar["ac"].value


def test_a_direction_without_motion_is_an_upper_limit():
    ensemble = ensemble_of((0.4, 0.1, 0.0), np.eye(3))
    found = projected_diffusivity(fit_ensemble(ensemble, hop_distance_A=2.0), np.eye(3)[2:])
    assert (found.verdict, found.value, found.lower) == ("upper_limit", None, 0.0)
    # 3.69 jumps of 2 Å that could have been missed, in one dimension
    assert found.upper == pytest.approx(3.69 * 4 / (2 * IONS * (FRAMES - 1) * 0.1) * A2_PER_PS, rel=0.01)


def test_a_slow_direction_is_held_by_its_interval_or_limit():
    """Planes of fast hops with one jump between them on average: the key number of a layered conductor."""
    n_frames, n_ions, hop_A, limits, missed = 1500, 24, 3.0, 0, 0
    truth = (1 / (n_ions * n_frames)) * hop_A**2 / 2 / 0.1 * A2_PER_PS
    for seed in range(60):
        generator = np.random.default_rng(seed)
        rates = np.array([200.0, 200.0, 1.0]) / (n_ions * n_frames)
        steps = generator.poisson(rates / 2, (n_frames, n_ions, 3)).astype(float)
        steps -= generator.poisson(rates / 2, (n_frames, n_ions, 3))
        walk = hop_A * np.cumsum(steps, axis=0) + generator.normal(0, 0.15, steps.shape)
        framework = generator.normal(0, 0.1, (n_frames, 20, 3))
        trajectory = Trajectory(
            np.concatenate([walk, framework], axis=1),
            np.eye(3) * 15,
            ("Li",) * n_ions + ("S",) * 20,
            0.1 * np.arange(n_frames),
            unwrapped=True,
        )
        fitted = fit_ensemble(prepare_ensemble([trajectory], "Li"), hop_distance_A=hop_A)
        found = projected_diffusivity(fitted, np.eye(3)[2:])
        limits += found.verdict == "upper_limit"
        missed += not found.lower < truth < found.upper
    assert limits >= 15
    assert missed <= 4
