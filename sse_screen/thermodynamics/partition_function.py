"""Configurational free energy: the partition function over the orderings of a disordered crystal.

Convention ``physical`` (the default): the Boltzmann factor holds the energy of the whole cell, every
symmetry-unique ordering counts with its degeneracy, and the sums are divided by the number of atoms at the
end.

Convention ``per_atom``: as published by Yang, Yin, Li, Phys. Chem. Chem. Phys. 27, 9095 (2025): the energy
per atom in the Boltzmann factor, every ordering counted once, S = k ln Z with energies measured from the
lowest, and G = <H> - T S. It counts U - E_0 twice and makes T S too large by about the number of atoms; it
exists here only so that published tables can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import physical_constants
from scipy.special import logsumexp

from sse_screen.exceptions import InputError

FloatArray = NDArray[np.float64]
Convention = Literal["physical", "per_atom"]

BOLTZMANN_eV_per_K: float = physical_constants["Boltzmann constant in eV/K"][0]


class FreeEnergyError(InputError):
    """A free energy could not be computed from the numbers given."""


@dataclass(frozen=True)
class ConfigurationalFreeEnergy:
    """Thermodynamics of a set of orderings at one temperature, per cell.

    Attributes
    ----------
    temperature_K : float
        Temperature.
    convention : {"physical", "per_atom"}
        How the sums were made; the numbers of the two are not comparable.
    atoms_per_cell : int
        Atoms in the cell that the energies belong to.
    probabilities : numpy.ndarray
        Probability (n_configurations,) of each symmetry-unique ordering, its degeneracy included.
    ln_partition_function : float
        ln Z with energies measured from the lowest.
    lowest_energy_eV_per_cell : float
        The lowest energy (or free energy) among the orderings.
    free_energy_eV_per_cell : float
        F = E_0 - kT ln Z (``physical``); <H> - T S (``per_atom``).
    mean_energy_eV_per_cell : float
        Average of the energies (or free energies) that stand in the Boltzmann factor.
    internal_energy_eV_per_cell : float
        U, the average of the internal energies; NaN when the orderings have free energies without entropies.
    configurational_entropy_eV_per_K_per_cell : float
        -k sum p ln(p/g) (``physical``); k ln Z (``per_atom``).
    vibrational_entropy_eV_per_K_per_cell : float
        Average of the orderings' own entropies; zero without vibrations, NaN when not given.
    effective_sample_size : float
        1 / sum p^2: how many orderings carry the result.
    total_weight : float
        Orderings that the sum stands for: labelled (``physical``) or symmetry-unique (``per_atom``).
    """

    temperature_K: float
    convention: Convention
    atoms_per_cell: int
    probabilities: FloatArray
    ln_partition_function: float
    lowest_energy_eV_per_cell: float
    free_energy_eV_per_cell: float
    mean_energy_eV_per_cell: float
    internal_energy_eV_per_cell: float
    configurational_entropy_eV_per_K_per_cell: float
    vibrational_entropy_eV_per_K_per_cell: float
    effective_sample_size: float
    total_weight: float

    @property
    def ln_partition_function_absolute(self) -> float:
        """Logarithm of Z with the energies as they were given.

        Returns
        -------
        float
            ln Z, energies not measured from the lowest.
        """
        thermal = BOLTZMANN_eV_per_K * self.temperature_K
        return self.ln_partition_function - self.lowest_energy_eV_per_cell / thermal

    @property
    def entropy_eV_per_K_per_cell(self) -> float:
        """Configurational and vibrational entropy together; (U - F)/T in the physical convention.

        Returns
        -------
        float
            Entropy, eV/K per cell.
        """
        return self.configurational_entropy_eV_per_K_per_cell + self.vibrational_entropy_eV_per_K_per_cell

    @property
    def free_energy_eV_per_atom(self) -> float:
        """Free energy an atom.

        Returns
        -------
        float
            Free energy, eV per atom.
        """
        return self.free_energy_eV_per_cell / self.atoms_per_cell

    @property
    def maximum_entropy_eV_per_K_per_cell(self) -> float:
        """Bound of the configurational entropy: k times the logarithm of the number of orderings.

        Returns
        -------
        float
            Entropy, eV/K per cell.
        """
        # The published convention takes k ln Z for an entropy per atom, so a "cell" has N times that.
        scale = 1.0 if self.convention == "physical" else float(self.atoms_per_cell)
        return BOLTZMANN_eV_per_K * float(np.log(self.total_weight)) * scale


def check_configurations(
    energies_eV_per_cell: ArrayLike, degeneracies: ArrayLike | None, atoms_per_cell: int
) -> tuple[FloatArray, FloatArray]:
    """Check the energies and degeneracies of a set of orderings.

    Parameters
    ----------
    energies_eV_per_cell : array_like
        Energies (n_configurations,).
    degeneracies : array_like or None
        Positive weights (n_configurations,); ones when None.
    atoms_per_cell : int
        Atoms in the cell.

    Returns
    -------
    energies, degeneracies : numpy.ndarray
        Both as floats.

    Raises
    ------
    FreeEnergyError
        If there are none, shapes differ, a number is not finite or a degeneracy not positive.
    """
    energies = np.asarray(energies_eV_per_cell, dtype=float)
    weights = np.ones_like(energies) if degeneracies is None else np.asarray(degeneracies, dtype=float)
    if energies.ndim != 1 or energies.size == 0:
        raise FreeEnergyError("a partition function needs at least one configuration")
    if weights.shape != energies.shape:
        raise FreeEnergyError(
            f"{energies.size} energies and {weights.size} degeneracies do not belong together"
        )
    if not np.isfinite(energies).all():
        raise FreeEnergyError(
            f"energy of configuration {int(np.argmin(np.isfinite(energies)))} is not a finite number"
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise FreeEnergyError("degeneracies must be positive numbers")
    if atoms_per_cell < 1:
        raise FreeEnergyError(f"atoms per cell must be at least 1, not {atoms_per_cell}")
    return energies, weights


def configurational_free_energy(
    energies_eV_per_cell: ArrayLike,
    temperature_K: float,
    *,
    atoms_per_cell: int,
    degeneracies: ArrayLike | None = None,
    convention: Convention = "physical",
    entropies_eV_per_K_per_cell: ArrayLike | None = None,
    energies_are_free: bool = False,
    total_weight: float | None = None,
) -> ConfigurationalFreeEnergy:
    """Sum over the orderings of a disordered crystal at one temperature.

    Parameters
    ----------
    energies_eV_per_cell : array_like
        Energies, or free energies F_i(T), of the orderings (n_configurations,).
    temperature_K : float
        Temperature.
    atoms_per_cell : int
        Atoms in the cell.
    degeneracies : array_like, optional
        Number of symmetry-equivalent orderings of each (n_configurations,); not used by ``per_atom``.
    convention : {"physical", "per_atom"}
        See the module's text.
    entropies_eV_per_K_per_cell : array_like, optional
        Entropy S_i = -dF_i/dT of each ordering, so that U_i = F_i + T S_i; implies free energies.
    energies_are_free : bool
        True when the energies are F_i(T) whose S_i is not known: then U and the vibrational entropy are NaN.
    total_weight : float, optional
        Number of orderings that an unbiased sample stands for (labelled in ``physical``, symmetry-unique in
        ``per_atom``): ln Z = ln W + ln of the weighted mean Boltzmann factor. Left out: the list is complete.

    Returns
    -------
    ConfigurationalFreeEnergy
        All quantities per cell.

    Raises
    ------
    FreeEnergyError
        If the input makes no sense.
    """
    energies, weights = check_configurations(energies_eV_per_cell, degeneracies, atoms_per_cell)
    if not (np.isfinite(temperature_K) and temperature_K > 0):
        raise FreeEnergyError(f"temperature_K must be above zero, not {temperature_K}")
    if convention not in ("physical", "per_atom"):
        raise FreeEnergyError(f"convention {convention!r} is unknown: choose physical or per_atom")
    if convention == "per_atom":
        weights = np.ones_like(energies)
    if total_weight is not None:
        weights = _rescaled(weights, total_weight)
    entropies = _own_entropies(energies, entropies_eV_per_K_per_cell, energies_are_free)
    scale = 1.0 if convention == "physical" else float(atoms_per_cell)
    thermal = BOLTZMANN_eV_per_K * temperature_K
    lowest = float(energies.min())
    exponents = np.log(weights) - (energies - lowest) / (scale * thermal)
    ln_z = float(logsumexp(exponents))
    ln_p = exponents - ln_z
    probabilities = np.exp(ln_p)
    mean_energy = float(probabilities @ energies)
    if convention == "physical":
        entropy = -BOLTZMANN_eV_per_K * float(probabilities @ (ln_p - np.log(weights)))
        free_energy = lowest - thermal * ln_z
    else:
        entropy = scale * BOLTZMANN_eV_per_K * ln_z
        free_energy = mean_energy - temperature_K * entropy
    own_entropy = float(probabilities @ entropies)
    return ConfigurationalFreeEnergy(
        temperature_K=float(temperature_K),
        convention=convention,
        atoms_per_cell=atoms_per_cell,
        probabilities=probabilities,
        ln_partition_function=ln_z,
        lowest_energy_eV_per_cell=lowest,
        free_energy_eV_per_cell=free_energy,
        mean_energy_eV_per_cell=mean_energy,
        internal_energy_eV_per_cell=mean_energy + temperature_K * own_entropy,
        configurational_entropy_eV_per_K_per_cell=entropy,
        vibrational_entropy_eV_per_K_per_cell=own_entropy,
        effective_sample_size=float(1.0 / (probabilities @ probabilities)),
        total_weight=float(weights.sum()),
    )


def entropies_from_free_energies(
    temperatures_K: ArrayLike, free_energies_eV_per_cell: ArrayLike
) -> FloatArray:
    """Differentiate free energies over a temperature grid, S = -dF/dT.

    Parameters
    ----------
    temperatures_K : array_like
        At least four increasing temperatures (n_temperatures,); a spline through fewer is no derivative.
    free_energies_eV_per_cell : array_like
        Free energies (n_configurations, n_temperatures).

    Returns
    -------
    numpy.ndarray
        Entropies (n_configurations, n_temperatures), eV/K per cell.

    Raises
    ------
    FreeEnergyError
        If there are fewer than four temperatures or they do not increase.
    """
    from scipy.interpolate import CubicSpline

    temperatures = np.asarray(temperatures_K, dtype=float)
    if temperatures.size < 4 or (np.diff(temperatures) <= 0).any():
        raise FreeEnergyError("a derivative with temperature needs at least four increasing temperatures")
    return -CubicSpline(temperatures, np.asarray(free_energies_eV_per_cell), axis=-1)(temperatures, 1)


def compare_phases(
    first: list[ConfigurationalFreeEnergy], second: list[ConfigurationalFreeEnergy]
) -> FloatArray:
    """Compare two phases of one composition, such as cubic and tetragonal, over temperatures.

    Parameters
    ----------
    first, second : list of ConfigurationalFreeEnergy
        Results at the same temperatures, in the same order and convention; a phase without disorder is one
        configuration. Whoever calls has to see that both come from the same potential.

    Returns
    -------
    numpy.ndarray
        F(second) - F(first) (n_temperatures,), eV per atom: negative where the second phase is stable.

    Raises
    ------
    FreeEnergyError
        If temperatures or conventions differ.
    """
    temperatures = [r.temperature_K for r in first]
    if temperatures != [r.temperature_K for r in second]:
        raise FreeEnergyError("two phases can be compared only at the same temperatures")
    if len({r.convention for r in [*first, *second]}) != 1:
        raise FreeEnergyError("two phases can be compared only in one convention")
    return np.array(
        [b.free_energy_eV_per_atom - a.free_energy_eV_per_atom for a, b in zip(first, second, strict=True)]
    )


def _rescaled(weights: FloatArray, total_weight: float) -> FloatArray:
    """Let a sample's weights add up to those of the whole set."""
    if not np.isfinite(total_weight) or total_weight < weights.sum() * (1.0 - 1e-9):
        raise FreeEnergyError(
            f"the total weight {total_weight:g} is less than the {weights.sum():g} of the configurations"
        )
    return weights * (total_weight / weights.sum())


def _own_entropies(energies: FloatArray, entropies: ArrayLike | None, energies_are_free: bool) -> FloatArray:
    """Give the orderings' own entropies: given, unknown (NaN) or none."""
    if entropies is None:
        return np.full_like(energies, np.nan if energies_are_free else 0.0)
    values = np.asarray(entropies, dtype=float)
    if values.shape != energies.shape:
        raise FreeEnergyError(f"{energies.size} energies and {values.size} entropies do not belong together")
    return values


@dataclass(frozen=True)
class EnergyHistogram:
    """How many orderings have an energy, and how probable it is at a temperature.

    Attributes
    ----------
    edges_meV_per_atom : numpy.ndarray
        Edges (n_bins + 1,) of the bins, energies (or free energies) above the lowest.
    orderings : numpy.ndarray
        Share (n_bins,) of the orderings, degeneracies included.
    probabilities : numpy.ndarray
        Probability (n_bins,) at the temperature.
    """

    edges_meV_per_atom: FloatArray
    orderings: FloatArray
    probabilities: FloatArray


def energy_histogram(
    energies_eV_per_cell: ArrayLike,
    result: ConfigurationalFreeEnergy,
    degeneracies: ArrayLike | None = None,
) -> EnergyHistogram | None:
    """Sort the orderings of a sum into at most sixty bins of energy.

    Parameters
    ----------
    energies_eV_per_cell : array_like
        Energies, or free energies, that stood in the Boltzmann factors (n_configurations,).
    result : ConfigurationalFreeEnergy
        The sum over them.
    degeneracies : array_like, optional
        Weights (n_configurations,) of the orderings; the convention ``per_atom`` has none.

    Returns
    -------
    EnergyHistogram or None
        None where all have the same energy.
    """
    energies = np.asarray(energies_eV_per_cell, dtype=float)
    above = 1e3 * (energies - result.lowest_energy_eV_per_cell) / result.atoms_per_cell
    if above.max() <= 0.0:
        return None
    edges = np.linspace(0.0, float(above.max()), min(60, len(above)) + 1)
    counted = degeneracies is not None and result.convention == "physical"
    weights = np.asarray(degeneracies, dtype=float) if counted else np.ones(len(above))
    return EnergyHistogram(
        edges,
        np.histogram(above, edges, weights=weights / weights.sum())[0],
        np.histogram(above, edges, weights=result.probabilities)[0],
    )
