"""The two-phase model: its defining equations, both limits, and the polynomial as published."""

import numpy as np
import pytest
from scipy.constants import Boltzmann, Planck, atomic_mass

from sse_screen.thermodynamics.partition_function import BOLTZMANN_eV_per_K
from sse_screen.thermodynamics.two_phase import (
    diffusivity_parameter,
    fluidicity,
    hard_sphere_entropy_per_k,
    two_phase_thermodynamics,
    zero_frequency_density_per_THz,
)
from sse_screen.thermodynamics.vibrations import VibrationError, from_density, harmonic_thermodynamics

TEMPERATURE, VOLUME, N, MASS = 900.0, 4000.0, 56, 6.94


@pytest.mark.parametrize("delta", [1e-6, 1e-3, 0.05, 0.3, 1.0, 3.0, 20.0, 1e3])
def test_fluidicity_solves_the_published_polynomial(delta):
    f = fluidicity(delta)
    assert 0.0 < f < 1.0
    terms = [
        2 * delta**-4.5 * f**7.5,
        -6 * delta**-3 * f**5,
        -(delta**-1.5) * f**3.5,
        6 * delta**-1.5 * f**2.5,
        2 * f,
        -2,
    ]
    assert sum(terms) == pytest.approx(0.0, abs=1e-9 * max(map(abs, terms)))


def test_fluidicity_grows_from_solid_to_gas():
    values = [fluidicity(delta) for delta in (0.0, 1e-4, 0.01, 0.1, 1.0, 10.0, 1e4)]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[-1] > 0.999
    with pytest.raises(VibrationError):
        fluidicity(-1.0)


@pytest.mark.parametrize("diffusivity", [1e-6, 3e-5, 1e-3])
def test_gas_carries_all_the_diffusion(diffusivity):
    """N D = f N D_HS(T, f rho) with Enskog's diffusivity, computed here in SI from its own definition."""
    s0 = zero_frequency_density_per_THz(diffusivity, TEMPERATURE, N, MASS)
    delta = diffusivity_parameter(s0, TEMPERATURE, VOLUME, N, MASS)
    f = fluidicity(delta)
    y = (f / delta) ** 1.5
    density = N / (VOLUME * 1e-30)
    diameter = (6.0 * y / (np.pi * density)) ** (1 / 3)
    speed = np.sqrt(Boltzmann * TEMPERATURE / (np.pi * MASS * atomic_mass))
    dilute = 3.0 / (8.0 * density * diameter**2) * speed
    eta = f * y
    compressibility = (1 + eta + eta**2 - eta**3) / (1 - eta) ** 3
    gas = dilute / f * 4.0 * eta / (compressibility - 1.0)
    assert f * gas == pytest.approx(diffusivity * 1e-4, rel=1e-6)
    assert f == pytest.approx(diffusivity * 1e-4 / dilute, rel=1e-6)


def test_entropy_of_a_dilute_gas_is_sackur_and_tetrode():
    wavelength = Planck / np.sqrt(2 * np.pi * MASS * atomic_mass * Boltzmann * TEMPERATURE)
    expected = 2.5 + np.log(VOLUME * 1e-30 / N / wavelength**3)
    found = hard_sphere_entropy_per_k(1.0, 1e-12, TEMPERATURE, VOLUME, N, MASS)
    assert found == pytest.approx(expected, rel=1e-10)


def test_excess_entropy_is_the_integral_of_the_equation_of_state():
    # S_ex(T, V) = -integral of (z - 1)/eta; the published form adds ln z, the excess at the same pressure.
    from scipy.integrate import quad

    def compressibility(eta):
        return (1 + eta + eta**2 - eta**3) / (1 - eta) ** 3

    ideal = hard_sphere_entropy_per_k(0.4, 0.0, TEMPERATURE, VOLUME, N, MASS, "constant_volume")
    for eta in (0.1, 0.3, 0.45):
        integral = quad(lambda x: (compressibility(x) - 1) / x, 1e-12, eta)[0]
        volume = hard_sphere_entropy_per_k(0.4, eta, TEMPERATURE, VOLUME, N, MASS, "constant_volume")
        published = hard_sphere_entropy_per_k(0.4, eta, TEMPERATURE, VOLUME, N, MASS)
        assert volume - ideal == pytest.approx(-integral, rel=1e-8)
        assert published - volume == pytest.approx(np.log(compressibility(eta)))


def solid_density():
    grid = np.linspace(0.0, 30.0, 601)
    shape = grid**2 * np.exp(-((grid - 11.0) ** 2) / 10.0)
    return grid, 3 * N * shape / np.trapezoid(shape, grid)


ARGUMENTS = {"volume_A3": VOLUME, "n_atoms": N, "mass_amu": MASS}


def test_a_solid_is_harmonic():
    density = from_density(*solid_density())
    found = two_phase_thermodynamics(density, TEMPERATURE, **ARGUMENTS)
    harmonic = harmonic_thermodynamics(density, TEMPERATURE)
    assert found.fluidicity == 0.0
    assert found.thermodynamics.free_energy_eV == pytest.approx(harmonic.free_energy_eV, rel=1e-12)
    assert found.reference_shift_eV == pytest.approx(3 * N * BOLTZMANN_eV_per_K * TEMPERATURE)


def test_a_hard_sphere_gas_is_all_gas():
    s0 = zero_frequency_density_per_THz(5e-2, TEMPERATURE, N, MASS)
    f = fluidicity(diffusivity_parameter(s0, TEMPERATURE, VOLUME * 1e3, N, MASS))
    grid = np.linspace(0.0, 60.0, 60_001)
    gas = s0 / (1.0 + (np.pi * s0 * grid / (6.0 * f * N)) ** 2)
    density = from_density(grid, gas).normalised(3 * f * N)
    found = two_phase_thermodynamics(
        density, TEMPERATURE, volume_A3=VOLUME * 1e3, n_atoms=N, mass_amu=MASS, zero_frequency_density=s0
    )
    assert found.thermodynamics.entropy_eV_per_K == pytest.approx(found.gas_entropy_eV_per_K, rel=1e-3)
    kinetic = 1.5 * f * N * BOLTZMANN_eV_per_K * TEMPERATURE
    assert found.thermodynamics.internal_energy_eV == pytest.approx(kinetic, rel=1e-3)


def test_mixture_has_the_right_number_of_modes_and_a_finite_share_of_gas():
    grid, solid = solid_density()
    diffusivity = 4e-5
    s0 = zero_frequency_density_per_THz(diffusivity, TEMPERATURE, N, MASS)
    f = fluidicity(diffusivity_parameter(s0, TEMPERATURE, VOLUME, N, MASS))
    gas = s0 / (1.0 + (np.pi * s0 * grid / (6.0 * f * N)) ** 2)
    density = from_density(grid, gas + (1 - f) * solid)
    found = two_phase_thermodynamics(density.normalised(3 * N), TEMPERATURE, **ARGUMENTS)
    assert found.fluidicity == pytest.approx(f, rel=0.05)
    assert 0.02 < found.fluidicity < 0.5
    total = found.gas_density_per_THz + found.solid_density_per_THz
    np.testing.assert_allclose(total, density.normalised(3 * N).density_per_THz(), atol=1e-9)
    harmonic = harmonic_thermodynamics(density.normalised(3 * N), TEMPERATURE)
    assert found.thermodynamics.entropy_eV_per_K != pytest.approx(harmonic.entropy_eV_per_K, rel=1e-3)
    balance = found.thermodynamics.internal_energy_eV - TEMPERATURE * found.thermodynamics.entropy_eV_per_K
    assert found.thermodynamics.free_energy_eV == pytest.approx(balance)


def test_spectrum_unlike_a_hard_sphere_gas_is_warned_of():
    grid = np.linspace(0.0, 30.0, 601)
    narrow = np.where(grid < 0.3, 60.0, 0.0) + 0.2 * solid_density()[1]
    found = two_phase_thermodynamics(from_density(grid, narrow).normalised(3 * N), TEMPERATURE, **ARGUMENTS)
    assert found.warnings
