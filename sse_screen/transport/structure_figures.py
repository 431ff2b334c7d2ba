"""Figures of pair distributions and spectra, without global state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sse_screen.transport.site_figures import COLOURS

Array = NDArray[np.floating]


def pair_distribution_figure(curves: Mapping[str, tuple[Array, Array, float | None]]) -> Figure:
    """Draw partial radial distribution functions, one below the other.

    Parameters
    ----------
    curves : mapping of str to (ndarray, ndarray, float or None)
        By name of the pair: radii (Å), g, and the cutoff (Å) to be marked.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(6, 1.2 + 1.25 * len(curves)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(curves), 1, sharex=True))
    for number, (name, (radii, g, cutoff)) in enumerate(curves.items()):
        axes, colour = panels[number], COLOURS[number % len(COLOURS)]
        axes.axhline(1.0, color="#bbbbbb", lw=0.8)
        axes.plot(radii, g, color=colour, lw=1.4)
        axes.fill_between(radii, g, color=colour, alpha=0.12)
        if cutoff is not None:
            axes.axvline(cutoff, color="#555555", ls=":", lw=1)
        axes.text(0.02, 0.9, name, transform=axes.transAxes, va="top", weight="bold", color=colour)
        axes.set_ylim(0, None)
        axes.set_ylabel("g(r)")
    panels[-1].set_xlabel("r (Å); dotted: coordination cutoff")
    panels[-1].set_xlim(0, None)
    return figure


def spectrum_figure(frequencies_THz: Array, dos_per_species: Mapping[str, Array]) -> Figure:
    """Draw the vibrational density of states, stacked by species.

    Parameters
    ----------
    frequencies_THz : ndarray, shape (n,)
        Frequencies.
    dos_per_species : mapping of str to ndarray, shape (n,)
        Modes per THz.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    bottom = np.zeros(len(frequencies_THz))
    for number, (name, dos) in enumerate(dos_per_species.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.fill_between(frequencies_THz, bottom, bottom + dos, color=colour, alpha=0.55, label=name, lw=0)
        bottom = bottom + dos
    axes.add_collection(LineCollection([np.column_stack([frequencies_THz, bottom])], colors="black", lw=1.0))
    axes.set_xlim(0, float(np.max(frequencies_THz)))
    axes.set_ylim(0, None)
    axes.set_xlabel("frequency (THz)")
    axes.set_ylabel("modes per THz")
    axes.legend()
    return figure


def velocity_autocorrelation_figure(lag_times_ps: Array, per_species: Mapping[str, Array]) -> Figure:
    """Draw the normalised velocity autocorrelation of every species.

    Parameters
    ----------
    lag_times_ps : ndarray, shape (n,)
        Lags.
    per_species : mapping of str to ndarray, shape (n,)
        ⟨v(0)·v(t)⟩ over ⟨v²⟩.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0.0, color="#bbbbbb", lw=0.8)
    for number, (name, values) in enumerate(per_species.items()):
        axes.plot(lag_times_ps, values, color=COLOURS[number % len(COLOURS)], lw=1.4, label=name)
    axes.set_xlim(0, float(np.max(lag_times_ps)))
    axes.set_xlabel("lag time (ps)")
    axes.set_ylabel("velocity autocorrelation / ⟨v²⟩")
    axes.legend(frameon=False)
    return figure
