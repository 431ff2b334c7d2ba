"""Figures of hulls, energy distributions, convergence and densities of states, without global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sse_screen.thermodynamics.composition_space import PlacedEntries
from sse_screen.thermodynamics.hull import HullError
from sse_screen.thermodynamics.partition_function import EnergyHistogram
from sse_screen.thermodynamics.sampling_error import SampleSizeConvergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

_STABLE, _METASTABLE = "#1a4f8a", "#c8553d"
_HULL_RANGE_EV = 0.15


def binary_hull_figure(placed: PlacedEntries, labels: Sequence[str]) -> Figure:
    """Draw formation energy over composition with the hull of two components.

    Parameters
    ----------
    placed : PlacedEntries
        Entries on a hull of two components.
    labels : sequence of str
        Name of each entry; only the stable ones are written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    HullError
        If there are not two components.
    """
    _needs(placed, 2)
    x = placed.space.fractions[:, 1]
    y, what = _heights(placed)
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    corners = placed.hull.vertices[np.argsort(x[placed.hull.vertices])]
    unstable = np.setdiff1d(np.arange(len(x)), corners)
    axes.plot(x[unstable], y[unstable], "x", color=_METASTABLE, label="above the hull", zorder=1)
    axes.plot(x[corners], y[corners], "o-", color=_STABLE, label="convex hull", zorder=2)
    low, high = y[corners].min(), y[corners].max()
    shown = y[unstable][y[unstable] < high + max(_HULL_RANGE_EV, high - low)]
    top = max(high, shown.max(initial=high))
    span = max(top - low, 1e-3)
    axes.set_ylim(low - 0.16 * span, top + 0.16 * span)
    for i in corners:
        rise, side = (6.0, "bottom") if x[i] in (0.0, 1.0) else (-6.0, "top")
        at = (float(x[i]), float(y[i]))
        axes.annotate(_subscripts(labels[i]), at, (0.0, rise), **_TEXT, ha="center", va=side)
    first, second = (_subscripts(name) for name in placed.space.components)
    axes.set(xlabel=f"mole fraction of {second} in {first}", ylabel=what, xlim=(-0.06, 1.06))
    axes.legend(frameon=False)
    return figure


def ternary_hull_figure(placed: PlacedEntries, labels: Sequence[str]) -> Figure:
    """Draw the compositions of three components with the tie lines of the hull and the distances to it.

    Parameters
    ----------
    placed : PlacedEntries
        Entries on a hull of three components.
    labels : sequence of str
        Name of each entry; only the stable ones are written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    HullError
        If there are not three components.
    """
    _needs(placed, 3)
    fractions = placed.space.fractions
    corners_xy = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    points = fractions @ corners_xy
    figure = Figure(figsize=(6.2, 5.2), layout="constrained")
    axes = figure.subplots()
    edges = {
        tuple(sorted((int(a), int(b))))
        for simplex in placed.hull.simplices
        for n, a in enumerate(simplex)
        for b in simplex[n + 1 :]
    }
    axes.plot(*np.vstack([corners_xy, corners_xy[:1]]).T, color="0.75", lw=1, zorder=1)
    for a, b in sorted(edges):
        axes.plot(*points[[a, b]].T, color=_STABLE, lw=1, zorder=2)
    stable = placed.hull.vertices
    others = np.setdiff1d(np.arange(len(points)), stable)
    others = others[np.argsort(-placed.energies_above_hull_eV_per_atom[others])]
    above = 1e3 * placed.energies_above_hull_eV_per_atom[others]
    dots = axes.scatter(
        points[others, 0],
        points[others, 1],
        c=above,
        cmap="viridis_r",
        vmin=0,
        vmax=1e3 * _HULL_RANGE_EV,
        s=28,
        zorder=3,
    )
    axes.scatter(points[stable, 0], points[stable, 1], color=_STABLE, s=42, zorder=4)
    for i in stable:
        _label_ternary(axes, _subscripts(labels[i]), points[i], pure=bool(fractions[i].max() > 1 - 1e-9))
    if others.size:
        figure.colorbar(dots, ax=axes, shrink=0.7, extend="max", label="energy above hull / (meV/atom)")
    axes.set_aspect("equal")
    axes.set(xlim=(-0.14, 1.14), ylim=(-0.12, 0.98))
    axes.set_axis_off()
    return figure


def energy_distribution_figure(
    histograms: Mapping[float, EnergyHistogram], *, symbol: str = "H", title: str = ""
) -> Figure:
    """Draw how many orderings have an energy, and which of them carry the probability at temperatures.

    Parameters
    ----------
    histograms : mapping of float to EnergyHistogram
        By temperature (K); the orderings are those of the first.
    symbol : str
        On the axes, H or F.
    title : str
        Above it.

    Returns
    -------
    matplotlib.figure.Figure
        p(H) in atom/meV over the energy above the lowest ordering in meV/atom.
    """
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    first = next(iter(histograms.values()))
    outline = np.repeat(first.edges_meV_per_atom, 2)
    axes.fill_between(
        outline, 0.0, _outline(first, first.orderings), color="0.85", lw=0, label="all orderings"
    )
    for number, (temperature, found) in enumerate(histograms.items()):
        axes.plot(
            np.repeat(found.edges_meV_per_atom, 2),
            _outline(found, found.probabilities),
            color=f"C{number}",
            lw=1.5,
            label=f"probability at {temperature:g} K",
        )
    axes.set_xlabel(f"{symbol} above the lowest ordering (meV/atom)")
    axes.set_ylabel(f"p({symbol}) (atom/meV)")
    axes.set_title(title, fontsize=9)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _outline(histogram: EnergyHistogram, shares: FloatArray) -> FloatArray:
    """Give the outline of a density over its edges, each taken twice."""
    density = shares / np.diff(histogram.edges_meV_per_atom)
    return np.concatenate([[0.0], np.repeat(density, 2), [0.0]])


def convergence_figure(convergence: SampleSizeConvergence, temperature_K: float) -> Figure:
    """Draw -T S_conf over the number of configurations, rescaled to the whole set and not.

    Parameters
    ----------
    convergence : SampleSizeConvergence
        Means and spreads.
    temperature_K : float
        Temperature, for the title.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    sizes, terms = convergence.sample_sizes, 1e3 * convergence.entropy_terms_eV_per_atom
    spread = 1e3 * convergence.entropy_term_spreads_eV_per_atom
    axes.fill_between(sizes, terms - spread, terms + spread, color=_STABLE, alpha=0.2, lw=0)
    axes.plot(sizes, terms, "o-", color=_STABLE, label="rescaled to all orderings")
    plain = 1e3 * convergence.unscaled_entropy_terms_eV_per_atom
    axes.plot(sizes, plain, "s--", color=_METASTABLE, label="the sample alone")
    axes.set_xscale("log")
    axes.set(
        xlabel="configurations in the sample",
        ylabel=r"$-TS_\mathrm{conf}$ / (meV/atom)",
        title=f"{temperature_K:g} K",
    )
    axes.legend(frameon=False)
    return figure


def density_of_states_figure(
    frequencies_THz: FloatArray,
    densities_per_THz: Mapping[str, FloatArray],
    *,
    spread_per_THz: FloatArray | None = None,
    limit_THz: float | None = None,
) -> Figure:
    """Draw densities of states, species by species and in total.

    Parameters
    ----------
    frequencies_THz : numpy.ndarray
        Frequencies (n_frequencies,).
    densities_per_THz : mapping of str to numpy.ndarray
        Name to modes per THz (n_frequencies,).
    spread_per_THz : numpy.ndarray, optional
        Standard deviation of their sum over configurations (n_frequencies,), drawn as a band.
    limit_THz : float, optional
        Right end of the axis; where 99.9 % of the modes are passed if left out.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    total = np.sum(list(densities_per_THz.values()), axis=0)
    cumulative = np.cumsum(total)
    end = frequencies_THz[int(np.searchsorted(cumulative, 0.999 * cumulative[-1]))] * 1.05
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    if spread_per_THz is not None:
        low, high = total - spread_per_THz, total + spread_per_THz
        axes.fill_between(frequencies_THz, low, high, color="0.5", alpha=0.3, lw=0, label="± 1 sd")
    axes.plot(frequencies_THz, total, color="k", lw=1.4, label="total")
    if len(densities_per_THz) > 1:
        for name, density in densities_per_THz.items():
            axes.plot(frequencies_THz, density, lw=1.1, label=name)
    axes.set(xlabel="frequency / THz", ylabel="modes / THz", xlim=(0, limit_THz or end))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


_TEXT: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9}


def _needs(placed: PlacedEntries, n_components: int) -> None:
    """Refuse a hull of another number of components."""
    found = len(placed.space.components)
    if found != n_components:
        raise HullError(f"this figure is for {n_components} components, the hull has {found}")


def _heights(placed: PlacedEntries) -> tuple[FloatArray, str]:
    """Give what to draw upwards: formation energies, or distances to the hull without references."""
    # Tie lines are straight only in energies per unit of the components.
    unit = "(eV/atom)" if np.allclose(placed.space.units_per_atom, 1.0) else "(eV/end-member formula)"
    formation = placed.formation_energies_eV_per_atom / placed.space.units_per_atom
    if np.isnan(formation).any():
        above = placed.energies_above_hull_eV_per_atom / placed.space.units_per_atom
        return above, f"energy above hull / {unit}"
    return formation, f"formation energy / {unit}"


def _subscripts(formula: str) -> str:
    """Write the numbers of a formula as subscripts."""
    import re

    return re.sub(r"(\d+(?:\.\d+)?)", r"$_{\1}$", formula)


def _label_ternary(axes: Axes, text: str, point: FloatArray, *, pure: bool) -> None:
    """Put a pure component's name outside the triangle, another beside its point."""
    x, y = float(point[0]), float(point[1])
    if pure:
        outward = point - np.array([0.5, np.sqrt(3) / 6])
        offset = 16 * outward / np.linalg.norm(outward)
        axes.annotate(
            text,
            (x, y),
            (float(offset[0]), float(offset[1])),
            **_TEXT,
            ha="center",
            va="center",
            fontweight="bold",
        )
    else:
        axes.annotate(text, (x, y), (5.0, 4.0), **_TEXT)
