"""Density of states from the velocities of a constant-energy run.

The spectrum of the mass-weighted velocity autocorrelation, by the Wiener-Khinchin theorem the squared Fourier
amplitudes of the velocities (Dickey, Paskin, Phys. Rev. 188, 1407 (1969)), tapered by a Hann window: a sharp
cut in time would leak weight to low frequencies, where the entropy is most sensitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ase.data
import numpy as np
from ase import units
from numpy.typing import NDArray
from scipy.fft import rfft

from sse_screen.thermodynamics.vibrations import DensityOfStates, VibrationError, from_density

FloatArray = NDArray[np.float64]

_ATOMS_PER_BLOCK = 64


@dataclass(frozen=True)
class VelocitySpectrum:
    """Density of states of a run, with what is needed to judge it.

    Attributes
    ----------
    density : DensityOfStates
        Normalised per species to its share of 3N, or of 3N - 3 without the centre of mass.
    temperature_K : float
        Measured kinetic temperature, the one to use in the free energy.
    temperature_by_species_K : dict of str to float
        The same, species by species: equal in equilibrium.
    duration_ps : float
        Length of the run; frequencies below its inverse are not resolved.
    warnings : tuple of str
        Reasons for doubt.
    """

    density: DensityOfStates
    temperature_K: float
    temperature_by_species_K: dict[str, float]
    duration_ps: float
    warnings: tuple[str, ...]


def density_of_states_from_velocities(
    velocities_A_per_fs: FloatArray,
    species: Sequence[str],
    frame_interval_fs: float,
    *,
    masses_amu: FloatArray | None = None,
    remove_centre_of_mass: bool = True,
) -> VelocitySpectrum:
    """Compute the density of states of every species.

    Parameters
    ----------
    velocities_A_per_fs : numpy.ndarray
        Velocities (n_frames, n_atoms, 3), angstrom/fs, of a run without thermostat.
    species : sequence of str
        Chemical symbol of each atom (n_atoms,).
    frame_interval_fs : float
        Time between frames.
    masses_amu : numpy.ndarray, optional
        Masses (n_atoms,); the elements' if left out.
    remove_centre_of_mass : bool
        Subtract the velocity of the centre of mass and count 3N - 3 modes.

    Returns
    -------
    VelocitySpectrum
        Density of states, temperatures, warnings.

    Raises
    ------
    VibrationError
        If shapes do not fit, there are fewer than 16 frames, or the atoms do not move.
    """
    velocities = np.asarray(velocities_A_per_fs, dtype=float)
    _check_input(velocities, species, frame_interval_fs)
    n_frames, n_atoms, _ = velocities.shape
    masses = np.array(
        [ase.data.atomic_masses[ase.data.atomic_numbers[s]] for s in species]
        if masses_amu is None
        else masses_amu,
        dtype=float,
    )
    if remove_centre_of_mass:
        centre = np.einsum("fai,a->fi", velocities, masses) / masses.sum()
        velocities = velocities - centre[:, None, :]
    share = (n_atoms - 1) / n_atoms if remove_centre_of_mass and n_atoms > 1 else 1.0
    power = _spectral_power(velocities, masses)
    frequencies = np.arange(power.shape[1]) / (n_frames * frame_interval_fs) * 1e3
    kinetic = _twice_kinetic_energies_eV(velocities, masses)
    members = {name: np.array([s == name for s in species]) for name in sorted(set(species))}
    densities, temperatures = {}, {}
    for name, mask in members.items():
        degrees = 3.0 * mask.sum() * share
        temperatures[name] = float(kinetic[mask].sum() / (degrees * units.kB))
        raw = from_density(frequencies, power[mask].sum(axis=0))
        if raw.n_modes <= 0.0:
            raise VibrationError(f"the {name} atoms do not move: there is no spectrum")
        densities[name] = raw.normalised(degrees).modes["total"]
    density = DensityOfStates(raw.frequencies_THz, densities, raw.spacing_THz)
    temperature = float(kinetic.sum() / (3.0 * n_atoms * share * units.kB))
    duration = n_frames * frame_interval_fs * 1e-3
    warnings = _warnings(density, temperatures, temperature)
    return VelocitySpectrum(density, temperature, temperatures, duration, warnings)


def _check_input(velocities: FloatArray, species: Sequence[str], frame_interval_fs: float) -> None:
    """Refuse arrays that cannot be velocities of these atoms."""
    if velocities.ndim != 3 or velocities.shape[1:] != (len(species), 3):
        raise VibrationError(
            f"velocities {velocities.shape} are not (n_frames, {len(species)}, 3) for {len(species)} atoms"
        )
    if len(velocities) < 16:
        raise VibrationError(f"{len(velocities)} frames are too few for a spectrum: at least 16")
    if not np.isfinite(velocities).all():
        raise VibrationError("velocities hold values that are not finite numbers")
    if not frame_interval_fs > 0.0:
        raise VibrationError(f"the time between frames must be above zero, not {frame_interval_fs} fs")


def _spectral_power(velocities: FloatArray, masses: FloatArray) -> FloatArray:
    """Give the mass-weighted squared amplitudes (n_atoms, n_frequencies), summed over directions."""
    n_frames, n_atoms, _ = velocities.shape
    taper = np.sin(np.pi * (np.arange(n_frames) + 0.5) / n_frames)[:, None, None] ** 2
    power = np.empty((n_atoms, n_frames // 2 + 1))
    for start in range(0, n_atoms, _ATOMS_PER_BLOCK):
        block = slice(start, start + _ATOMS_PER_BLOCK)
        amplitudes = rfft(velocities[:, block] * taper, axis=0)
        power[block] = (np.abs(amplitudes) ** 2).sum(axis=2).T * masses[block, None]
    return power


def _twice_kinetic_energies_eV(velocities: FloatArray, masses: FloatArray) -> FloatArray:
    """Give the mean of m v^2 (n_atoms,) in eV."""
    squares = np.einsum("fai,fai->a", velocities, velocities) / len(velocities)
    return masses * squares / units.fs**2


def _warnings(
    density: DensityOfStates, temperatures: dict[str, float], temperature: float
) -> tuple[str, ...]:
    """Say what makes the spectrum doubtful."""
    found = []
    nodes, modes = density.frequencies_THz, density.total_modes
    high = float(modes[nodes > 0.9 * nodes[-1]].sum()) / density.n_modes
    if high > 0.01:
        found.append(
            f"{100 * high:.0f} % of the modes lie just below the highest frequency {nodes[-1]:.1f} THz "
            "that the "
            "frames resolve: store velocities more often"
        )
    for name, value in temperatures.items():
        if abs(value - temperature) > 0.15 * temperature:
            found.append(
                f"{name} has {value:.0f} K, all atoms {temperature:.0f} K: energy is not equally shared"
            )
    return tuple(found)
