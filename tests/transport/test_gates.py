"""Outcomes of single tests."""

import numpy as np
import pytest

from sse_screen.transport.gates import MINIMUM_JUMPS, lower_end_of_selected, regime_gates, sampling_gates
from sse_screen.transport.line_fit import SlopeFit
from sse_screen.transport.start_scan import StartScan

SCAN = StartScan(SlopeFit(0, 1.0, 0.0, 0.01, 10.0, 10), 0.01, (), (), (), True, 0.0)


@pytest.mark.parametrize(
    ("alpha", "error", "outcome"),
    [
        (1.0, 0.03, "passed"),
        (0.86, 0.04, "warning"),
        (1.14, 0.04, "warning"),
        (1.0, 0.3, "warning"),
        (0.86, 0.01, "failed"),
        (0.6, 0.3, "failed"),
    ],
)
def test_local_exponent_outside_its_band_is_told_even_within_its_error(alpha, error, outcome):
    gate = regime_gates(alpha, error, SCAN)[0]
    assert gate.outcome == outcome
    assert bool(gate.message) == (outcome != "passed")


def test_a_small_share_of_guessed_images_is_not_called_nothing():
    (gate,) = sampling_gates(1.5e-5)
    assert gate.outcome == "warning"
    assert gate.message.startswith("0.0015 % of the steps")


@pytest.mark.parametrize("mean_jumps", [35, 45, 60, 100])
def test_the_lower_end_holds_for_those_runs_that_are_reported(mean_jumps):
    """Of log-normal numbers of jumps, only those that are certain to reach the least number are shown."""
    error, generator = 0.25, np.random.default_rng(3)
    found = np.exp(np.log(mean_jumps) + error * generator.standard_normal(40_000))
    shown = found[found * np.exp(-1.96 * error) >= MINIMUM_JUMPS][:2000]
    beyond = np.mean([lower_end_of_selected(jumps, error, 0.95) > mean_jumps for jumps in shown])
    assert beyond == pytest.approx(0.025, abs=4 * np.sqrt(0.025 / len(shown)))
    ordinary = np.mean(shown * np.exp(-1.96 * error) > mean_jumps)
    assert mean_jumps > 50 or ordinary > 0.04  # what it would be without


def test_far_above_the_least_number_the_lower_end_is_the_ordinary_one():
    assert lower_end_of_selected(1000, 0.1, 0.95) == pytest.approx(1000 * np.exp(-0.1959964), rel=1e-4)
    assert 0 < lower_end_of_selected(30 * np.exp(1.96 * 0.25), 0.25, 0.95) < 1
