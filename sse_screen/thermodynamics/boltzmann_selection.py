"""Draw crystals with Boltzmann weights; the ground states are always among them.

The weights follow Deng et al., J. Mater. Chem. A (2025), 10.1039/D5TA05321H: p proportional to
exp(-E_hull/kT) with E_hull per formula unit at 800 K. What the energy counts per changes the choice more
than the temperature does, so it must be said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from sse_screen.thermodynamics.composition_space import EnergyBasis, PlacedEntries
from sse_screen.thermodynamics.hull import HullError, lowest_entries
from sse_screen.thermodynamics.partition_function import BOLTZMANN_eV_per_K

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class BoltzmannSelection:
    """Entries drawn with Boltzmann weights.

    Attributes
    ----------
    indices : numpy.ndarray
        Selected entries (n_selected,), ascending.
    ground_states : numpy.ndarray
        Those of them that are in because they are the lowest of their composition.
    probabilities : numpy.ndarray
        Boltzmann weight (n_entries,) of every candidate, normalised over all candidates; zero for entries
        that were no candidates.
    basis : {"atom", "formula_unit", "cell"}
        What the energy counts per.
    temperature_K : float
        Temperature of the weights.
    """

    indices: IntArray
    ground_states: IntArray
    probabilities: FloatArray
    basis: EnergyBasis
    temperature_K: float


def gumbel_top_k(log_weights: FloatArray, k: int, rng: np.random.Generator) -> IntArray:
    """Draw k items without replacement, one after the other with probabilities proportional to their weights.

    The k largest of log-weight plus Gumbel noise are such a sample (Vieira 2014; Kool, van Hoof, Welling,
    ICML 2019): no weight underflows, and nothing is rejected.

    Parameters
    ----------
    log_weights : numpy.ndarray
        Logarithms of the weights (n_items,), not normalised; minus infinity is never drawn before others.
    k : int
        Number to draw.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    numpy.ndarray
        Indices (k,) in the order drawn.

    Raises
    ------
    HullError
        If there are not k items.
    """
    if not 0 <= k <= len(log_weights):
        raise HullError(f"cannot draw {k} of {len(log_weights)} candidates")
    keys = log_weights + rng.gumbel(size=len(log_weights))
    return np.argsort(-keys, kind="stable")[:k].astype(np.int64)


def boltzmann_selection(
    placed: PlacedEntries,
    *,
    basis: EnergyBasis,
    temperature_K: float,
    n_selected: int,
    rng: np.random.Generator,
) -> BoltzmannSelection:
    """Select entries by their distance to the hull; the ground state of every composition is always in.

    Parameters
    ----------
    placed : PlacedEntries
        The candidates on their hull. Those below it (left out as suspicious) are never selected.
    basis : {"atom", "formula_unit", "cell"}
        What E_hull is counted per. There is no default.
    temperature_K : float
        Temperature of the weights.
    n_selected : int
        Number to select, ground states included.
    rng : numpy.random.Generator
        Source of random numbers; seed it and store the seed.

    Returns
    -------
    BoltzmannSelection
        The entries and all weights.

    Raises
    ------
    HullError
        If the temperature is not above zero, or the number is smaller than that of the compositions or larger
        than that of the candidates.
    """
    return boltzmann_draw(
        placed.energies_above_hull(basis),
        placed.space.fractions,
        basis=basis,
        temperature_K=temperature_K,
        n_selected=n_selected,
        rng=rng,
    )


def boltzmann_draw(
    energies_above_eV: FloatArray,
    fractions: FloatArray,
    *,
    basis: EnergyBasis,
    temperature_K: float,
    n_selected: int,
    rng: np.random.Generator,
) -> BoltzmannSelection:
    """Select by given energies, as :func:`boltzmann_selection` does, also where there is no hull.

    Parameters
    ----------
    energies_above_eV : numpy.ndarray
        Energies (n_entries,) above the hull, or above the lowest entry of the only composition, in eV per
        ``basis``; entries below zero are never selected.
    fractions : numpy.ndarray
        Composition (n_entries, n_components) of each.
    basis : {"atom", "formula_unit", "cell"}
        What the energies count per.
    temperature_K : float
        Temperature of the weights.
    n_selected : int
        Number to select, ground states included.
    rng : numpy.random.Generator
        Source of random numbers; seed it and store the seed.

    Returns
    -------
    BoltzmannSelection
        The entries and all weights.

    Raises
    ------
    HullError
        As of :func:`boltzmann_selection`.
    """
    if not temperature_K > 0.0:
        raise HullError(f"temperature_K must be above zero, not {temperature_K}")
    above = energies_above_eV
    candidates = np.flatnonzero(above > -1e-9)
    if n_selected > len(candidates):
        raise HullError(f"{n_selected} entries asked for, {len(candidates)} are there: select fewer")
    lowest = candidates[lowest_entries(fractions[candidates], above[candidates])]
    if n_selected < len(lowest):
        raise HullError(
            f"{n_selected} entries cannot hold the ground states of {len(lowest)} compositions: select more"
        )
    log_weights = -above / (BOLTZMANN_eV_per_K * temperature_K)
    probabilities = np.zeros(len(above))
    probabilities[candidates] = np.exp(log_softmax(log_weights[candidates]))
    others = np.setdiff1d(candidates, lowest)
    drawn = others[gumbel_top_k(log_weights[others], n_selected - len(lowest), rng)]
    return BoltzmannSelection(
        np.sort(np.concatenate([lowest, drawn])), lowest, probabilities, basis, float(temperature_K)
    )
