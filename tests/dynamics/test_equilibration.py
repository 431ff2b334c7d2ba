"""Equilibration found in synthetic series whose correlation and transient are known exactly."""

import numpy as np
import pytest

from sse_screen.dynamics.equilibration import (
    detect_equilibration,
    equilibrate_together,
    statistical_inefficiency,
)


def autoregressive(phi, n, seed):
    """x(t+1) = phi x(t) + noise, stationary from its first value; variance 1/(1 - phi²)."""
    rng = np.random.default_rng(seed)
    values = np.empty(n)
    values[0] = rng.normal() / np.sqrt(1 - phi**2)
    for i in range(1, n):
        values[i] = phi * values[i - 1] + rng.normal()
    return values


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_inefficiency_of_an_autoregressive_series_is_the_exact_one(phi):
    found = np.mean([statistical_inefficiency(autoregressive(phi, 20_000, seed)) for seed in range(5)])
    assert found == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_a_stationary_series_is_kept_nearly_whole(seed):
    found = detect_equilibration(autoregressive(0.8, 4000, seed))
    assert found.start <= 0.15 * 4000
    assert found.stationary
    assert found.n_effective == pytest.approx(4000 / 9, rel=0.35)


@pytest.mark.parametrize("seed", range(6))
def test_a_transient_is_dropped(seed):
    n, decay = 4000, 200
    transient = 15 * np.exp(-np.arange(n) / decay)
    found = detect_equilibration(autoregressive(0.8, n, seed) + transient)
    assert 15 * np.exp(-found.start / decay) < 2 * 1.7  # it has sunk into the noise of 1.7
    assert found.start <= 8 * decay


def test_a_steady_drift_is_never_stationary():
    found = detect_equilibration(autoregressive(0.5, 3000, 1) + np.linspace(0, 30, 3000))
    assert not found.stationary


@pytest.mark.parametrize("values", [np.ones(500), np.zeros(3), np.array([])])
def test_constant_and_short_series_are_taken_as_they_are(values):
    found = detect_equilibration(values)
    assert found.start == 0
    assert found.statistical_inefficiency == 1.0


def test_of_several_series_the_slowest_counts():
    quick = autoregressive(0.5, 2000, 1)
    slow = quick + 20 * np.exp(-np.arange(2000) / 150)
    assert equilibrate_together([quick, slow]) == detect_equilibration(slow)


def test_it_agrees_with_the_definition_written_out():
    values = autoregressive(0.7, 400, 9)
    centred = values - values.mean()
    total = 1.0
    for lag in range(1, 399):
        correlation = np.sum(centred[:-lag] * centred[lag:]) / ((400 - lag) * centred.var())
        if correlation <= 0:
            break
        total += 2 * correlation * (1 - lag / 400)
    assert statistical_inefficiency(values) == pytest.approx(max(total, 1.0), rel=1e-9)
