"""The document of a vibrational free energy, from a trajectory of Einstein oscillators."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.data import atomic_masses, atomic_numbers

from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.vibrations import discrete_modes, harmonic_thermodynamics

SPECIES = ("Li",) * 8 + ("O",) * 4
MASSES = np.array([atomic_masses[atomic_numbers[s]] for s in SPECIES])
TEMPERATURE = 600.0


def oscillating(n_frames=3000, interval_fs=2.0, seed=0):
    """A trajectory of independent harmonic oscillators with the energy kT each."""
    rng = np.random.default_rng(seed)
    frequencies = rng.uniform(5.0, 15.0, (12, 3))
    times_ps = np.arange(n_frames) * interval_fs * 1e-3
    angles = 2 * np.pi * frequencies * times_ps[:, None, None] + rng.uniform(0, 2 * np.pi, (12, 3))
    speed = np.sqrt(2 * units.kB * TEMPERATURE / MASSES)[:, None] * units.fs
    amplitude = speed / (2 * np.pi * frequencies * 1e-3)
    kinetic = 0.5 * ((speed / units.fs * np.cos(angles)) ** 2 * MASSES[:, None]).sum(axis=(1, 2))
    trajectory = Trajectory(
        positions=rng.uniform(0, 6, (12, 3)) + amplitude * np.sin(angles),
        cells=6.0 * np.eye(3),
        species=SPECIES,
        times_ps=times_ps,
        unwrapped=True,
        velocities=speed * np.cos(angles),
        potential_energies_eV=-50.0 + 36 * units.kB * TEMPERATURE - kinetic,
    )
    return frequencies, trajectory


ARGUMENTS = {
    "configuration_id": "c0",
    "relaxed_energy_eV": -50.0,
    "target_temperature_K": TEMPERATURE,
    "level_of_theory": "springs",
}


def test_free_energy_of_oscillators_in_the_document():
    frequencies, trajectory = oscillating()
    document = VibrationalFreeEnergyDoc.from_trajectory(trajectory, **ARGUMENTS)
    exact = harmonic_thermodynamics(discrete_modes(frequencies.ravel()), TEMPERATURE, relaxed_energy_eV=-50.0)
    # 33 of the 36 modes are counted: the centre of mass is taken out.
    expected = -50.0 + (exact.free_energy_eV + 50.0) * 33 / 36
    assert document.free_energy_eV_per_cell == pytest.approx(expected, abs=12 * 2e-3)
    assert document.n_modes == pytest.approx(33)
    assert document.usable
    assert document.flags == []
    assert document.formula == "Li2O"
    balance = document.internal_energy_eV_per_cell - TEMPERATURE * document.entropy_eV_per_K_per_cell
    assert document.free_energy_eV_per_cell == pytest.approx(balance)
    again = VibrationalFreeEnergyDoc.model_validate_json(document.model_dump_json())
    assert again == document
    assert again.density.n_modes == pytest.approx(33)
    stored = harmonic_thermodynamics(again.density, TEMPERATURE, relaxed_energy_eV=-50.0)
    assert stored.free_energy_eV == pytest.approx(document.free_energy_eV_per_cell, abs=12 * 1e-4)


def test_two_phase_of_a_solid_is_close_to_harmonic():
    _, trajectory = oscillating()
    document = VibrationalFreeEnergyDoc.from_trajectory(trajectory, **ARGUMENTS, two_phase_species="Li")
    assert document.two_phase.fluidicity < 0.02
    assert document.two_phase.free_energy_eV_per_cell == pytest.approx(
        document.free_energy_at_measured_eV_per_cell, abs=12 * 0.03
    )
    with pytest.raises(InputError, match="there is no Na"):
        VibrationalFreeEnergyDoc.from_trajectory(trajectory, **ARGUMENTS, two_phase_species="Na")


def test_hop_makes_it_unusable():
    _, trajectory = oscillating()
    positions = np.array(trajectory.positions)
    positions[1500:, 2] += 2.5
    document = VibrationalFreeEnergyDoc.from_trajectory(replace(trajectory, positions=positions), **ARGUMENTS)
    assert document.moved_atoms == [2]
    assert not document.usable
    assert "changed their site" in document.flags[0]


def test_wrong_temperature_is_flagged():
    _, trajectory = oscillating()
    document = VibrationalFreeEnergyDoc.from_trajectory(
        trajectory, **{**ARGUMENTS, "target_temperature_K": 300.0}
    )
    assert any("off the target" in flag for flag in document.flags)


@pytest.mark.parametrize(
    ("changes", "message"), [({"velocities": None}, "no velocities"), ({"unwrapped": False}, "wrapped")]
)
def test_unfit_trajectories_are_refused(changes, message):
    _, trajectory = oscillating(n_frames=100)
    with pytest.raises(InputError, match=message):
        VibrationalFreeEnergyDoc.from_trajectory(replace(trajectory, **changes), **ARGUMENTS)


def test_a_run_of_another_configuration_of_the_basin():
    _, trajectory = oscillating(1500)
    document = VibrationalFreeEnergyDoc.from_trajectory(trajectory, **ARGUMENTS)
    assert document.of_configuration("c0", -50.0) is document
    other = document.of_configuration("c1", -49.99)
    direct = VibrationalFreeEnergyDoc.from_trajectory(
        trajectory, **ARGUMENTS | {"configuration_id": "c1", "relaxed_energy_eV": -49.99}
    )
    assert other.id == direct.id
    for name in ("free_energy_eV_per_cell", "internal_energy_eV_per_cell", "free_energy_eV_per_atom"):
        assert getattr(other, name) == pytest.approx(getattr(direct, name))
    assert other.entropy_eV_per_K_per_cell == direct.entropy_eV_per_K_per_cell
    assert "the run is that of configuration c0" in other.warnings[-1]


def test_phonons_give_the_harmonic_sums():
    frequencies, trajectory = oscillating(600)
    document = VibrationalFreeEnergyDoc.from_phonons(
        discrete_modes(frequencies.ravel()), trajectory.species, **ARGUMENTS, imaginary_share=0.001
    )
    exact = harmonic_thermodynamics(discrete_modes(frequencies.ravel()), TEMPERATURE, relaxed_energy_eV=-50.0)
    assert document.free_energy_eV_per_cell == pytest.approx(exact.free_energy_eV)
    assert (document.route, document.duration_ps, document.measured_temperature_K) == ("phonons", None, None)
    assert document.density.n_modes == pytest.approx(36, abs=1e-3)
    run = VibrationalFreeEnergyDoc.from_trajectory(trajectory, **ARGUMENTS)
    assert run.id != document.id
