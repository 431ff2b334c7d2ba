"""Arrhenius fits: published activation energies, exact lines, coverage, limits and refusals."""

import numpy as np
import pytest

from sse_screen.documents.base import Quantity
from sse_screen.exceptions import InputError
from sse_screen.transport.arrhenius import BOLTZMANN_EV_PER_K, ArrheniusPoint, fit_arrhenius

# D in Å²/ps at T in K and E_a in eV, Hajibabaei 2021.
PUBLISHED = {
    "Li7PS6": ({600: 0.15, 800: 0.29, 1000: 0.54, 1200: 0.83}, 0.18),
    "Li3PS4": ({500: 0.068, 600: 0.14, 700: 0.28, 800: 0.46}, 0.23),
    "Li10GeP2S12": ({600: 0.16, 800: 0.32, 1000: 0.55, 1200: 0.76}, 0.17),
    "Li3InBr6": ({400: 0.018, 500: 0.057, 600: 0.13}, 0.20),
}


def line(temperatures, energy=0.25, log_d0=-7.0, errors=None, noise=None):
    values = np.exp(log_d0 - energy / (BOLTZMANN_EV_PER_K * np.array(temperatures)))
    values = values if noise is None else values * np.exp(noise)
    errors = [None] * len(values) if errors is None else errors
    return [
        ArrheniusPoint(temperature_K=t, diffusivity_cm2_per_s=d, log_error=e)
        for t, d, e in zip(temperatures, values, errors, strict=True)
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_activation_energies(name):
    row, energy = PUBLISHED[name]
    points = [ArrheniusPoint(temperature_K=t, diffusivity_cm2_per_s=1e-4 * d) for t, d in row.items()]
    found = fit_arrhenius(points).activation_energy
    assert found.value == pytest.approx(energy, abs=0.01)
    assert found.lower < energy < found.upper


def test_an_exact_line_is_met_exactly():
    fit = fit_arrhenius(line([500, 600, 800, 1000], errors=[0.1, 0.1, 0.05, 0.2]))
    assert fit.activation_energy.value == pytest.approx(0.25)
    assert fit.prefactor.value == pytest.approx(np.exp(-7.0))
    assert fit.activation_energy.verdict == "ok"
    expected = np.exp(-7.0 - 0.25 / (BOLTZMANN_EV_PER_K * 300))
    assert fit.diffusivity_at(300).value == pytest.approx(expected)
    assert [item.activation_energy_eV for item in fit.leave_one_out] == pytest.approx([0.25] * 4)


def test_extrapolated_interval_holds_the_truth_and_needs_the_covariance():
    """400 noisy lines: 95 % at 300 K; without the covariance term the interval is far too wide."""
    generator = np.random.default_rng(0)
    temperatures, errors = [600, 700, 800, 1000], [0.2, 0.15, 0.1, 0.1]
    truth = np.exp(-7.0 - 0.25 / (BOLTZMANN_EV_PER_K * 300))
    covered = []
    for _ in range(400):
        fit = fit_arrhenius(line(temperatures, errors=errors, noise=generator.normal(scale=errors)))
        found = fit.diffusivity_at(300)
        if found.verdict != "refused":
            covered.append(found.lower < truth < found.upper)
    assert len(covered) >= 390  # one in a hundred straight lines is taken for two
    assert 0.93 <= np.mean(covered) <= 0.99
    x = 1 / (BOLTZMANN_EV_PER_K * 300)
    (bb, mb), (_, mm) = fit.covariance
    assert np.sqrt(bb + x**2 * mm) > 1.4 * np.sqrt(bb + x**2 * mm - 2 * x * mb)


def series(temperatures, error, n, *, scatter=1.0, energy=0.3):
    """n fits of one line, points scattered by `scatter` times their errors."""
    generator = np.random.default_rng(len(temperatures))
    size = len(temperatures)
    return [
        fit_arrhenius(
            line(
                temperatures, energy, errors=[error] * size, noise=generator.normal(0, scatter * error, size)
            )
        )
        for _ in range(n)
    ]


def coverage(fits, energy=0.3):
    intervals = [fit.activation_energy for fit in fits]
    return np.mean([found.lower < energy < found.upper for found in intervals])


LADDERS = {3: (600, 700, 800), 5: (500, 600, 700, 850, 1000), 8: (450, 500, 550, 600, 700, 800, 900, 1000)}


@pytest.mark.parametrize("n_temperatures", LADDERS)
def test_right_errors_give_intervals_that_hold_and_few_doubts(n_temperatures):
    """95 % holds in 92 to 98 %; scatter is called too large about as often as its significance says."""
    fits = series(LADDERS[n_temperatures], 0.1, 500)
    assert 0.92 <= coverage(fits) <= 0.98
    widths = [fit.activation_energy.upper - fit.activation_energy.lower for fit in fits]
    deviation = np.sqrt(np.mean([(fit.parameters[1] - 0.3) ** 2 for fit in fits]))
    assert np.median(widths) / 2 == pytest.approx(1.96 * deviation, rel=0.2)
    said = [" ".join(fit.activation_energy.reasons) for fit in fits]
    assert np.mean(["scatter exceeds" in text for text in said]) <= 0.08
    assert np.mean(["includes zero" in text for text in said]) <= 0.05


@pytest.mark.parametrize(("n_temperatures", "scatter"), [(5, 3.0), (8, 2.0), (8, 4.0)])
def test_errors_given_too_small_are_made_good_where_the_scatter_shows_it(n_temperatures, scatter):
    assert coverage(series(LADDERS[n_temperatures], 0.05, 600, scatter=scatter)) >= 0.90


def test_scatter_is_judged_by_its_probability_not_by_a_ratio():
    """At one degree of freedom χ² of 3 is chance (p = 0.08), of 5 is not (p = 0.03)."""
    temperatures = [600, 700, 800]
    pattern = np.array([1.0, 0.0, 1.0])
    unit = fit_arrhenius(line(temperatures, errors=[0.1] * 3, noise=0.1 * pattern)).reduced_chi_squared
    chance, real = (
        fit_arrhenius(line(temperatures, errors=[0.1] * 3, noise=0.1 * pattern * np.sqrt(chi / unit)))
        for chi in (3.0, 5.0)
    )
    assert chance.scatter_p_value == pytest.approx(0.0833, abs=1e-3)
    assert (chance.activation_energy.verdict, chance.degrees_of_freedom) == ("ok", None)
    assert real.scatter_p_value == pytest.approx(0.0253, abs=1e-3)
    assert (real.activation_energy.verdict, real.degrees_of_freedom) == ("unresolved", 1)
    assert "p = 0.025" in real.activation_energy.reasons[0]
    assert fit_arrhenius(line(temperatures, noise=pattern)).scatter_p_value is None


def test_temperatures_that_are_one_have_no_slope():
    fit = fit_arrhenius(line([600, 600.0001, 600.0002], noise=np.array([0.0, 0.3, 0.9])))
    assert (fit.activation_energy.verdict, fit.prefactor.verdict) == ("refused", "refused")
    assert "from 600 to 600.0002 K are 3.3e-05 % apart" in fit.activation_energy.reasons[0]
    assert fit.diffusivity_at(300).verdict == "refused"
    # replicas whose mean temperatures differ a little are no third temperature, and no curvature
    pair = fit_arrhenius(line([600, 601, 603, 700], errors=[0.1] * 4))
    assert "two temperatures only" in pair.activation_energy.reasons[0]
    assert pair.curvature_p_value is None
    assert [item.temperature_K for item in pair.leave_one_out] == [600, 601, 603]


def test_a_prefactor_beyond_all_numbers_is_no_infinity():
    fit = fit_arrhenius(line([600, 607, 614], energy=60.0, log_d0=1100.0, errors=[0.01] * 3))
    assert fit.activation_energy.value == pytest.approx(60.0)
    assert (fit.prefactor.value, fit.prefactor.verdict) == (None, "unresolved")
    assert "1100, is beyond what a number can hold" in fit.prefactor.reasons[-1]
    assert np.isfinite([fit.prefactor.lower, fit.prefactor.upper]).all()


def test_upper_limits_pull_only_where_they_bind():
    measured = line([700, 800, 900], errors=[0.1] * 3)
    below = np.exp(-7.0 - 0.25 / (BOLTZMANN_EV_PER_K * 500))
    far, near = (
        ArrheniusPoint(temperature_K=500, diffusivity_cm2_per_s=below * factor, upper_limit=True)
        for factor in (50.0, 0.4)
    )
    plain = fit_arrhenius(measured).activation_energy
    loose = fit_arrhenius([*measured, far]).activation_energy
    tight = fit_arrhenius([*measured, near]).activation_energy
    assert loose.value == pytest.approx(plain.value, abs=1e-4)
    assert loose.upper - loose.lower == pytest.approx(plain.upper - plain.lower, rel=1e-3)
    assert tight.value > plain.value + 0.02
    assert tight.upper - tight.lower < plain.upper - plain.lower


def test_few_points_do_not_extrapolate():
    two = fit_arrhenius(line([600, 800], errors=[0.1, 0.1]))
    assert two.parameters[1] == pytest.approx(0.25)
    assert two.activation_energy.verdict == "unresolved"
    assert (two.activation_energy.value, two.prefactor.value) == (None, None)
    assert two.activation_energy.lower < 0.25 < two.activation_energy.upper
    assert two.diffusivity_at(300).verdict == "refused"
    assert "2 measured points" in two.diffusivity_at(300).reasons[0]
    one = fit_arrhenius(line([600]))
    assert one.activation_energy.verdict == "refused"
    assert one.diffusivity_at(600).verdict == "refused"
    with pytest.raises(InputError, match="none given"):
        fit_arrhenius([])
    with pytest.raises(InputError, match="not a temperature"):
        two.diffusivity_at(-1.0)


def test_a_transition_is_found_and_not_crossed():
    errors = [0.08] * 3
    cold, hot = line([500, 550, 600], 0.45, -4.0, errors), line([700, 800, 900], 0.20, -8.0, errors)
    fit = fit_arrhenius([*cold, *hot])
    assert fit.transition_between_K == (600.0, 700.0)
    assert fit.activation_energy.verdict == "unresolved"
    assert fit.diffusivity_at(300).verdict == "refused"
    assert "fit each phase by itself" in fit.diffusivity_at(300).reasons[0]


def test_a_known_transition_is_respected():
    fit = fit_arrhenius(line([700, 800, 900], errors=[0.1] * 3), known_transitions_K=[650])
    assert fit.diffusivity_at(660).verdict == "ok"
    assert "transition at 650 K" in fit.diffusivity_at(300).reasons[0]
    across = fit_arrhenius(line([600, 700, 800]), known_transitions_K=[650])
    assert across.activation_energy.verdict == "refused"


def test_curvature_is_told_and_noise_is_not_called_curvature():
    temperatures = np.array([500, 600, 700, 800, 1000])
    x = 1 / (BOLTZMANN_EV_PER_K * temperatures)
    bent = line(temperatures, errors=[0.05] * 5, noise=0.02 * (x - x.mean()) ** 2)
    assert fit_arrhenius(bent).curvature_p_value < 0.01
    generator = np.random.default_rng(2)
    straight = [
        fit_arrhenius(line(temperatures, errors=[0.1] * 5, noise=generator.normal(scale=0.1, size=5)))
        for _ in range(100)
    ]
    assert np.mean([fit.curvature_p_value < 0.05 for fit in straight]) < 0.12
    assert sum(fit.transition_between_K is not None for fit in straight) <= 3


def test_extrapolation_states_its_distance():
    found = fit_arrhenius(line([600, 800, 1000], errors=[0.1] * 3)).diffusivity_at(300)
    assert "extrapolated from 600-1000 K to 300 K, 2.5 times the range in 1/T" in found.reasons[0]


def test_points_from_verdicts():
    measured = Quantity(value=2.0, lower=1.0, upper=4.0, unit="cm2/s", verdict="diffusive")
    limit = Quantity(value=1.0, lower=0.0, upper=3.0, unit="cm2/s", verdict="upper_limit")
    point = ArrheniusPoint.from_quantity(600, measured)
    assert point.log_error == pytest.approx(np.log(4) / 2 / 1.959964)
    assert ArrheniusPoint.from_quantity(600, limit).upper_limit
    assert ArrheniusPoint.from_quantity(600, limit).diffusivity_cm2_per_s == 3.0
    refused = Quantity(value=None, lower=None, upper=None, unit="cm2/s", verdict="refused")
    assert ArrheniusPoint.from_quantity(600, refused) is None


def test_an_outlier_shows_in_leave_one_out():
    points = line([500, 600, 800, 1000], errors=[0.05] * 4, noise=np.array([1.0, 0, 0, 0]))
    fit = fit_arrhenius(points)
    assert fit.leave_one_out[0].activation_energy_eV == pytest.approx(0.25)
    assert fit.degrees_of_freedom == 2
    assert fit.activation_energy.verdict == "unresolved"
    assert fit.activation_energy.value is None
    assert fit.parameters[1] < 0.25


def test_replicas_of_two_temperatures_are_two_temperatures():
    fit = fit_arrhenius(line([600, 600, 700], errors=[0.1, 0.1, 0.1], noise=np.array([0.05, -0.05, 0.0])))
    assert fit.activation_energy.verdict == "unresolved"
    said = fit.diffusivity_at(300)
    assert said.verdict == "refused"
    assert said.value is None
    assert "2 measured points at different temperatures" in said.reasons[0]


def test_what_rests_on_a_doubtful_line_has_no_value():
    """A slope that may be zero, and one that the points scatter about, are continued as intervals only."""
    flat = fit_arrhenius(line([600, 700, 800, 900], energy=0.02, errors=[0.5] * 4))
    assert flat.activation_energy.verdict == "unresolved"
    assert "includes zero" in flat.activation_energy.reasons[0]
    found = flat.diffusivity_at(300)
    assert (found.verdict, found.value) == ("unresolved", None)
    assert found.lower < found.upper
    assert flat.diffusivity_at(750).value is not None  # between the points it is known
