"""Figures of disordered crystals: which orderings carry the probability, how far the sums can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sse_screen.documents.configuration import ConfigurationDoc
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.thermodynamics.figures import (
    convergence_figure,
    density_of_states_figure,
    energy_distribution_figure,
)
from sse_screen.thermodynamics.partition_function import EnergyHistogram
from sse_screen.thermodynamics.sampling_error import SampleSizeConvergence

FloatArray = NDArray[np.float64]

_BLUE, _ORANGE, _GREY = "#1a4f8a", "#c8553d", "0.55"


def energy_distribution(documents: Sequence[ConfigurationalFreeEnergyDoc]) -> Figure | None:
    """Draw how many orderings have an energy and which of them carry the probability: p(H), or p(F).

    Parameters
    ----------
    documents : sequence of ConfigurationalFreeEnergyDoc
        Of one parent, occupancy class, level of theory and convention, one a temperature.

    Returns
    -------
    Figure or None
        None where there is one ordering only.
    """
    ordered = sorted(documents, key=lambda document: document.temperature_K)
    shown = [(d, d.energy_distribution) for d in ordered if d.energy_distribution is not None]
    if not shown:
        return None
    first = shown[0][0]
    histograms = {
        document.temperature_K: EnergyHistogram(
            np.array(found.bin_edges_meV_per_atom), np.array(found.orderings), np.array(found.probabilities)
        )
        for document, found in shown
    }
    at = f", orderings at {first.temperature_K:g} K" if first.with_vibrations else ""
    return energy_distribution_figure(
        histograms, symbol="F" if first.with_vibrations else "H", title=f"{_name(first)}{at}"
    )


def sample_convergence(document: ConfigurationalFreeEnergyDoc) -> Figure | None:
    """Draw -T S_conf over the number of orderings in random subsets.

    Parameters
    ----------
    document : ConfigurationalFreeEnergyDoc
        One temperature.

    Returns
    -------
    Figure or None
        None where there are fewer than four orderings.
    """
    found = document.convergence
    if found is None:
        return None
    convergence = SampleSizeConvergence(
        np.array(found.sample_sizes),
        np.array(found.free_energies_eV_per_atom),
        np.array(found.free_energy_spreads_eV_per_atom),
        np.array(found.entropy_terms_eV_per_atom),
        np.array(found.entropy_term_spreads_eV_per_atom),
        np.array(found.unscaled_entropy_terms_eV_per_atom),
    )
    return convergence_figure(convergence, document.temperature_K)


def averaged_spectrum(document: ConfigurationalFreeEnergyDoc) -> Figure | None:
    """Draw the density of states averaged over the orderings, with its spread.

    Parameters
    ----------
    document : ConfigurationalFreeEnergyDoc
        One temperature.

    Returns
    -------
    Figure or None
        None without vibrations.
    """
    found = document.averaged_spectrum
    if found is None:
        return None
    return density_of_states_figure(
        np.array(found.frequencies_THz),
        {name: np.array(values) for name, values in found.modes_per_THz.items()},
        spread_per_THz=np.array(found.spread_per_THz),
    )


def phase_comparison(documents: Sequence[ConfigurationalFreeEnergyDoc]) -> Figure | None:
    """Draw the free energies of phases of one formula, such as cubic and tetragonal, against the first.

    Parameters
    ----------
    documents : sequence of ConfigurationalFreeEnergyDoc
        Of one formula, level of theory and convention, all with vibrations or all without.

    Returns
    -------
    Figure or None
        F - F of the first phase, with the intervals of both; None where no two phases share a temperature.
    """
    phases: dict[tuple[str, str], dict[float, ConfigurationalFreeEnergyDoc]] = {}
    for document in documents:
        phases.setdefault((document.parent, document.occupancy_class), {})[document.temperature_K] = document
    (_, reference), *others = sorted(phases.items())
    others = [(key, phase) for key, phase in others if phase.keys() & reference.keys()]
    if not others:
        return None
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    first = next(iter(reference.values()))
    axes.axhline(0.0, color=_GREY, lw=1, label=_name(first))
    for number, (_, phase) in enumerate(others):
        pairs = [(t, phase[t], reference[t]) for t in sorted(phase.keys() & reference.keys())]
        temperatures = [t for t, _, _ in pairs]
        differences = [1e3 * (a.free_energy_eV_per_atom - b.free_energy_eV_per_atom) for _, a, b in pairs]
        errors = [1e3 * np.hypot(_half_width(a), _half_width(b)) for _, a, b in pairs]
        label = _name(pairs[0][1])
        axes.errorbar(temperatures, differences, errors, fmt="o-", color=f"C{number}", capsize=3, label=label)
    axes.set_xlabel("temperature (K)")
    axes.set_ylabel(f"F relative to {first.parent_name or first.formula} (meV/atom)")
    axes.set_title("with vibrations" if first.with_vibrations else "without vibrations", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure


def configuration_energies(documents: Sequence[ConfigurationDoc]) -> Figure:
    """Draw the relaxed energies of orderings, with those whose ions left their sites apart.

    Parameters
    ----------
    documents : sequence of ConfigurationDoc
        Of one parent, occupancy class and level of theory.

    Returns
    -------
    Figure
        Number of symmetry-unique orderings by energy above the lowest of them.
    """
    energies = np.array([document.energy_eV_per_atom for document in documents])
    above = 1e3 * (energies - energies.min())
    kinds = np.array([_kind(document) for document in documents])
    edges = np.linspace(0.0, max(float(above.max()), 1e-3), 31)
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    colours = {"ions on their sites": _BLUE, "ions on other sites": _ORANGE, "no ordering any more": _GREY}
    bottom = np.zeros(30)
    for kind, colour in colours.items():
        if (kinds == kind).any():
            counts = np.histogram(above[kinds == kind], edges)[0]
            top = bottom + counts
            axes.fill_between(
                np.repeat(edges, 2), _steps(bottom), _steps(top), color=colour, lw=0, label=kind
            )
            bottom = top
    first = documents[0]
    axes.set_xlabel("relaxed energy above the lowest (meV/atom)")
    axes.set_ylabel("orderings")
    axes.set_title(f"{first.parent_name}, {first.occupancy_class}: {len(documents)} orderings", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _steps(values: FloatArray) -> FloatArray:
    """Give a histogram's outline (2 n_bins + 2,) over its edges, each taken twice."""
    return np.concatenate([[0.0], np.repeat(values, 2), [0.0]])


def _kind(document: ConfigurationDoc) -> str:
    if document.n_moved_ions is None or document.reached_id == document.configuration_id:
        return "ions on their sites"
    return "no ordering any more" if document.reached_id is None else "ions on other sites"


def _name(document: ConfigurationalFreeEnergyDoc) -> str:
    return f"{document.parent_name or document.formula}, {document.occupancy_class}"


def _half_width(document: ConfigurationalFreeEnergyDoc) -> float:
    bounds = document.free_energy
    if bounds.lower is None or bounds.upper is None:
        return 0.0
    return (bounds.upper - bounds.lower) / 2
