"""Exact values of pair distributions, coordination numbers and spectra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.exceptions import InputError
from sse_screen.transport.structure_functions import (
    coordination_statistics,
    first_minimum,
    radial_distribution,
    velocity_autocorrelation,
    vibrational_density_of_states,
)

FCC_BASIS = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def fcc_conventional(lattice_A: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    return (FCC_BASIS * lattice_A)[None], np.eye(3)[None] * lattice_A


def test_fcc_shells_hold_12_6_24_neighbours_in_the_conventional_cell() -> None:
    positions, cells = fcc_conventional(4.0)
    rdf = radial_distribution(positions, cells, ["Ag"] * 4, ("Ag", "Ag"), maximum_radius_A=5.5)
    for radius, total in ((3.0, 12), (4.2, 18), (5.2, 42)):
        assert rdf.running_coordination[round(radius / 0.05) - 1] == total
    for cutoff, total in ((3.0, 12), (4.2, 18), (5.2, 42)):
        statistics = coordination_statistics(positions, cells, ["Ag"] * 4, ("Ag", "Ag"), cutoff)
        assert statistics == (total, 0.0, {total: 1.0})


def test_fcc_in_its_skewed_one_atom_cell_agrees() -> None:
    cell = 2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=float)
    rdf = radial_distribution(np.zeros((1, 1, 3)), cell, ["Ag"], ("Ag", "Ag"), maximum_radius_A=5.5)
    assert rdf.running_coordination[-1] == 42
    assert rdf.g.max() == 0.0


def test_rock_salt_partial_coordination_numbers() -> None:
    positions, cells = fcc_conventional(5.0)
    both = np.concatenate([positions, positions + np.array([2.5, 0, 0])], axis=1)
    species = ["Na"] * 4 + ["Cl"] * 4
    assert coordination_statistics(both, cells, species, ("Na", "Cl"), 3.0).mean == 6
    assert coordination_statistics(both, cells, species, ("Cl", "Cl"), 3.0).mean == 0
    assert coordination_statistics(both, cells, species, ("Cl", "Cl"), 4.0).mean == 12


@pytest.mark.parametrize("pair", [("Li", "Li"), ("Li", "S")])
def test_ideal_gas_is_one_beyond_half_the_cell(pair: tuple[str, str]) -> None:
    rng = np.random.default_rng(1)
    cell = np.array([[6.0, 0, 0], [2.0, 7.0, 0], [1.0, -1.5, 6.5]])
    positions = rng.random((1500, 12, 3)) @ cell
    species = ["Li"] * 6 + ["S"] * 6
    rdf = radial_distribution(positions, cell, species, pair, maximum_radius_A=7.0, bin_width_A=0.5)
    far = rdf.radii_A > 1.5
    own_images = pair[0] == pair[1]
    if own_images:
        far &= rdf.radii_A < 5.5
    np.testing.assert_allclose(rdf.g[far], 1.0, atol=0.06)
    assert abs(np.average(rdf.g[far], weights=rdf.radii_A[far] ** 2) - 1.0) < 0.01


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rdf_ignores_translation_wrapping_and_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * 5 + rng.normal(0, 0.5, (3, 3))
    fractional = rng.random((2, 6, 3))
    species = np.array(["Li", "Li", "O", "O", "O", "Li"])
    order = rng.permutation(6)
    moved = fractional + rng.random(3) + rng.integers(-2, 3, (2, 6, 3))
    first = radial_distribution(fractional @ cell, cell, list(species), ("Li", "O"), bin_width_A=0.5)
    second = radial_distribution(
        (moved @ cell)[:, order], cell, list(species[order]), ("Li", "O"), bin_width_A=0.5
    )
    assert np.abs(first.running_coordination - second.running_coordination).max() < 0.7
    assert first.running_coordination[-1] == pytest.approx(second.running_coordination[-1], abs=0.4)


def test_first_minimum_lies_between_the_shells_of_a_vibrating_crystal() -> None:
    rng = np.random.default_rng(3)
    corners = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    crystal = (corners[:, None] + FCC_BASIS).reshape(-1, 3) * 4.0
    positions = crystal + rng.normal(0, 0.12, (20, len(crystal), 3))
    rdf = radial_distribution(positions, np.eye(3) * 12, ["Ag"] * 108, ("Ag", "Ag"), maximum_radius_A=5.5)
    minimum = first_minimum(rdf)
    assert minimum is not None
    assert 3.2 < minimum < 3.7


def test_first_minimum_is_none_without_a_peak() -> None:
    rdf = radial_distribution(np.array([[[0, 0, 0], [20.0, 0, 0]]]), np.eye(3) * 50, ["Li", "S"], ("Li", "S"))
    assert first_minimum(rdf) is None


def test_unknown_species_and_bad_shapes_name_the_way_out() -> None:
    positions, cells = fcc_conventional()
    with pytest.raises(InputError, match="present: Ag"):
        radial_distribution(positions, cells, ["Ag"] * 4, ("Ag", "Li"))
    with pytest.raises(InputError, match="shape"):
        radial_distribution(positions, cells, ["Ag"] * 3, ("Ag", "Ag"))
    with pytest.raises(InputError, match="cutoff"):
        coordination_statistics(positions, cells, ["Ag"] * 4, ("Ag", "Ag"), -1.0)
    with pytest.raises(InputError, match="bin width"):
        radial_distribution(positions, cells, ["Ag"] * 4, ("Ag", "Ag"), bin_width_A=0.0)


def oscillators(frequencies_THz: list[float], n_frames: int = 4000, step_fs: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    times_ps = np.arange(n_frames) * step_fs / 1000
    phases = rng.random((len(frequencies_THz), 3)) * 2 * np.pi
    omega = 2 * np.pi * np.array(frequencies_THz)
    return np.cos(times_ps[:, None, None] * omega[:, None] + phases)


def test_autocorrelation_of_an_oscillator_is_a_cosine() -> None:
    velocities = oscillators([5.0], n_frames=40_000)
    correlation = velocity_autocorrelation(velocities, maximum_lag=200)
    expected = 1.5 * np.cos(2 * np.pi * 5.0 * np.arange(201) / 1000)
    np.testing.assert_allclose(correlation, expected, atol=2e-3)


def test_autocorrelation_equals_the_direct_sum() -> None:
    velocities = np.random.default_rng(0).normal(size=(37, 4, 3))
    direct = [np.mean(np.sum(velocities[lag:] * velocities[: 37 - lag], axis=2)) for lag in range(19)]
    np.testing.assert_allclose(velocity_autocorrelation(velocities), direct, atol=1e-12)


def test_oscillators_peak_at_their_frequencies_and_share_3n_modes() -> None:
    velocities = oscillators([3.0, 12.0, 12.0]) / np.sqrt([7.0, 32.0, 32.0])[:, None]
    spectrum = vibrational_density_of_states(
        velocities, np.array([7.0, 32.0, 32.0]), 1.0, species=["Li", "S", "S"]
    )
    frequencies, dos = spectrum
    assert frequencies[np.argmax(dos["Li"])] == pytest.approx(3.0, abs=1e-9)
    assert frequencies[np.argmax(dos["S"])] == pytest.approx(12.0, abs=1e-9)
    assert np.trapezoid(spectrum.total, frequencies) == pytest.approx(9.0, abs=1e-12)
    assert np.trapezoid(dos["Li"], frequencies) == pytest.approx(3.0, rel=1e-3)
    assert min(values.min() for values in dos.values()) >= 0


def test_resolution_and_degrees_of_freedom() -> None:
    velocities = oscillators([5.0, 8.0])
    frequencies, dos = vibrational_density_of_states(
        velocities, np.ones(2), 1.0, resolution_THz=0.5, degrees_of_freedom=3.0
    )
    assert frequencies[1] == pytest.approx(0.5)
    assert np.trapezoid(dos["all"], frequencies) == pytest.approx(3.0)
    assert set(frequencies[np.argsort(dos["all"])[-2:]]) == {5.0, 8.0}


def test_spectrum_equals_the_transform_of_the_autocorrelation() -> None:
    """Wiener-Khinchin: white noise has a flat spectrum up to the Nyquist frequency, 3 N modes in all."""
    velocities = np.random.default_rng(2).normal(size=(20_000, 5, 3))
    frequencies, dos = vibrational_density_of_states(velocities, np.ones(5), 2.0, resolution_THz=5.0)
    assert frequencies[-1] == pytest.approx(250.0)
    np.testing.assert_allclose(dos["all"][1:-1], 15 / 250, rtol=0.03)


def test_spectrum_refuses_what_it_cannot_give() -> None:
    velocities = oscillators([5.0], n_frames=100)
    with pytest.raises(InputError, match="needs segments of 1000 frames"):
        vibrational_density_of_states(velocities, np.ones(1), 1.0, resolution_THz=1.0)
    with pytest.raises(InputError, match="masses"):
        vibrational_density_of_states(velocities, np.ones(2), 1.0)
    with pytest.raises(InputError, match="all zero"):
        vibrational_density_of_states(velocities * 0, np.ones(1), 1.0)
