"""Whether a constant-energy run may stand for the vibrations of one configuration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RunChecks:
    """Findings about a constant-energy run.

    Attributes
    ----------
    moved_atoms : tuple of int
        Atoms whose average position moved by more than the limit between the first and the last third: they
        changed their site, and the run is of two configurations.
    energy_drift_meV_per_atom_per_ps : float or None
        Slope of the total energy; None without energies.
    temperature_drift_K_per_ps : float or None
        Slope of the kinetic temperature; None without temperatures.
    mean_temperature_K : float or None
        Its average.
    flags : tuple of str
        What speaks against using the run; empty when nothing does.
    """

    moved_atoms: tuple[int, ...]
    energy_drift_meV_per_atom_per_ps: float | None
    temperature_drift_K_per_ps: float | None
    mean_temperature_K: float | None
    flags: tuple[str, ...]


def moved_atoms(unwrapped_positions_A: FloatArray, limit_A: float = 1.0) -> tuple[int, ...]:
    """Find the atoms that changed their site during a run.

    Parameters
    ----------
    unwrapped_positions_A : numpy.ndarray
        Unwrapped Cartesian positions (n_frames, n_atoms, 3) in a fixed cell.
    limit_A : float
        Distance between the average positions of the first and the last third of the frames beyond which an
        atom is taken to have moved; below half the shortest distance of sites, above thermal wandering.

    Returns
    -------
    tuple of int
        Indices of those atoms.

    Raises
    ------
    InputError
        If there are fewer than three frames.
    """
    positions = np.asarray(unwrapped_positions_A, dtype=float)
    if positions.ndim != 3 or len(positions) < 3:
        raise InputError("site changes need at least three frames of positions (n_frames, n_atoms, 3)")
    third = len(positions) // 3
    shift = positions[-third:].mean(axis=0) - positions[:third].mean(axis=0)
    shift -= np.median(shift, axis=0)
    return tuple(int(i) for i in np.flatnonzero(np.linalg.norm(shift, axis=1) > limit_A))


def check_run(
    unwrapped_positions_A: FloatArray,
    times_ps: FloatArray,
    *,
    target_temperature_K: float,
    temperatures_K: FloatArray | None = None,
    total_energies_eV: FloatArray | None = None,
    site_limit_A: float = 1.0,
    energy_drift_limit_meV_per_atom_per_ps: float = 0.5,
    temperature_tolerance: float = 0.1,
) -> RunChecks:
    """Look for site changes, energy drift and a temperature off its target.

    Parameters
    ----------
    unwrapped_positions_A : numpy.ndarray
        Unwrapped Cartesian positions (n_frames, n_atoms, 3).
    times_ps : numpy.ndarray
        Times of the frames (n_frames,).
    target_temperature_K : float
        Temperature that the run was prepared for.
    temperatures_K : numpy.ndarray, optional
        Kinetic temperatures (n_frames,).
    total_energies_eV : numpy.ndarray, optional
        Potential and kinetic energy together (n_frames,).
    site_limit_A : float
        See :func:`moved_atoms`.
    energy_drift_limit_meV_per_atom_per_ps : float
        Drift beyond which the time step or the potential is suspect.
    temperature_tolerance : float
        Relative distance of the mean temperature from the target that is flagged.

    Returns
    -------
    RunChecks
        Numbers and flags.
    """
    n_atoms = unwrapped_positions_A.shape[1]
    moved = moved_atoms(unwrapped_positions_A, site_limit_A)
    flags = []
    if moved:
        flags.append(
            f"{len(moved)} atoms changed their site (first: {moved[0]}): the neighbours' basins are "
            "counted twice"
        )
    drift = temperature_slope = mean_temperature = None
    if total_energies_eV is not None:
        drift = 1e3 * float(np.polyfit(times_ps, total_energies_eV, 1)[0]) / n_atoms
        if abs(drift) > energy_drift_limit_meV_per_atom_per_ps:
            flags.append(f"total energy drifts by {drift:.2f} meV/atom/ps: shorten the time step")
    if temperatures_K is not None:
        mean_temperature = float(np.mean(temperatures_K))
        temperature_slope = float(np.polyfit(times_ps, temperatures_K, 1)[0])
        if abs(mean_temperature / target_temperature_K - 1.0) > temperature_tolerance:
            flags.append(
                f"mean temperature {mean_temperature:.0f} K is off the target {target_temperature_K:.0f} "
                "K: the free "
                "energy belongs to the measured one"
            )
    return RunChecks(moved, drift, temperature_slope, mean_temperature, tuple(flags))
