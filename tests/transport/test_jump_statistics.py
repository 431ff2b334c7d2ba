"""Residence times, rates and correlation factor against exact values and known walks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from sse_screen.transport.jump_statistics import (
    Estimate,
    back_jump_fraction,
    binomial_interval,
    correlation_factor,
    jump_rates,
    kaplan_meier,
    poisson_interval,
    rate_estimate,
    residence_times,
)
from sse_screen.transport.jumps import Jumps, Visits, default_radii, find_visits, jumps_between
from sse_screen.transport.sites import SiteSet

AXES = np.concatenate([np.eye(3), -np.eye(3)]).astype(int)
SIZE = 4


def cubic_sites() -> SiteSet:
    points = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), -1).reshape(-1, 3) / SIZE
    return SiteSet(points, np.eye(3) * SIZE * 3.0, ("1a",) * len(points))


def walk(
    n_frames: int, n_ions: int, probability: float, back_jump: float | None = None, seed: int = 0
) -> tuple:
    """Visits and jumps of walkers that reverse their last jump with a probability (1/6 if independent)."""
    rng = np.random.default_rng(seed)
    moves = rng.random((n_frames, n_ions)) < probability
    moves[0] = False
    choice = rng.integers(0, 6, (n_frames, n_ions))
    undo = rng.random((n_frames, n_ions))
    position = rng.integers(0, SIZE, (n_ions, 3))
    last = rng.integers(0, 6, n_ions)
    frames = np.empty((n_frames, n_ions, 3))
    for t in range(n_frames):
        direction = choice[t]
        if back_jump is not None:
            reverse = (last + 3) % 6
            others = (reverse + 1 + rng.integers(0, 5, n_ions)) % 6
            direction = np.where(undo[t] < back_jump, reverse, others)
        position = position + AXES[direction] * moves[t][:, None]
        last = np.where(moves[t], direction, last)
        frames[t] = position
    sites = cubic_sites()
    visits, _ = find_visits(frames / SIZE, sites, default_radii(sites))
    return visits, jumps_between(visits, sites), sites


def test_poisson_interval_is_garwoods() -> None:
    # Garwood 1936: 0 counts 0 to 3.689; 1 count 0.0253 to 5.572; 10 counts 4.795 to 18.390.
    np.testing.assert_allclose(poisson_interval(0), (0, 3.6888794541), atol=1e-9)
    np.testing.assert_allclose(poisson_interval(1), (0.0253178, 5.5716434), atol=1e-6)
    np.testing.assert_allclose(poisson_interval(10), (4.7953889, 18.3903560), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 200), confidence=st.floats(0.5, 0.99))
def test_poisson_interval_ends_where_the_tails_are(count: int, confidence: float) -> None:
    lower, upper = poisson_interval(count, confidence)
    assert poisson.sf(count - 1, lower) == pytest.approx((1 - confidence) / 2)
    assert poisson.cdf(count, upper) == pytest.approx((1 - confidence) / 2)


def test_binomial_interval_is_clopper_pearsons() -> None:
    np.testing.assert_allclose(binomial_interval(0, 10), (0.0, 0.30849710), atol=1e-7)
    np.testing.assert_allclose(binomial_interval(10, 10), (0.69150290, 1.0), atol=1e-7)
    np.testing.assert_allclose(binomial_interval(5, 10), (0.18708603, 0.81291397), atol=1e-7)


def test_kaplan_meier_by_hand() -> None:
    # Ends at 1, 3, 3, 4; cut at 2 and 5: 5/6, then 5/6 * 2/4, then 5/12 * 1/2.
    times, survival = kaplan_meier(np.array([1, 2, 3, 3, 4, 5.0]), np.array([1, 0, 1, 1, 1, 0], dtype=bool))
    assert times.tolist() == [1, 3, 4]
    np.testing.assert_allclose(survival, [5 / 6, 5 / 12, 5 / 24])


def test_residence_and_rate_of_a_known_walk() -> None:
    """Jumps with probability p per frame: geometric residences with mean 1/p and survival (1 - p)^n."""
    probability, step_ps = 0.05, 0.1
    visits, jumps, sites = walk(2000, 40, probability)
    residence = residence_times(visits, np.ones(len(visits), dtype=bool), step_ps)
    assert residence.mean_ps.lower < step_ps / probability < residence.mean_ps.upper
    assert residence.mean_ps.value == pytest.approx(2.0, rel=0.05)
    assert residence.n_truncated == 80
    frames = np.rint(residence.times_ps / step_ps)
    early = frames <= 60
    np.testing.assert_allclose(residence.survival[early], (1 - probability) ** frames[early], atol=0.02)
    assert residence.median_ps == pytest.approx(1.4, abs=0.1)
    (rate,) = jump_rates(jumps, visits, sites.type_indices, step_ps)
    assert rate.count == len(jumps)
    assert rate.exposure_ps == pytest.approx(2000 * 40 * step_ps)
    assert rate.rate_per_ps.lower < probability / step_ps < rate.rate_per_ps.upper
    assert rate.mean_length_A == pytest.approx(3.0)


def test_truncated_visits_do_not_bias_short_trajectories() -> None:
    """Trajectories of 20 frames with a mean residence of 20: whole visits alone would give a third of it."""
    means, naive = [], []
    for seed in range(20):
        visits, _, _ = walk(20, 200, 0.05, seed=seed)
        whole = ~(visits.truncated_start | visits.truncated_end)
        naive.append(visits.durations[whole].mean())
        means.append(residence_times(visits, np.ones(len(visits), dtype=bool), 1.0).mean_ps.value)
    assert np.mean(means) == pytest.approx(20 * 20 / 19, rel=0.05)
    assert np.mean(naive) < 8


def test_no_departure_gives_a_lower_limit_of_the_residence_time() -> None:
    visits, jumps, sites = walk(100, 4, 0.0)
    residence = residence_times(visits, np.ones(4, dtype=bool), 1.0)
    assert residence.mean_ps.value is None
    assert residence.mean_ps.upper == np.inf
    assert residence.mean_ps.lower == pytest.approx(400 / 3.6888794541)
    (rate,) = jump_rates(jumps, visits, sites.type_indices, 1.0)
    assert rate.rate_per_ps == rate_estimate(0, 400.0)
    assert rate.mean_length_A is None
    assert rate_estimate(0, 0.0) == Estimate(None, 0.0, np.inf)


def test_rates_between_types_hold_every_pair() -> None:
    visits, jumps, sites = walk(500, 10, 0.1)
    types = (np.rint(sites.fractional.sum(axis=1) * SIZE) % 2).astype(int)
    rates = jump_rates(jumps, visits, types, 1.0)
    assert [(rate.origin, rate.destination) for rate in rates] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # Every neighbour of an even site is odd.
    assert rates[0].count == rates[3].count == 0
    assert rates[1].count + rates[2].count == len(jumps)
    assert rates[0].rate_per_ps.upper > 0


def test_independent_walkers_have_correlation_factor_one() -> None:
    _, jumps, _ = walk(4000, 60, 0.2)
    factor, lag = correlation_factor(jumps)
    assert factor.lower < 1.0 < factor.upper
    assert factor.upper - factor.lower < 0.15
    assert lag >= 1


@pytest.mark.parametrize("back_jump", [0.4, 0.7])
def test_back_jumping_walkers_have_the_exact_correlation_factor(back_jump: float) -> None:
    """Mean cosine c of consecutive jumps: f = (1 + c) / (1 - c) (Bardeen and Herring 1952)."""
    cosine = -back_jump + (1 - back_jump) / 5
    _, jumps, _ = walk(3000, 60, 0.3, back_jump=back_jump, seed=1)
    factor, _ = correlation_factor(jumps)
    assert factor.value == pytest.approx((1 + cosine) / (1 - cosine), abs=0.04)
    assert factor.lower < (1 + cosine) / (1 - cosine) < factor.upper
    within, probability = 10, 0.3
    fraction = back_jump_fraction(jumps, within)
    expected = back_jump * (1 - (1 - probability) ** within)
    assert fraction.value == pytest.approx(expected, abs=0.01)
    assert fraction.lower < expected < fraction.upper


def jumps_in_a_row(n_ions: int, jumps_per_ion: float, back_jump: float, rng: np.random.Generator) -> Jumps:
    """Unit jumps of walkers that undo the last one with a probability."""
    counts = rng.poisson(jumps_per_ion, n_ions)
    directions = np.empty((n_ions, counts.max()), dtype=int)
    last = rng.integers(0, 6, n_ions)
    for k in range(counts.max()):
        reverse = (last + 3) % 6
        others = (reverse + 1 + rng.integers(0, 5, n_ions)) % 6
        last = directions[:, k] = np.where(rng.random(n_ions) < back_jump, reverse, others)
    number, ion = np.arange(counts.max()), np.repeat(np.arange(n_ions), counts)
    vectors = AXES[directions[number < counts[:, None]]].astype(float)
    frames, zero = np.concatenate([number[:n] for n in counts]), np.zeros(len(ion), dtype=int)
    image = np.zeros((len(ion), 3), dtype=int)
    return Jumps(ion, zero, zero + 1, image, frames, zero, vectors, zero + 1000, n_ions)


@pytest.mark.parametrize(("n_ions", "jumps_per_ion"), [(24, 20), (60, 60)])
@pytest.mark.parametrize("back_jump", [1 / 6, 0.4, 0.7])
def test_correlation_factor_intervals_cover_as_often_as_they_say(n_ions, jumps_per_ion, back_jump) -> None:
    """With the cut that the data choose, which the interval has to carry too."""
    cosine = -back_jump + (1 - back_jump) / 5
    exact, rng = (1 + cosine) / (1 - cosine), np.random.default_rng(11)
    repeats = 120
    found = [
        correlation_factor(jumps_in_a_row(n_ions, jumps_per_ion, back_jump, rng))[0] for _ in range(repeats)
    ]
    covered = np.mean([factor.lower <= exact <= factor.upper for factor in found])
    assert covered >= 0.91
    assert np.mean([factor.value for factor in found]) == pytest.approx(exact, rel=0.12)


def hand_made(ions: list[int], vectors: list[list[float]], frames: list[int], n_frames: int = 100) -> Jumps:
    origin = np.array([int(v[0] < 0) for v in vectors])
    return Jumps(
        np.array(ions),
        origin,
        1 - origin,
        np.zeros((len(ions), 3), dtype=int),
        np.array(frames),
        np.zeros(len(ions), dtype=int),
        np.array(vectors, dtype=float),
        np.full(len(ions), n_frames),
        max(ions) + 1,
    )


def test_rattling_in_a_pair_of_sites_has_factor_zero_and_back_jumps_one() -> None:
    vectors = [[1.0, 0, 0], [-1.0, 0, 0]] * 50
    jumps = hand_made([0] * 50 + [1] * 50, vectors, list(range(50)) * 2)
    factor, _ = correlation_factor(jumps, maximum_lag=1)
    assert factor.value == pytest.approx(0.0, abs=1e-12)
    assert correlation_factor(jumps, maximum_lag=10)[0].value == pytest.approx(0.0, abs=1e-12)
    assert back_jump_fraction(jumps, 1).value == pytest.approx(98 / 100)


def test_back_jumps_too_close_to_the_end_are_not_counted() -> None:
    jumps = hand_made([0, 0, 0], [[1.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0]], [10, 15, 95])
    assert back_jump_fraction(jumps, 10) == Estimate(0.5, *binomial_interval(1, 2))
    assert back_jump_fraction(jumps, 2).value == 0.0
    assert back_jump_fraction(hand_made([0], [[1.0, 0, 0]], [99]), 10).value is None


def test_too_few_jumps_give_no_factor() -> None:
    assert correlation_factor(hand_made([0, 1], [[1.0, 0, 0]] * 2, [1, 2]))[0].value is None
    single, _ = correlation_factor(hand_made([0, 0], [[1.0, 0, 0]] * 2, [1, 2]))
    assert single.upper == np.inf


def test_visits_is_sized() -> None:
    visits, _, _ = walk(10, 3, 0.0)
    assert isinstance(visits, Visits)
    assert len(visits) == 3
