"""How far a configurational free energy can be trusted: sampling, noise in the energies, convergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sse_screen.thermodynamics.partition_function import (
    BOLTZMANN_eV_per_K,
    Convention,
    FreeEnergyError,
    check_configurations,
    configurational_free_energy,
)

FloatArray = NDArray[np.float64]

MINIMUM_EFFECTIVE_SAMPLE = 100.0
"""Below it the bootstrap understates the error: the few orderings that matter may all be missing."""

MAXIMUM_NOISE_IN_kT = 2.0
"""Noise beyond which the order of the orderings is not known."""
_FEWEST_REPEATS = 5


@dataclass(frozen=True)
class BootstrapInterval:
    """Interval of a free energy from resampling its configurations.

    Attributes
    ----------
    lower_eV_per_cell, upper_eV_per_cell : float
        Ends of the interval.
    standard_error_eV_per_cell : float
        Standard deviation over the resamples.
    confidence : float
        Probability meant.
    warnings : tuple of str
        Why the interval is too narrow, where it is.
    """

    lower_eV_per_cell: float
    upper_eV_per_cell: float
    standard_error_eV_per_cell: float
    confidence: float
    warnings: tuple[str, ...]


def bootstrap_free_energy(
    energies_eV_per_cell: ArrayLike,
    temperature_K: float,
    *,
    atoms_per_cell: int,
    rng: np.random.Generator,
    degeneracies: ArrayLike | None = None,
    convention: Convention = "physical",
    total_weight: float | None = None,
    n_resamples: int = 400,
    confidence: float = 0.95,
) -> BootstrapInterval:
    """Resample the configurations to get an interval for the free energy of the whole set.

    Parameters
    ----------
    energies_eV_per_cell : array_like
        Energies (n_configurations,) of an unbiased sample.
    temperature_K : float
        Temperature.
    atoms_per_cell : int
        Atoms in the cell.
    rng : numpy.random.Generator
        Source of random numbers.
    degeneracies : array_like, optional
        Weights (n_configurations,).
    convention : {"physical", "per_atom"}
        See :mod:`sse_screen.thermodynamics.partition_function`.
    total_weight : float, optional
        Orderings that the sample stands for; its own weight if left out.
    n_resamples : int
        Number of resamples.
    confidence : float
        Probability that the interval is to hold the truth.

    Returns
    -------
    BootstrapInterval
        The interval, with a warning when the effective sample size is below 100.
    """
    energies, weights = check_configurations(energies_eV_per_cell, degeneracies, atoms_per_cell)
    full = configurational_free_energy(
        energies,
        temperature_K,
        atoms_per_cell=atoms_per_cell,
        degeneracies=weights,
        convention=convention,
        total_weight=total_weight,
    )
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        picked = rng.integers(0, len(energies), len(energies))
        # The weights of a resample are rescaled to those of the whole, so that only energies vary.
        values[i] = configurational_free_energy(
            energies[picked],
            temperature_K,
            atoms_per_cell=atoms_per_cell,
            degeneracies=weights[picked] * (full.total_weight * 1e-6 / weights.sum()),
            convention=convention,
            total_weight=full.total_weight,
        ).free_energy_eV_per_cell
    tail = 50.0 * (1.0 - confidence)
    lower, upper = np.percentile(values, [tail, 100.0 - tail])
    warnings = []
    if full.effective_sample_size < MINIMUM_EFFECTIVE_SAMPLE:
        warnings.append(
            f"effective sample size {full.effective_sample_size:.1f} is below "
            f"{MINIMUM_EFFECTIVE_SAMPLE:.0f}: the bootstrap understates the error"
        )
    return BootstrapInterval(
        float(lower), float(upper), float(values.std(ddof=1)), confidence, tuple(warnings)
    )


@dataclass(frozen=True)
class NoiseCorrection:
    """What random errors in the configurations' energies do to the free energy.

    Attributes
    ----------
    shift_eV_per_cell : float
        Amount -sigma^2/2kT by which the noise has lowered the free energy; subtract it to correct.
    noise_in_kT : float
        sigma / kT.
    ranking_allowed : bool
        False when sigma exceeds 2 kT: the order of the configurations is not known then.
    reasons : tuple of str
        What to know before using the correction.
    """

    shift_eV_per_cell: float
    noise_in_kT: float
    ranking_allowed: bool
    reasons: tuple[str, ...]


def noise_correction(
    noise_eV_per_cell: float, temperature_K: float, effective_sample_size: float
) -> NoiseCorrection:
    """Give the bias that Gaussian noise in the energies causes, and whether a ranking means anything.

    Independent Gaussian errors multiply the mean Boltzmann factor by exp(sigma^2 / 2 (kT)^2).

    Parameters
    ----------
    noise_eV_per_cell : float
        Standard deviation sigma of the error of one cell's energy relative to the others.
    temperature_K : float
        Temperature.
    effective_sample_size : float
        1 / sum p^2 of the configurations.

    Returns
    -------
    NoiseCorrection
        Shift, size and verdict.

    Raises
    ------
    FreeEnergyError
        If the noise is negative or the temperature not positive.
    """
    if not noise_eV_per_cell >= 0.0 or not temperature_K > 0.0:
        raise FreeEnergyError("noise must not be negative, and the temperature must be above zero")
    thermal = BOLTZMANN_eV_per_K * temperature_K
    ratio = noise_eV_per_cell / thermal
    reasons = []
    if ratio > MAXIMUM_NOISE_IN_kT:
        reasons.append(
            f"noise of {ratio:.1f} kT a cell exceeds {MAXIMUM_NOISE_IN_kT:g} kT: the configurations cannot "
            "be ranked, and the correction is not reliable"
        )
    if ratio > 0.0 and effective_sample_size < MINIMUM_EFFECTIVE_SAMPLE:
        reasons.append(
            f"effective sample size {effective_sample_size:.1f}: the correction assumes many configurations, "
            "with few it is too large"
        )
    return NoiseCorrection(
        -(noise_eV_per_cell**2) / (2.0 * thermal), ratio, ratio <= MAXIMUM_NOISE_IN_kT, tuple(reasons)
    )


def noise_from_repeats(first_eV_per_cell: ArrayLike, second_eV_per_cell: ArrayLike) -> float | None:
    """Estimate the error of one configuration's energy from two independent values for each of several.

    A difference common to all of them (runs of another temperature) is no noise and is taken out.

    Parameters
    ----------
    first_eV_per_cell, second_eV_per_cell : array_like
        Two values (n_configurations,) with errors of the same size.

    Returns
    -------
    float or None
        Standard deviation of one value; None for fewer than five configurations.
    """
    differences = np.asarray(first_eV_per_cell, dtype=float) - np.asarray(second_eV_per_cell, dtype=float)
    if differences.size < _FEWEST_REPEATS:
        return None
    return float(differences.std(ddof=1) / np.sqrt(2.0))


@dataclass(frozen=True)
class SampleSizeConvergence:
    """How the free energy and the entropy settle with the number of configurations.

    Attributes
    ----------
    sample_sizes : numpy.ndarray
        Numbers of configurations (n_sizes,).
    free_energies_eV_per_atom, free_energy_spreads_eV_per_atom : numpy.ndarray
        Mean and standard deviation (n_sizes,) over random subsets, rescaled to the whole set.
    entropy_terms_eV_per_atom, entropy_term_spreads_eV_per_atom : numpy.ndarray
        The same for -T S_conf.
    unscaled_entropy_terms_eV_per_atom : numpy.ndarray
        Mean of -T S_conf without the rescaling, as in published convergence plots.
    """

    sample_sizes: NDArray[np.int64]
    free_energies_eV_per_atom: FloatArray
    free_energy_spreads_eV_per_atom: FloatArray
    entropy_terms_eV_per_atom: FloatArray
    entropy_term_spreads_eV_per_atom: FloatArray
    unscaled_entropy_terms_eV_per_atom: FloatArray


def convergence_with_sample_size(
    energies_eV_per_cell: ArrayLike,
    temperature_K: float,
    *,
    atoms_per_cell: int,
    rng: np.random.Generator,
    degeneracies: ArrayLike | None = None,
    convention: Convention = "physical",
    total_weight: float | None = None,
    n_sizes: int = 12,
    n_subsets: int = 20,
) -> SampleSizeConvergence:
    """Repeat the sums over random subsets of growing size.

    Parameters
    ----------
    energies_eV_per_cell : array_like
        Energies (n_configurations,).
    temperature_K : float
        Temperature.
    atoms_per_cell : int
        Atoms in the cell.
    rng : numpy.random.Generator
        Source of random numbers.
    degeneracies : array_like, optional
        Weights (n_configurations,).
    convention : {"physical", "per_atom"}
        See :mod:`sse_screen.thermodynamics.partition_function`.
    total_weight : float, optional
        Orderings that the configurations stand for; their own weight if left out.
    n_sizes : int
        Number of sizes, spaced geometrically.
    n_subsets : int
        Subsets drawn at each size.

    Returns
    -------
    SampleSizeConvergence
        Means and spreads at each size.
    """
    energies, weights = check_configurations(energies_eV_per_cell, degeneracies, atoms_per_cell)
    counted = weights if convention == "physical" else np.ones_like(weights)
    whole = float(counted.sum()) if total_weight is None else total_weight
    sizes = np.unique(np.geomspace(min(2, len(energies)), len(energies), n_sizes).round().astype(np.int64))
    common: dict[str, Any] = {"atoms_per_cell": atoms_per_cell, "convention": convention}
    values = np.empty((len(sizes), n_subsets, 3))
    for i, size in enumerate(sizes):
        for j in range(n_subsets):
            picked = rng.choice(len(energies), size, replace=False)
            scaled = configurational_free_energy(
                energies[picked], temperature_K, degeneracies=weights[picked], total_weight=whole, **common
            )
            plain = configurational_free_energy(
                energies[picked], temperature_K, degeneracies=weights[picked], **common
            )
            values[i, j] = (
                scaled.free_energy_eV_per_cell,
                -temperature_K * scaled.configurational_entropy_eV_per_K_per_cell,
                -temperature_K * plain.configurational_entropy_eV_per_K_per_cell,
            )
    values /= atoms_per_cell
    means, spreads = values.mean(axis=1), values.std(axis=1)
    return SampleSizeConvergence(sizes, means[:, 0], spreads[:, 0], means[:, 1], spreads[:, 1], means[:, 2])
