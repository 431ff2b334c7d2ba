"""Vibrational density of states and its quantum-harmonic thermodynamics.

One form for all sources (molecular dynamics, phonons, Einstein and Debye models): numbers of modes at nodes
of frequency. A sum over nodes is then every integral over the density of states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import physical_constants

from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.partition_function import BOLTZMANN_eV_per_K

FloatArray = NDArray[np.float64]

PLANCK_eV_per_THz: float = physical_constants["Planck constant in eV/Hz"][0] * 1e12
LARGEST_ENTROPY_AT_300_K = 6.0
"""Entropy in k per atom at 300 K beyond which a density of states is no crystal's."""


class VibrationError(InputError):
    """A density of states, or what was asked of it, makes no sense."""


@dataclass(frozen=True)
class DensityOfStates:
    """Vibrational modes by frequency and species.

    Attributes
    ----------
    frequencies_THz : numpy.ndarray
        Nodes (n_nodes,), above zero: see :func:`from_density` for the lowest one.
    modes : dict of str to numpy.ndarray
        Number of modes (n_nodes,) at each node, by species (or one entry ``total``).
    spacing_THz : float or None
        Distance of the nodes where they are a grid; None for discrete modes.
    """

    frequencies_THz: FloatArray
    modes: dict[str, FloatArray]
    spacing_THz: float | None = None

    @property
    def total_modes(self) -> FloatArray:
        """Number of modes at each node, all species.

        Returns
        -------
        numpy.ndarray
            Modes (n_nodes,).
        """
        return np.sum(list(self.modes.values()), axis=0)

    @property
    def n_modes(self) -> float:
        """Number of modes: 3N, or 3N - 3 without the centre of mass.

        Returns
        -------
        float
            Sum over nodes and species.
        """
        return float(self.total_modes.sum())

    @property
    def cell_widths_THz(self) -> FloatArray:
        """Width of the cell of each node; half a spacing at both ends. Refused for discrete modes.

        Returns
        -------
        numpy.ndarray
            Widths (n_nodes,), THz.
        """
        if self.spacing_THz is None:
            raise VibrationError("discrete modes have no density")
        widths = np.full(len(self.frequencies_THz), self.spacing_THz)
        widths[[0, -1]] *= 0.5
        return widths

    def density_per_THz(self, species: str | None = None) -> FloatArray:
        """Give the density of states.

        Parameters
        ----------
        species : str, optional
            One species; all if left out.

        Returns
        -------
        numpy.ndarray
            Modes per THz (n_nodes,).

        Raises
        ------
        VibrationError
            If the modes are discrete.
        """
        modes = self.total_modes if species is None else self.modes[species]
        return modes / self.cell_widths_THz

    def normalised(self, n_modes: float) -> DensityOfStates:
        """Scale all species by one factor to a number of modes.

        Parameters
        ----------
        n_modes : float
            Number wanted.

        Returns
        -------
        DensityOfStates
            The scaled one.
        """
        factor = n_modes / self.n_modes
        scaled = {name: modes * factor for name, modes in self.modes.items()}
        return DensityOfStates(self.frequencies_THz, scaled, self.spacing_THz)


def regridded(density: DensityOfStates, spacing_THz: float, highest_THz: float) -> DensityOfStates:
    """Move the modes to the nodes of another even grid, so that spectra of different runs can be averaged.

    Every mode is shared between the two nodes beside it, which keeps the number of modes and their mean
    frequency.

    Parameters
    ----------
    density : DensityOfStates
        The modes.
    spacing_THz : float
        Distance of the new nodes.
    highest_THz : float
        Last node; no mode may lie above it.

    Returns
    -------
    DensityOfStates
        The same modes on the new grid.

    Raises
    ------
    VibrationError
        If modes lie above the last node.
    """
    n_nodes = round(highest_THz / spacing_THz) + 1
    place = density.frequencies_THz / spacing_THz
    above = density.total_modes[place > n_nodes - 1].sum()
    if above > 1e-4 * density.n_modes:
        raise VibrationError(f"{above:.3g} modes lie above the grid's end at {highest_THz:g} THz")
    left = np.clip(place.astype(np.int64), 0, n_nodes - 2)
    share = np.clip(place - left, 0.0, 1.0)
    modes: dict[str, FloatArray] = {}
    for name, values in density.modes.items():
        modes[name] = np.zeros(n_nodes)
        np.add.at(modes[name], left, values * (1.0 - share))
        np.add.at(modes[name], left + 1, values * share)
    nodes: FloatArray = np.linspace(0.0, (n_nodes - 1) * spacing_THz, n_nodes)
    nodes[0] = spacing_THz / (2.0 * np.pi)
    return DensityOfStates(nodes, modes, spacing_THz)


def broadened(density: DensityOfStates, width_THz: float) -> DensityOfStates:
    """Smear modes over what a short run can resolve, so that spectra of different runs can be compared.

    Parameters
    ----------
    density : DensityOfStates
        Modes on a grid.
    width_THz : float
        Standard deviation of the Gaussian.

    Returns
    -------
    DensityOfStates
        As many modes, on the same grid.

    Raises
    ------
    VibrationError
        If the modes are discrete.
    """
    from scipy.ndimage import gaussian_filter1d

    if density.spacing_THz is None:
        raise VibrationError("discrete modes have no density")
    sigma = width_THz / density.spacing_THz
    modes = {name: gaussian_filter1d(values, sigma, mode="reflect") for name, values in density.modes.items()}
    return DensityOfStates(density.frequencies_THz, modes, density.spacing_THz)


def discrete_modes(frequencies_THz: ArrayLike, modes: ArrayLike | None = None) -> DensityOfStates:
    """Make a density of states of discrete modes (an Einstein crystal, phonons at a mesh of wave vectors).

    Parameters
    ----------
    frequencies_THz : array_like
        Frequencies (n_modes,), above zero.
    modes : array_like, optional
        Number of modes at each; one if left out.

    Returns
    -------
    DensityOfStates
        With one entry ``total``.

    Raises
    ------
    VibrationError
        If a frequency is not above zero (imaginary modes are no vibrations) or a number negative.
    """
    frequencies = np.atleast_1d(np.asarray(frequencies_THz, dtype=float))
    numbers = np.ones_like(frequencies) if modes is None else np.atleast_1d(np.asarray(modes, dtype=float))
    _check(frequencies, {"total": numbers})
    if (frequencies <= 0).any():
        raise VibrationError(
            f"{int((frequencies <= 0).sum())} modes have zero or imaginary frequency: relax the crystal "
            "further, "
            "or leave out the translations"
        )
    return DensityOfStates(frequencies, {"total": numbers})


def from_density(
    frequencies_THz: ArrayLike, densities_per_THz: Mapping[str, ArrayLike] | ArrayLike
) -> DensityOfStates:
    """Make a density of states from values on an even grid that starts at zero (trapezoidal rule).

    The cell of half a spacing at zero frequency gets the node at spacing/(2 pi): with it the sum of the
    logarithms of a constant density, and so free energy and entropy, equal the integral (Stirling's formula).

    Parameters
    ----------
    frequencies_THz : array_like
        Even grid (n_nodes,) from zero.
    densities_per_THz : mapping of str to array_like, or array_like
        Modes per THz (n_nodes,), by species or in total.

    Returns
    -------
    DensityOfStates
        Nodes and numbers of modes.

    Raises
    ------
    VibrationError
        If the grid is uneven or does not start at zero, or a density is negative.
    """
    grid = np.asarray(frequencies_THz, dtype=float)
    named = densities_per_THz if isinstance(densities_per_THz, Mapping) else {"total": densities_per_THz}
    densities = {name: np.asarray(values, dtype=float) for name, values in named.items()}
    _check(grid, densities)
    if len(grid) < 3 or abs(grid[0]) > 1e-12 or not np.allclose(np.diff(grid), grid[1], rtol=1e-6):
        raise VibrationError("a density of states needs an even grid of frequencies from zero")
    spacing = float(grid[-1] / (len(grid) - 1))
    nodes = grid.copy()
    nodes[0] = spacing / (2.0 * np.pi)
    widths = DensityOfStates(nodes, {}, spacing).cell_widths_THz
    modes = {name: np.clip(values, 0.0, None) * widths for name, values in densities.items()}
    return DensityOfStates(nodes, modes, spacing)


@dataclass(frozen=True)
class VibrationalThermodynamics:
    """Thermal functions of a set of modes at one temperature, for all its modes together.

    Attributes
    ----------
    temperature_K : float
        Temperature.
    free_energy_eV : float
        F, zero-point energy included.
    internal_energy_eV : float
        U, zero-point energy included.
    entropy_eV_per_K : float
        S = (U - F)/T.
    heat_capacity_eV_per_K : float
        C_v.
    """

    temperature_K: float
    free_energy_eV: float
    internal_energy_eV: float
    entropy_eV_per_K: float
    heat_capacity_eV_per_K: float


def harmonic_thermodynamics(
    density: DensityOfStates, temperature_K: float, *, relaxed_energy_eV: float = 0.0
) -> VibrationalThermodynamics:
    """Sum the quantum harmonic oscillators of a density of states.

    F = E_0 + kT sum w ln[2 sinh(h nu / 2kT)], with ln[2 sinh x] = x + ln(1 - exp(-2x)).

    Parameters
    ----------
    density : DensityOfStates
        The modes.
    temperature_K : float
        Temperature.
    relaxed_energy_eV : float
        E_0, the energy of the relaxed crystal that has these modes. Not the average of a dynamics: that holds
        the thermal energy already.

    Returns
    -------
    VibrationalThermodynamics
        F and U with E_0, S and C_v, for all modes.

    Raises
    ------
    VibrationError
        If the temperature is not above zero.
    """
    if not (np.isfinite(temperature_K) and temperature_K > 0):
        raise VibrationError(f"temperature_K must be above zero, not {temperature_K}")
    thermal = BOLTZMANN_eV_per_K * temperature_K
    x = PLANCK_eV_per_THz * density.frequencies_THz / (2.0 * thermal)
    modes = density.total_modes
    log_sinh = x + np.log1p(-np.exp(-2.0 * x))
    x_coth = x / np.tanh(x)
    # x/sinh(x) written without overflow at large x
    x_over_sinh = 2.0 * x * np.exp(-x) / -np.expm1(-2.0 * x)
    return VibrationalThermodynamics(
        temperature_K=float(temperature_K),
        free_energy_eV=relaxed_energy_eV + thermal * float(modes @ log_sinh),
        internal_energy_eV=relaxed_energy_eV + thermal * float(modes @ x_coth),
        entropy_eV_per_K=BOLTZMANN_eV_per_K * float(modes @ (x_coth - log_sinh)),
        heat_capacity_eV_per_K=BOLTZMANN_eV_per_K * float(modes @ x_over_sinh**2),
    )


def refuse_unphysical_entropy(density: DensityOfStates, n_atoms: int) -> None:
    """Refuse a density of states whose entropy at 300 K no crystal has.

    Parameters
    ----------
    density : DensityOfStates
        The modes of ``n_atoms`` atoms.
    n_atoms : int
        Number of atoms.

    Raises
    ------
    VibrationError
        If the harmonic entropy at 300 K exceeds 6 k per atom.
    """
    entropy = harmonic_thermodynamics(density, 300.0).entropy_eV_per_K / (BOLTZMANN_eV_per_K * n_atoms)
    if entropy > LARGEST_ENTROPY_AT_300_K:
        raise VibrationError(
            f"the entropy at 300 K is {entropy:.1f} k per atom, beyond the {LARGEST_ENTROPY_AT_300_K:g} k "
            "of any "
            "crystal: were velocities sampled too rarely, the run too short, or the ions diffusing?"
        )


@dataclass(frozen=True)
class AveragedDensityOfStates:
    """Density of states averaged over configurations.

    Attributes
    ----------
    mean : DensityOfStates
        Average with the configurations' probabilities.
    spread_per_THz : numpy.ndarray
        Weighted standard deviation (n_nodes,) of the total over configurations, modes per THz.
    standard_error_per_THz : numpy.ndarray
        The spread over the square root of the effective number of configurations (n_nodes,).
    effective_sample_size : float
        1 / sum p^2.
    """

    mean: DensityOfStates
    spread_per_THz: FloatArray
    standard_error_per_THz: FloatArray
    effective_sample_size: float


def average_over_configurations(
    weighted: Iterable[tuple[DensityOfStates, float]],
) -> AveragedDensityOfStates:
    """Average densities of states with the probabilities of their configurations.

    They are taken one after another (West, *Commun. ACM* 22, 532 (1979)), so that any number of them needs
    the memory of a few.

    Parameters
    ----------
    weighted : iterable of (DensityOfStates, float)
        One a configuration with its probability, all on one grid and with the same species; probabilities are
        normalised here.

    Returns
    -------
    AveragedDensityOfStates
        Mean, spread and standard error.

    Raises
    ------
    VibrationError
        If grids or species differ, a probability is negative, or all are zero.
    """
    first: DensityOfStates | None = None
    total = of_squares = 0.0
    mean: dict[str, FloatArray] = {}
    centre, squares = np.zeros(1), np.zeros(1)
    for density, weight in weighted:
        first = first or density
        _check_alike(first, density, weight)
        total, of_squares = total + weight, of_squares + weight**2
        share = weight / total if total > 0 else 0.0
        for name, modes in density.modes.items():
            mean[name] = mean.get(name, np.zeros_like(modes)) * (1.0 - share) + share * modes
        step = density.density_per_THz() - centre
        centre = centre + share * step
        squares = squares + weight * step * (density.density_per_THz() - centre)
    if first is None or total <= 0:
        raise VibrationError("an average needs densities of states with probabilities, not all zero")
    average = DensityOfStates(first.frequencies_THz, mean, first.spacing_THz)
    effective = total**2 / of_squares
    variance = np.maximum(squares, 0.0) / total
    if effective > 1.0 + 1e-9:
        variance *= effective / (effective - 1.0)
    spread = np.sqrt(variance)
    return AveragedDensityOfStates(average, spread, spread / np.sqrt(effective), effective)


def _check_alike(first: DensityOfStates, other: DensityOfStates, probability: float) -> None:
    """Refuse another grid, other species and what is no probability."""
    same_grid = other.frequencies_THz.shape == first.frequencies_THz.shape and np.allclose(
        other.frequencies_THz, first.frequencies_THz, rtol=1e-9
    )
    if not same_grid or other.modes.keys() != first.modes.keys():
        raise VibrationError("densities of states on different grids or of different species: cannot average")
    if not probability >= 0.0:
        raise VibrationError(f"probability {probability}: give numbers of 0 or more")


def _check(frequencies: FloatArray, values: Mapping[str, FloatArray]) -> None:
    """Refuse what is not finite, of another shape, or negative beyond rounding."""
    for name, numbers in values.items():
        if numbers.shape != frequencies.shape or frequencies.ndim != 1:
            raise VibrationError(
                f"density of {name}: {numbers.size} values at {frequencies.size} frequencies"
            )
        if not (np.isfinite(numbers).all() and np.isfinite(frequencies).all()):
            raise VibrationError(f"density of {name} has values that are not finite numbers")
        if numbers.min(initial=0.0) < -1e-9 * max(1e-300, float(np.abs(numbers).max(initial=0.0))):
            raise VibrationError(
                f"density of {name} is negative ({numbers.min():.3g}) at "
                f"{frequencies[numbers.argmin()]:.3g} THz: "
                "a density of states cannot be; smooth or recompute it"
            )
