"""Windowed statistics and the covariance of overlapping windows, against brute force and exact walks."""

import numpy as np
import pytest

from sse_screen.transport.displacement_statistics import (
    geometric_lags,
    lag_statistics,
    pooled_curve,
    window_overlaps,
)


def brownian(n_pieces, n_frames, n_ions, seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(n_pieces, n_frames, n_ions, 3)), axis=1)


def test_statistics_equal_the_windows_counted_one_by_one():
    pieces = [brownian(1, 30, 2)[0], brownian(1, 12, 3, seed=1)[0]]
    statistics = lag_statistics(pieces, 0.5, np.array([1, 4, 20]))
    for row, lag in enumerate((1, 4, 20)):
        steps = np.concatenate([(p[lag:] - p[:-lag]).reshape(-1, 3) for p in pieces if len(p) > lag])
        np.testing.assert_allclose(statistics.tensor_A2[row], steps.T @ steps / len(steps))
        if lag < 8:  # longer lags leave out windows that overlap by more than three quarters
            np.testing.assert_allclose(statistics.variance_A4[row], (steps**2).sum(-1).var())
    np.testing.assert_allclose(statistics.times_ps, [0.5, 2, 10])
    np.testing.assert_allclose(pooled_curve(pieces, np.array([1, 4, 20])), statistics.msd_A2)
    assert statistics.ion_time_ps == pytest.approx(0.5 * (2 * 29 + 3 * 11))


def test_overlap_integrals_equal_sums_over_all_pairs_of_windows():
    """The continuous integrals are the sums over windows in the limit of fine frames."""
    frames, lags = 400, np.array([20, 90, 250])
    statistics = lag_statistics([brownian(1, frames, 1)[0]], 1.0, lags)
    overlaps = window_overlaps(statistics)
    for i, a in enumerate(lags):
        for j, b in enumerate(lags):
            s1, s2 = np.meshgrid(np.arange(frames - a), np.arange(frames - b), indexing="ij")
            overlap = np.clip(np.minimum(s1 + a, s2 + b) - np.maximum(s1, s2), 0, None)
            assert overlaps.first[i, j] == pytest.approx(overlap.mean(), rel=2e-3)
            assert overlaps.second[i, j] == pytest.approx((overlap**2.0).mean(), rel=6e-3)


def test_covariance_of_a_brownian_walk_is_the_predicted_one():
    """2/d m² ∬overlap² is the covariance of the windowed curve: 4000 walks of 60 frames, two pieces each."""
    lags = np.array([1, 5, 15, 40])
    walks = brownian(4000, 60, 2, seed=3)
    halves = [walks[:, :, :1], walks[:, :45, 1:]]
    curves = []
    for index in range(len(walks)):
        statistics = lag_statistics([half[index] for half in halves], 1.0, lags)
        curves.append(statistics.msd_A2)
    curves = np.array(curves)
    np.testing.assert_allclose(curves.mean(axis=0), 3 * lags, rtol=0.03)
    # A discrete walk has no overlap within a frame: the continuous form is compared from lag 5 on.
    predicted = 2 / 3 * 3.0**2 * window_overlaps(statistics).second
    np.testing.assert_allclose(np.cov(curves.T)[1:, 1:], predicted[1:, 1:], rtol=0.12)


def test_pieces_shorter_than_a_lag_are_left_out_of_it():
    pieces = [brownian(1, 50, 2)[0], brownian(1, 10, 2, seed=1)[0]]
    lags = np.array([2, 30])
    both, long = lag_statistics(pieces, 1.0, lags), lag_statistics(pieces[:1], 1.0, lags)
    assert both.msd_A2[1] == long.msd_A2[1]
    assert window_overlaps(both).second[1, 1] == pytest.approx(window_overlaps(long).second[1, 1])


def test_lags_are_geometric_and_end_at_the_fraction():
    lags = geometric_lags(1001)
    assert lags[0] == 1
    assert lags[-1] == 700
    assert len(lags) <= 60
    assert geometric_lags(2).tolist() == [1]


def test_projected_statistics_are_those_of_the_projected_walk():
    walk = brownian(1, 200, 5)[0] * np.array([1.0, 2.0, 0.5])
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 2)))[0].T
    projector = basis.T @ basis
    whole = lag_statistics([walk], 1.0).projected(projector)
    part = lag_statistics([walk @ projector], 1.0)
    np.testing.assert_allclose(whole.tensor_A2, part.tensor_A2, atol=1e-9)
    np.testing.assert_allclose(whole.fourth_A4, part.fourth_A4, rtol=1e-9, atol=1e-9)
