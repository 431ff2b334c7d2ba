"""Power laws of errors on synthetic data whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_screen.training.errors import TrainingInputError
from sse_screen.training.learning_curve import fit_power_law, judge_data

SIZES = [8, 16, 32, 64, 128]


def noisy(rng, exponent=0.4, floor=0.0, sizes=SIZES, noise=0.04):
    sizes = np.array(sizes)
    return (0.5 * sizes**-exponent + floor) * np.exp(rng.normal(0, noise, len(sizes)))


@given(st.floats(0.05, 1.5), st.floats(1e-3, 10))
def test_an_exact_power_law_is_recovered(exponent, prefactor):
    law = fit_power_law(SIZES, [prefactor * n**-exponent for n in SIZES])
    assert law.exponent == pytest.approx(exponent, rel=1e-6)
    assert law.prefactor == pytest.approx(prefactor, rel=1e-6)
    assert law.at(256)[0] == pytest.approx(prefactor * 256**-exponent, rel=1e-6)
    assert law.gain_of_doubling()[0] == pytest.approx(1 - 2**-exponent, rel=1e-6)
    half = prefactor * 128**-exponent / 2
    needed = law.size_for(half)
    assert needed is None or needed == pytest.approx(128 * 2 ** (1 / exponent), rel=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    trials = [fit_power_law(SIZES, noisy(rng)) for _ in range(400)]
    held = np.mean([law.exponent_lower <= 0.4 <= law.exponent_upper for law in trials])
    assert 0.92 < held < 0.98  # 95 % of 400: standard deviation 1.1 %
    truth = 0.5 * 256**-0.4
    ends = [law.at(256) for law in trials]
    assert 0.92 < np.mean([low <= truth <= high for _, low, high in ends]) < 0.98


def test_steep_curves_need_more_data_and_flat_ones_are_enough():
    rng = np.random.default_rng(2)
    steep, flat = fit_power_law(SIZES, noisy(rng, 0.5)), fit_power_law(SIZES, noisy(rng, 0.0, noise=0.01))
    assert judge_data(steep, 0.1).verdict == "more_data_needed"
    assert (
        "twice the data would remove 29 %"
        in judge_data(fit_power_law(SIZES, [n**-0.5 for n in SIZES]), 0.1).reasons[0]
    )
    assert judge_data(flat, 0.1).verdict == "enough"
    wild = fit_power_law(SIZES, noisy(rng, 0.15, noise=0.3))
    assert judge_data(wild, 0.1).verdict == "undecided"


def test_a_floor_is_seen_where_there_are_sizes_enough():
    rng = np.random.default_rng(3)
    sizes = [4, 8, 16, 32, 64, 128, 256, 512]
    law = fit_power_law(sizes, noisy(rng, 1.0, floor=0.01, sizes=sizes, noise=0.01))
    assert law.levels_off
    assert law.n_points == 5
    straight = fit_power_law(sizes, [n**-1.0 for n in sizes])
    assert not straight.levels_off
    assert law.exponent < straight.exponent
    falling = fit_power_law(sizes, [n**-1.0 * np.exp(-n / 500) for n in sizes])
    assert not falling.levels_off  # bends downwards


def test_targets_are_reached_or_not_with_the_size_it_takes():
    law = fit_power_law(SIZES, [n**-0.5 * f for n, f in zip(SIZES, (1.01, 0.99, 1, 1.01, 0.99), strict=True)])
    now = law.at(128)[0]
    assert judge_data(law, 0.1, target=2 * now).verdict == "enough"
    far = judge_data(law, 0.1, target=now / 2, unit="eV/Å")
    assert far.verdict == "more_data_needed"
    assert int(far.reasons[1].split()[1]) == pytest.approx(512, rel=0.1)
    assert judge_data(law, 0.1, target=now).verdict == "undecided"
    rising = fit_power_law(SIZES, [0.1 * n**0.01 for n in SIZES])
    assert "will not reach it" in judge_data(rising, 0.1, target=0.01).reasons[1]


def test_too_few_sizes_and_impossible_errors_are_refused():
    with pytest.raises(TrainingInputError, match="at least 4 training-set sizes; there are 3"):
        fit_power_law([1, 2, 3, 3], [1, 1, 1, 1])
    with pytest.raises(TrainingInputError, match="above 0"):
        fit_power_law(SIZES, [1, 1, 0, 1, 1])
