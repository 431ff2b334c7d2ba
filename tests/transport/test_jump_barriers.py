"""Barriers of counted jumps against exact values, an independent regression and known rates."""

import numpy as np
import pytest
import scipy.optimize
from ase.units import kB
from scipy.stats import chi2

from sse_screen.exceptions import InputError
from sse_screen.transport.jump_barriers import SCATTER_SIGNIFICANCE, BarrierFit, barrier_from_rates
from sse_screen.transport.jump_statistics import Estimate

FREQUENCY_THz = 5.0


def expected_counts(barrier_eV: float, temperatures: np.ndarray, exposure_ps: float) -> np.ndarray:
    return exposure_ps * FREQUENCY_THz * np.exp(-barrier_eV / (kB * temperatures))


def test_barrier_of_exact_rates_is_exact() -> None:
    temperatures = np.array([600.0, 800.0, 1000.0])
    counts = expected_counts(0.25, temperatures, 1e8)
    found = barrier_from_rates(temperatures, np.rint(counts).astype(int), np.full(3, 1e8))
    assert found.barrier_eV.value == pytest.approx(0.25, abs=1e-5)
    assert found.attempt_frequency_THz.value == pytest.approx(FREQUENCY_THz, rel=1e-4)
    assert found.barrier_eV.lower < 0.25 < found.barrier_eV.upper
    assert found.attempt_frequency_THz.lower < FREQUENCY_THz < found.attempt_frequency_THz.upper
    assert found.scatter_p_value == pytest.approx(1.0, abs=1e-3)


def test_both_intervals_are_those_of_the_likelihood_of_a_poisson_regression() -> None:
    """Against a plain minimisation over both parameters with one of them held at the end of its interval."""
    temperatures, exposures = np.array([500.0, 700.0, 900.0]), np.array([900.0, 500.0, 300.0])
    counts = np.array([2, 30, 90])
    found = barrier_from_rates(temperatures, counts, exposures)

    def loss(barrier: float, log_attempt: float) -> float:
        expected = exposures * np.exp(log_attempt - barrier / (kB * temperatures))
        return float(np.sum(expected - counts * np.log(expected)))

    def minimum(objective, start) -> float:
        return float(scipy.optimize.minimize(objective, start, method="Nelder-Mead", tol=1e-12).fun)

    barrier, attempt = found.barrier_eV, found.attempt_frequency_THz
    start = [barrier.value, np.log(attempt.value)]
    best = minimum(lambda x: loss(x[0], x[1]), start)
    assert loss(*start) == pytest.approx(best, abs=1e-6)
    for end in (barrier.lower, barrier.upper):
        fallen = minimum(lambda x, end=end: loss(end, x[0]), start[1:])
        assert 2 * (fallen - best) == pytest.approx(chi2.ppf(0.95, 1), abs=1e-4)
    for end in (attempt.lower, attempt.upper):
        fallen = minimum(lambda x, end=end: loss(x[0], np.log(end)), start[:1])
        assert 2 * (fallen - best) == pytest.approx(chi2.ppf(0.95, 1), abs=1e-4)


def test_intervals_cover_with_few_counts_and_zeros_and_true_lines_are_seldom_doubted() -> None:
    rng = np.random.default_rng(8)
    temperatures = np.array([500.0, 700.0, 900.0, 1100.0])
    mean = expected_counts(0.4, temperatures, 500.0)
    assert mean[0] < 0.5
    found = [barrier_from_rates(temperatures, rng.poisson(mean), np.full(4, 500.0)) for _ in range(300)]
    covered = [fit.barrier_eV.lower <= 0.4 <= fit.barrier_eV.upper for fit in found]
    assert 0.92 <= np.mean(covered) <= 0.985
    attempts = [fit.attempt_frequency_THz for fit in found]
    assert 0.92 <= np.mean([a.lower <= FREQUENCY_THz <= a.upper for a in attempts]) <= 0.985
    doubted = [fit.scatter_p_value < SCATTER_SIGNIFICANCE for fit in found]
    assert np.mean(doubted) <= 0.03


def test_rates_of_two_mechanisms_do_not_follow_one_line() -> None:
    temperatures = np.array([500.0, 600.0, 800.0, 1000.0])
    counts = expected_counts(0.1, temperatures, 100.0)
    counts[2:] += 1e3 * expected_counts(0.6, temperatures, 100.0)[2:]
    found = barrier_from_rates(temperatures, np.rint(counts).astype(int), np.full(4, 100.0))
    assert found.scatter_p_value < 1e-6
    # Twice as many of the same counts know no more about a line that is not theirs.
    twice = barrier_from_rates(temperatures, 2 * np.rint(counts).astype(int), np.full(4, 200.0))
    widths = [fit.barrier_eV.upper - fit.barrier_eV.lower for fit in (found, twice)]
    assert widths[1] == pytest.approx(widths[0], rel=0.02)


def test_jumps_at_one_temperature_alone_bound_the_barrier_on_one_side() -> None:
    temperatures, exposure = np.array([600.0, 900.0]), np.full(2, 1000.0)
    found = barrier_from_rates(temperatures, np.array([0, 20]), exposure)
    barrier = found.barrier_eV
    assert barrier.value is None
    assert found.attempt_frequency_THz == Estimate(None, 0.0, np.inf)
    assert found.scatter_p_value is None
    assert 0 < barrier.lower < np.inf
    assert barrier.upper == np.inf
    # At the bound the likelihood of 20 of 20 jumps at the high temperature has fallen by 1.92.
    ratio = np.exp(-barrier.lower / kB * (1 / 600 - 1 / 900))
    assert 20 * np.log1p(ratio) == pytest.approx(1.9207, abs=1e-3)
    falling = barrier_from_rates(temperatures, np.array([20, 0]), exposure).barrier_eV
    assert falling.lower == -np.inf
    assert falling.upper == pytest.approx(-barrier.lower)
    nothing = barrier_from_rates(temperatures, np.array([0, 0]), exposure)
    assert nothing == BarrierFit(Estimate(None, -np.inf, np.inf), Estimate(None, 0.0, np.inf), None)
    with pytest.raises(InputError, match="two or more"):
        barrier_from_rates(np.array([600.0, 600.0]), np.array([1, 2]), exposure)
