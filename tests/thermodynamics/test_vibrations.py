"""Harmonic sums: exact Einstein and Debye values, pymatgen and ASE as oracles, limits, averages, refusals."""

import ase.units
import mpmath
import numpy as np
import pytest
from ase.thermochemistry import CrystalThermo
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.phonon.dos import PhononDos

from sse_screen.thermodynamics.partition_function import BOLTZMANN_eV_per_K
from sse_screen.thermodynamics.vibrations import (
    PLANCK_eV_per_THz,
    VibrationError,
    average_over_configurations,
    broadened,
    discrete_modes,
    from_density,
    harmonic_thermodynamics,
    refuse_unphysical_entropy,
    regridded,
)


def debye(cutoff_THz=10.0, n_nodes=400_001):
    grid = np.linspace(0.0, cutoff_THz, n_nodes)
    return from_density(grid, 9.0 * grid**2 / cutoff_THz**3)


@pytest.mark.parametrize(
    ("density", "temperature", "free_energy_eV", "entropy_meV_per_K"),
    [
        (discrete_modes([10.0], [3.0]), 300.0, 0.044539867, 0.162970372),
        (discrete_modes([10.0], [3.0]), 1500.0, -0.440258380, 0.554227173),
        (debye(), 300.0, 0.015476099, 0.239050679),
        (debye(), 1500.0, -0.570179177, 0.639961045),
    ],
)
def test_exact_einstein_and_debye(density, temperature, free_energy_eV, entropy_meV_per_K):
    result = harmonic_thermodynamics(density, temperature)
    assert density.n_modes == pytest.approx(3.0, rel=1e-9)
    assert result.free_energy_eV == pytest.approx(free_energy_eV, abs=6e-10)
    assert 1e3 * result.entropy_eV_per_K == pytest.approx(entropy_meV_per_K, abs=6e-10)
    balance = result.internal_energy_eV - temperature * result.entropy_eV_per_K
    assert result.free_energy_eV == pytest.approx(balance, rel=1e-12)


def test_debye_in_thirty_digits():
    with mpmath.workdps(30):
        thermal = mpmath.mpf(BOLTZMANN_eV_per_K) * 300
        planck = mpmath.mpf(PLANCK_eV_per_THz)

        def integrand(nu):
            return 9 * nu**2 / 1000 * mpmath.log(2 * mpmath.sinh(planck * nu / 2 / thermal))

        exact = float(thermal * mpmath.quad(integrand, [0, 1, 5, 10]))
    assert harmonic_thermodynamics(debye(), 300.0).free_energy_eV == pytest.approx(exact, abs=2e-12)


def lumpy_density(spacing_THz=0.01):
    grid = np.arange(0.0, 25.0 + spacing_THz / 2, spacing_THz)
    peaks = grid**2 * (np.exp(-grid / 3.0) + 0.1 * np.exp(-((grid - 18.0) ** 2) / 2.0))
    return grid, 3.0 * peaks / np.trapezoid(peaks, grid)


@pytest.mark.parametrize("temperature", [50.0, 300.0, 1500.0])
def test_agrees_with_pymatgen_and_ase_to_a_microelectronvolt(temperature):
    grid, values = lumpy_density()
    ours = harmonic_thermodynamics(from_density(grid, values), temperature)
    oracle = PhononDos(grid, values)
    joule_per_mole = ase.units.mol / ase.units.J
    assert ours.free_energy_eV == pytest.approx(
        oracle.helmholtz_free_energy(temperature) / joule_per_mole, abs=1e-6
    )
    assert ours.internal_energy_eV == pytest.approx(
        oracle.internal_energy(temperature) / joule_per_mole, abs=1e-6
    )
    assert ours.entropy_eV_per_K == pytest.approx(oracle.entropy(temperature) / joule_per_mole, abs=1e-8)
    assert ours.heat_capacity_eV_per_K == pytest.approx(oracle.cv(temperature) / joule_per_mole, abs=1e-8)
    crystal = CrystalThermo(
        phonon_energies=grid[1:] * PLANCK_eV_per_THz,
        phonon_DOS=values[1:] / PLANCK_eV_per_THz,
        formula_units=1,
    )
    assert ours.free_energy_eV == pytest.approx(
        crystal.get_helmholtz_energy(temperature, verbose=False), abs=1e-6
    )


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 60.0), st.floats(1.0, 3000.0))
def test_thermodynamic_identities(frequency, temperature):
    density = discrete_modes([frequency])
    step = 1e-3 * temperature
    result = harmonic_thermodynamics(density, temperature)
    below, above = (harmonic_thermodynamics(density, temperature + sign * step) for sign in (-1, 1))
    slope = (above.free_energy_eV - below.free_energy_eV) / (2 * step)
    assert result.entropy_eV_per_K == pytest.approx(-slope, rel=1e-3, abs=1e-12)
    heat = (above.internal_energy_eV - below.internal_energy_eV) / (2 * step)
    assert result.heat_capacity_eV_per_K == pytest.approx(heat, rel=1e-3, abs=1e-12)
    assert 0.0 <= result.heat_capacity_eV_per_K <= BOLTZMANN_eV_per_K * (1 + 1e-12)
    assert above.entropy_eV_per_K >= result.entropy_eV_per_K >= 0.0


def test_limits_of_high_and_low_temperature():
    density = discrete_modes([12.0], [3.0])
    cold = harmonic_thermodynamics(density, 1.0, relaxed_energy_eV=-5.0)
    assert cold.free_energy_eV == pytest.approx(-5.0 + 1.5 * PLANCK_eV_per_THz * 12.0, rel=1e-12)
    assert cold.entropy_eV_per_K == pytest.approx(0.0, abs=1e-15)
    hot = harmonic_thermodynamics(density, 1e5)
    assert hot.heat_capacity_eV_per_K == pytest.approx(3 * BOLTZMANN_eV_per_K, rel=1e-5)
    assert hot.internal_energy_eV == pytest.approx(3 * BOLTZMANN_eV_per_K * 1e5, rel=1e-5)


def test_constant_density_down_to_zero_frequency_is_integrated_exactly():
    # Free ions leave g(0) > 0: the logarithm is integrable, and the first cell must not spoil it.
    coarse, fine = (
        harmonic_thermodynamics(from_density(np.linspace(0, 10, n), np.full(n, 0.3)), 1500.0)
        for n in (101, 20001)
    )
    assert coarse.free_energy_eV == pytest.approx(fine.free_energy_eV, abs=5e-6)
    assert coarse.entropy_eV_per_K == pytest.approx(fine.entropy_eV_per_K, rel=1e-4)


def test_one_percent_of_norm_costs_what_methods_say():
    # 5.7 meV/atom at 1500 K for a density of states like LLZO's: between Einstein and Debye of 10 THz.
    density = debye(n_nodes=2001)
    wrong = harmonic_thermodynamics(density.normalised(3.03), 1500.0)
    error = 1e3 * abs(wrong.free_energy_eV - harmonic_thermodynamics(density, 1500.0).free_energy_eV)
    assert error == pytest.approx(5.7, abs=0.05)


def test_unphysical_entropy_is_refused():
    refuse_unphysical_entropy(debye(n_nodes=2001), 1)
    with pytest.raises(VibrationError, match="k per atom"):
        refuse_unphysical_entropy(debye(cutoff_THz=0.5, n_nodes=2001), 1)


def test_average_over_configurations_is_weighted():
    grid = np.linspace(0.0, 10.0, 101)
    densities = [from_density(grid, {"Li": np.full(101, 0.1 * k), "O": np.full(101, 0.2)}) for k in (1, 2, 4)]
    found = average_over_configurations(zip(densities, [2.0, 1.0, 1.0], strict=True))
    expected = 0.1 * (0.5 * 1 + 0.25 * 2 + 0.25 * 4)
    np.testing.assert_allclose(found.mean.density_per_THz("Li"), expected, rtol=1e-12)
    np.testing.assert_allclose(found.mean.density_per_THz(), expected + 0.2, rtol=1e-12)
    assert found.effective_sample_size == pytest.approx(1 / (0.25 + 0.0625 + 0.0625))
    same = average_over_configurations([(densities[0], 1.0)] * 3)
    np.testing.assert_allclose(same.spread_per_THz, 0.0, atol=1e-15)
    np.testing.assert_allclose(same.mean.total_modes, densities[0].total_modes)
    plain = average_over_configurations((density, 1.0) for density in densities)
    np.testing.assert_allclose(plain.spread_per_THz, np.std([0.1, 0.2, 0.4], ddof=1), rtol=1e-9)
    with pytest.raises(VibrationError, match="different grids"):
        average_over_configurations([(densities[0], 1.0), (from_density(grid, np.ones(101)), 1.0)])
    for nothing in ([], [(densities[0], 0.0)]):
        with pytest.raises(VibrationError, match="not all zero"):
            average_over_configurations(nothing)
    with pytest.raises(VibrationError, match="0 or more"):
        average_over_configurations([(densities[0], float("nan"))])


def test_broadening_keeps_the_modes():
    grid = np.linspace(0.0, 10.0, 101)
    sharp = np.zeros(101)
    sharp[50] = 10.0
    found = broadened(from_density(grid, sharp), 0.3)
    assert found.n_modes == pytest.approx(1.0)
    mean = (found.frequencies_THz * found.total_modes).sum()
    assert mean == pytest.approx(5.0)
    spread = np.sqrt((found.total_modes * (found.frequencies_THz - mean) ** 2).sum())
    assert spread == pytest.approx(0.3, rel=0.01)
    with pytest.raises(VibrationError, match="no density"):
        broadened(discrete_modes([1.0]), 0.3)


def test_an_average_of_unlikely_configurations_keeps_the_numbers():
    grid = np.linspace(0.0, 10.0, 101)
    densities = [from_density(grid, np.full(101, 0.1 * k)) for k in range(1, 60)]
    weights = np.random.default_rng(0).random(59) * 1e-30
    found = average_over_configurations(zip(densities, weights, strict=True))
    values = 0.1 * np.arange(1, 60)
    expected = np.average(values, weights=weights)
    np.testing.assert_allclose(found.mean.density_per_THz(), expected, rtol=1e-12)
    n = weights.sum() ** 2 / (weights @ weights)
    variance = np.average((values - expected) ** 2, weights=weights) * n / (n - 1)
    np.testing.assert_allclose(found.spread_per_THz, np.sqrt(variance), rtol=1e-10)
    np.testing.assert_allclose(found.standard_error_per_THz, np.sqrt(variance / n), rtol=1e-10)


@pytest.mark.parametrize(
    ("grid", "values", "message"),
    [
        (np.linspace(0, 1, 11), -np.ones(11), "negative"),
        (np.linspace(0, 1, 11), np.full(11, np.nan), "not finite"),
        (np.linspace(0, 1, 11), np.ones(10), "10 values at 11"),
        (np.linspace(1, 2, 11), np.ones(11), "even grid"),
        (np.array([0.0, 1.0, 3.0]), np.ones(3), "even grid"),
    ],
)
def test_bad_densities_are_refused(grid, values, message):
    with pytest.raises(VibrationError, match=message):
        from_density(grid, values)


def test_imaginary_modes_and_wrong_temperatures_are_refused():
    with pytest.raises(VibrationError, match="2 modes have zero or imaginary"):
        discrete_modes([-1.0, 0.0, 3.0])
    with pytest.raises(VibrationError, match="above zero"):
        harmonic_thermodynamics(discrete_modes([1.0]), 0.0)
    with pytest.raises(VibrationError, match="no density"):
        discrete_modes([1.0]).density_per_THz()


def test_regridding_keeps_modes_and_mean_frequency():
    grid, values = lumpy_density(0.17)
    density = from_density(grid, {"Li": values, "O": 2 * values})
    moved = regridded(density, 0.1, 40.0)
    for name in ("Li", "O"):
        assert moved.modes[name].sum() == pytest.approx(density.modes[name].sum())
    assert moved.frequencies_THz @ moved.total_modes == pytest.approx(
        density.frequencies_THz @ density.total_modes, rel=1e-6
    )
    before, after = (harmonic_thermodynamics(d, 1500.0).free_energy_eV for d in (density, moved))
    assert after == pytest.approx(before, abs=3e-3)
    with pytest.raises(VibrationError, match="above the grid"):
        regridded(density, 0.1, 10.0)
