"""Density of states from velocities of oscillators whose frequencies and free energy are known."""

import numpy as np
import pytest
from ase import units
from ase.data import atomic_masses, atomic_numbers

from sse_screen.thermodynamics.velocity_spectrum import density_of_states_from_velocities
from sse_screen.thermodynamics.vibrations import (
    VibrationError,
    discrete_modes,
    harmonic_thermodynamics,
)

SPECIES = ("Li",) * 24 + ("O",) * 24
MASSES = np.array([atomic_masses[atomic_numbers[s]] for s in SPECIES])


def oscillators(temperature_K, n_frames=6000, interval_fs=1.0, seed=0, masses=MASSES):
    """Velocities of independent oscillators, each with the mean energy kT, at known frequencies."""
    rng = np.random.default_rng(seed)
    frequencies = rng.uniform(2.0, 24.0, (len(masses), 3))
    phases = rng.uniform(0, 2 * np.pi, frequencies.shape)
    times = np.arange(n_frames) * interval_fs * 1e-3
    amplitude = np.sqrt(2.0 * units.kB * temperature_K / masses)[:, None] * units.fs
    return frequencies, amplitude * np.cos(2 * np.pi * frequencies * times[:, None, None] + phases)


@pytest.mark.parametrize("temperature", [300.0, 1500.0])
def test_free_energy_of_oscillators_within_half_a_meV_per_atom(temperature):
    frequencies, velocities = oscillators(temperature)
    found = density_of_states_from_velocities(velocities, SPECIES, 1.0, remove_centre_of_mass=False)
    assert found.temperature_K == pytest.approx(temperature, rel=0.01)
    assert found.density.n_modes == pytest.approx(144.0)
    exact = harmonic_thermodynamics(discrete_modes(frequencies.ravel()), temperature)
    ours = harmonic_thermodynamics(found.density, temperature)
    assert abs(ours.free_energy_eV - exact.free_energy_eV) / 48 < 0.5e-3
    assert abs(ours.internal_energy_eV - exact.internal_energy_eV) / 48 < 0.5e-3
    assert found.warnings == ()


def test_frequency_of_one_oscillator_and_leakage():
    times = np.arange(4000) * 1e-3
    velocities = 0.01 * np.cos(2 * np.pi * 7.3 * times)[:, None, None] * np.ones((1, 1, 3))
    found = density_of_states_from_velocities(velocities, ["Li"], 1.0, remove_centre_of_mass=False)
    nodes, modes = found.density.frequencies_THz, found.density.total_modes
    assert nodes @ modes / 3 == pytest.approx(7.3, abs=0.01)
    assert modes[np.abs(nodes - 7.3) > 1.0].sum() < 1e-4 * 3


def test_species_have_their_own_modes():
    rng = np.random.default_rng(2)
    times = np.arange(4000) * 1e-3
    phases = rng.uniform(0, 2 * np.pi, (48, 3))
    frequencies = np.where(np.array(SPECIES) == "Li", 8.0, 20.0)[:, None]
    velocities = np.cos(2 * np.pi * frequencies * times[:, None, None] + phases) / np.sqrt(MASSES)[:, None]
    found = density_of_states_from_velocities(velocities, SPECIES, 1.0)
    nodes = found.density.frequencies_THz
    assert found.density.n_modes == pytest.approx(3 * 48 - 3)
    for name, frequency in (("Li", 8.0), ("O", 20.0)):
        modes = found.density.modes[name]
        assert modes.sum() == pytest.approx((3 * 48 - 3) / 2)
        assert nodes[modes.argmax()] == pytest.approx(frequency, abs=0.2)


def test_drift_of_the_whole_crystal_is_no_mode():
    _, velocities = oscillators(600.0, n_frames=2000)
    still = density_of_states_from_velocities(velocities, SPECIES, 1.0)
    drifting = density_of_states_from_velocities(velocities + np.array([0.02, 0.0, -0.01]), SPECIES, 1.0)
    np.testing.assert_allclose(drifting.density.total_modes, still.density.total_modes, atol=1e-9)
    assert drifting.temperature_K == pytest.approx(still.temperature_K)


def test_scaling_masses_or_velocities_leaves_the_spectrum():
    _, velocities = oscillators(600.0, n_frames=1000)
    first = density_of_states_from_velocities(velocities, SPECIES, 1.0)
    second = density_of_states_from_velocities(3.0 * velocities, SPECIES, 1.0, masses_amu=2.0 * MASSES)
    np.testing.assert_allclose(second.density.total_modes, first.density.total_modes, rtol=1e-9, atol=1e-12)
    assert second.temperature_K == pytest.approx(18.0 * first.temperature_K)


def test_frames_too_far_apart_are_warned_of():
    times = np.arange(400) * 20.0 * 1e-3
    velocities = 0.01 * np.cos(2 * np.pi * 24.5 * times)[:, None, None] * np.ones((1, 1, 3))
    found = density_of_states_from_velocities(velocities, ["O"], 20.0, remove_centre_of_mass=False)
    assert "store velocities more often" in found.warnings[0]


def test_unequal_temperatures_are_warned_of():
    _, velocities = oscillators(600.0, n_frames=500)
    velocities[:, :24] *= 2.0
    found = density_of_states_from_velocities(velocities, SPECIES, 1.0)
    assert any("not equally shared" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("velocities", "species", "interval", "message"),
    [
        (np.zeros((100, 2, 3)), ["Li"], 1.0, "are not"),
        (np.zeros((3, 1, 3)), ["Li"], 1.0, "too few"),
        (np.full((100, 1, 3), np.nan), ["Li"], 1.0, "not finite"),
        (np.zeros((100, 1, 3)), ["Li"], 0.0, "above zero"),
        (np.zeros((100, 1, 3)), ["Li"], 1.0, "do not move"),
    ],
)
def test_bad_velocities_are_refused(velocities, species, interval, message):
    with pytest.raises(VibrationError, match=message):
        density_of_states_from_velocities(velocities, species, interval)
