"""Outcomes of single tests."""

import pytest

from sse_screen.transport.gates import regime_gates, sampling_gates
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
