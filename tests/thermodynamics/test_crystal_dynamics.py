"""The whole way from forces to a free energy: dynamics of copper against its own harmonic frequencies."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet

from sse_screen.thermodynamics.run_checks import check_run
from sse_screen.thermodynamics.velocity_spectrum import density_of_states_from_velocities
from sse_screen.thermodynamics.vibrations import discrete_modes, harmonic_thermodynamics

TEMPERATURE, INTERVAL_FS, N_FRAMES = 100.0, 8.0, 500


def copper():
    atoms = bulk("Cu", a=3.59, cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    return atoms


def harmonic_modes(atoms, step_A=0.005):
    """Frequencies in THz and polarisations at the centre of the supercell zone, by differences of forces."""
    hessian = np.empty((3 * len(atoms), 3 * len(atoms)))
    for row in range(len(hessian)):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = EMT()
            moved.positions[row // 3, row % 3] += sign * step_A
            forces.append(moved.get_forces().ravel())
        hessian[row] = (forces[1] - forces[0]) / (2 * step_A)
    eigenvalues, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T) / atoms.get_masses()[0])
    return np.sqrt(eigenvalues[3:]) / (2 * np.pi) * (1e3 * units.fs), vectors[:, 3:]


def run(atoms, polarisations):
    """A constant-energy run that starts with the energy kT in every mode, all of it kinetic."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], polarisations.shape[1])
    speed = np.sqrt(2 * units.kB * TEMPERATURE / atoms.get_masses()[0])
    atoms.set_velocities(speed * (polarisations @ signs).reshape(-1, 3))
    dynamics = VelocityVerlet(atoms, timestep=4 * units.fs)
    velocities, positions, energies = [], [], []
    for _ in range(N_FRAMES):
        dynamics.run(2)
        velocities.append(atoms.get_velocities() * units.fs)
        positions.append(atoms.get_positions())
        energies.append(atoms.get_total_energy())
    return np.array(velocities), np.array(positions), np.array(energies)


def test_free_energy_of_copper_from_dynamics_is_the_harmonic_one():
    atoms = copper()
    frequencies, polarisations = harmonic_modes(atoms)
    velocities, positions, energies = run(atoms, polarisations)
    found = density_of_states_from_velocities(velocities, ("Cu",) * 32, INTERVAL_FS)
    assert found.density.n_modes == pytest.approx(93)
    checks = check_run(
        positions,
        np.arange(N_FRAMES) * INTERVAL_FS * 1e-3,
        target_temperature_K=found.temperature_K,
        total_energies_eV=energies,
    )
    assert checks.flags == ()
    temperature = found.temperature_K
    assert temperature == pytest.approx(TEMPERATURE, rel=0.05)
    exact = harmonic_thermodynamics(discrete_modes(frequencies), temperature)
    ours = harmonic_thermodynamics(found.density, temperature)
    assert abs(ours.free_energy_eV - exact.free_energy_eV) / 32 < 0.5e-3
