"""Figures of derived documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter
from numpy.typing import NDArray
from scipy.stats import norm

from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.documents.site_network import SiteNetworkDoc
from sse_screen.documents.structure_function import StructureFunctionDoc
from sse_screen.documents.vibrational_free_energy import SPACING_THz, VibrationalFreeEnergyDoc
from sse_screen.reporting.ranking import quantity_text
from sse_screen.thermodynamics.composition_space import elemental_space, end_member_space, place_on_hull
from sse_screen.thermodynamics.figures import (
    binary_hull_figure,
    density_of_states_figure,
    ternary_hull_figure,
)
from sse_screen.transport.network import JumpNetwork
from sse_screen.transport.site_figures import (
    jump_network_figure,
    jump_network_plotly,
)
from sse_screen.transport.sites import SiteSet
from sse_screen.transport.structure_figures import (
    pair_distribution_figure,
    spectrum_figure,
    velocity_autocorrelation_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

_BLUE, _GREY, _ORANGE = "#1f5fa8", "#8a8f98", "#d9822b"


def displacement_figure(document: DiffusivityDoc) -> Figure:
    """Draw the mean squared displacement of every species with the fit and its window.

    Parameters
    ----------
    document : DiffusivityDoc
        One material and temperature.

    Returns
    -------
    Figure
        Logarithmic on both axes.
    """
    figure = Figure(figsize=(5.2, 3.9), layout="constrained")
    axes = figure.add_subplot()
    framework = 0
    for curve in document.mean_squared_displacements:
        times, values = np.array(curve.times_ps), np.array(curve.values_A2)
        kept = (times > 0) & (values > 0)
        framework += not curve.mobile
        style: dict[str, Any] = {"color": _BLUE, "lw": 2.0} if curve.mobile else {"color": _GREY, "lw": 1.2}
        line = ("-", "--", ":", "-.")[framework % 4] if not curve.mobile else "-"
        # a line of one or two points cannot be seen
        style["marker"] = "o" if len(times) < 5 else "none"
        axes.loglog(times[kept], values[kept], line, label=curve.species, **style)
    window = document.fit_window
    if window is not None:
        times = np.geomspace(window.start_ps, window.end_ps, 50)
        fitted = window.intercept_A2 + window.slope_A2_per_ps * times
        half = float(norm.ppf(0.5 + document.slope.confidence / 2)) * window.log_error
        # the line pivots where the curve is best known: at the start of the window
        slopes = [window.slope_A2_per_ps * np.exp(sign * half) for sign in (-1, 1)]
        ends = [np.maximum(fitted[0] + slope * (times - times[0]), 1e-6) for slope in slopes]
        axes.fill_between(times, *ends, color=_ORANGE, alpha=0.25, lw=0)
        axes.loglog(times, np.maximum(fitted, 1e-6), color=_ORANGE, lw=1.4, label="fit and 95 % band")
        axes.axvspan(window.start_ps, window.end_ps, color=_ORANGE, alpha=0.10, lw=0)
    axes.axhline(document.hop_distance_A**2, color=_GREY, lw=0.7, ls=(0, (1, 3)))
    hop = (0.01, document.hop_distance_A**2)
    axes.annotate(
        "one squared hop", hop, xycoords=("axes fraction", "data"), fontsize=8, color=_GREY, va="bottom"
    )
    axes.set_xlabel("lag time (ps)")
    axes.set_ylabel("mean squared displacement (Å²)")
    verdict = document.verdict.replace("_", " ")
    axes.set_title(f"{document.material_name}, {document.temperature_K:g} K: {verdict}", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return figure


def arrhenius_figure(document: ActivationEnergyDoc) -> Figure:
    """Draw the diffusivities with their intervals, upper limits as arrows, the fit and its band.

    Parameters
    ----------
    document : ActivationEnergyDoc
        One material.

    Returns
    -------
    Figure
        Logarithm of D over 1000/T.
    """
    figure = Figure(figsize=(5.2, 3.9), layout="constrained")
    axes = figure.add_subplot()
    _draw_fit(axes, document)
    _draw_points(axes, document)
    axes.set_yscale("log")
    axes.set_xlabel("1000/T (1/K)")
    axes.set_ylabel("tracer diffusivity (cm²/s)")
    energy = document.activation_energy
    verdict = document.verdict.replace("_", " ")
    text = f"E_a = {quantity_text(energy)}" if energy.value is not None else verdict
    if energy.value is None and energy.upper is not None:
        text = f"E_a = {quantity_text(energy)}, {verdict}"
    axes.set_title(f"{document.material_name}: {text}", fontsize=10)
    _temperature_axis(axes, [point.temperature_K for point in document.points])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_points(axes: Axes, document: ActivationEnergyDoc) -> None:
    values, limits = [], []
    for point in document.points:
        x, quantity = 1000 / point.temperature_K, point.tracer_diffusivity
        value, lower, upper = quantity.value, quantity.lower, quantity.upper
        if quantity.verdict == "upper_limit" and upper is not None:
            limits.append((x, upper))
        elif value is not None and lower is not None and upper is not None:
            values.append((x, value, lower, upper))
    # labels stand on the points: those of bars do not reach interactive figures
    if limits:
        x, upper = np.array(limits).T
        bars = np.array([0.55 * upper, 0 * upper])
        axes.errorbar(x, upper, bars, uplims=True, fmt="none", color=_GREY)
        axes.plot(x, upper, "_", color=_GREY, ms=9, label="upper limit")
    if values:
        x, value, lower, upper = np.array(values).T
        axes.errorbar(x, value, [value - lower, upper - value], fmt="none", color=_BLUE, capsize=3)
        axes.plot(x, value, "o", color=_BLUE, ms=5, label="measured")


def _draw_fit(axes: Axes, document: ActivationEnergyDoc) -> None:
    fit = document.fit
    if fit is None or fit.parameters is None:
        return
    temperatures = [point.temperature_K for point in document.points]
    inverse = np.linspace(1 / max(temperatures), 1 / min(temperatures), 40)
    quantities = [fit.diffusivity_at(float(1 / x)) for x in inverse]
    pairs = zip(inverse, quantities, strict=True)
    band = [(1000 * x, q.lower, q.upper) for x, q in pairs if q.lower is not None and q.upper is not None]
    if not band:
        return
    x, lower, upper = np.array(band).T
    axes.plot(x, np.sqrt(lower * upper), color=_ORANGE, lw=1.4, label="fit")
    axes.fill_between(x, lower, upper, color=_ORANGE, alpha=0.15, lw=0, label="its interval")


def _temperature_axis(axes: Axes, temperatures_K: list[float]) -> None:
    top = axes.secondary_xaxis("top", functions=(lambda x: x, lambda x: x))
    top.xaxis.set_major_locator(FixedLocator([1000 / t for t in temperatures_K]))
    top.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{1000 / x:.0f} K"))
    top.xaxis.set_minor_formatter(NullFormatter())
    top.tick_params(labelsize=8)


def hull_figure(document: ConvexHullDoc) -> Figure | None:
    """Draw a hull of two or three components.

    Parameters
    ----------
    document : ConvexHullDoc
        Any hull.

    Returns
    -------
    Figure or None
        None for more components, which a plane cannot show.
    """
    formulas = [entry.formula for entry in document.entries]
    elements = elemental_space(formulas)
    is_elemental = list(elements.components) == document.components
    space = elements if is_elemental else end_member_space(formulas, document.components)
    energies = np.array([entry.energy_eV_per_atom for entry in document.entries])
    left_out = np.array([entry.suspicious for entry in document.entries])
    placed = place_on_hull(space, energies, left_out)
    draw = {2: binary_hull_figure, 3: ternary_hull_figure}.get(len(document.components))
    return None if draw is None else draw(placed, formulas)


def free_energy_figure(documents: Sequence[ConfigurationalFreeEnergyDoc]) -> Figure:
    """Draw the free energy over temperature with its interval, and the entropy's share of it.

    Parameters
    ----------
    documents : sequence of ConfigurationalFreeEnergyDoc
        Of one parent, occupancy class, level of theory and convention, one a temperature.

    Returns
    -------
    Figure
        F above the lowest ordering's energy, -T S_conf and, where known, -T S_vib, meV/atom.
    """
    ordered = sorted(documents, key=lambda document: document.temperature_K)
    first = ordered[0]
    temperatures = [document.temperature_K for document in ordered]
    lowest = np.array([document.lowest_energy_eV_per_atom for document in ordered])
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0.0, color=_GREY, lw=0.7)
    # With vibrations the lowest free energy itself falls with temperature: it is measured from the first one.
    values = 1e3 * (np.array([d.free_energy_eV_per_atom for d in ordered]) - lowest[0])
    axes.plot(temperatures, values, "o-", color=_BLUE, label="F")
    bounds = [(d.temperature_K, d.free_energy.lower, d.free_energy.upper) for d in ordered]
    known = [(t, low, high) for t, low, high in bounds if low is not None and high is not None]
    if known:
        t, low, high = np.array(known).T
        shift = 1e3 * lowest[0]
        axes.fill_between(t, 1e3 * low - shift, 1e3 * high - shift, color=_BLUE, alpha=0.15, lw=0)
    entropy = [1e3 * d.configurational_entropy_term_eV_per_atom for d in ordered]
    axes.plot(temperatures, entropy, "s--", color=_ORANGE, label="-T S, configurational")
    vibrational = [d.vibrational_entropy_meV_per_K_per_atom for d in ordered]
    if first.with_vibrations and all(value is not None for value in vibrational):
        terms = -np.array(temperatures) * np.array(vibrational, dtype=float)
        axes.plot(temperatures, terms, "^:", color=_GREY, label="-T S, vibrational")
    reference = f" at {temperatures[0]:g} K" if first.with_vibrations else ""
    axes.set_xlabel("temperature (K)")
    axes.set_ylabel("meV/atom")
    axes.set_title(
        f"{first.parent_name or first.formula}, {first.occupancy_class}\n"
        f"{first.convention}, F from the lowest ordering{reference}",
        fontsize=9,
    )
    axes.legend(frameon=False, fontsize=8)
    return figure


def network_figure(document: SiteNetworkDoc) -> Figure | None:
    """Draw sites and jumps.

    Parameters
    ----------
    document : SiteNetworkDoc
        Any network.

    Returns
    -------
    Figure or None
        None without sites.
    """
    return jump_network_figure(*_network(document)) if document.sites else None


def network_plotly(document: SiteNetworkDoc) -> dict[str, Any] | None:
    """Draw sites and jumps for the browser.

    Parameters
    ----------
    document : SiteNetworkDoc
        Any network.

    Returns
    -------
    dict or None
        Plotly's JSON; None without sites.
    """
    if not document.sites:
        return None
    sites, network, _ = _network(document)
    content: dict[str, Any] = json.loads(jump_network_plotly(sites, network).to_json())
    return content


def _network(document: SiteNetworkDoc) -> tuple[SiteSet, JumpNetwork, FloatArray]:
    sites, edges = document.sites, document.edges
    fractional = np.array([site.fractional for site in sites])
    numbers = np.array([(e.origin, e.destination, e.forward, e.backward) for e in edges], dtype=np.int64)
    origin, destination, forward, backward = numbers.reshape(-1, 4).T
    image = np.array([edge.image for edge in edges], dtype=np.int64).reshape(-1, 3)
    return (
        SiteSet(fractional, np.array(document.lattice_A), tuple(site.type for site in sites)),
        JumpNetwork(len(sites), origin, destination, image, forward, backward),
        np.array([site.occupancy for site in sites]),
    )


def distribution_figure(document: StructureFunctionDoc) -> Figure:
    """Draw the radial distribution functions of all pairs with their coordination numbers.

    Parameters
    ----------
    document : StructureFunctionDoc
        Any structure functions.

    Returns
    -------
    Figure
        One panel a pair.
    """
    curves: dict[str, tuple[FloatArray, FloatArray, float | None]] = {}
    for pair in document.pair_distributions:
        if pair.centre <= pair.neighbour:
            number = pair.coordination_number
            name = f"{pair.centre}–{pair.neighbour}" + (f": {number:.1f} neighbours" if number else "")
            curves[name] = (np.array(pair.radii_A), np.array(pair.g), pair.cutoff_A)
    return pair_distribution_figure(curves)


def spectrum(document: StructureFunctionDoc) -> Figure | None:
    """Draw the vibrational density of states.

    Parameters
    ----------
    document : StructureFunctionDoc
        Any structure functions.

    Returns
    -------
    Figure or None
        None where velocities were not stored.
    """
    if not document.spectrum:
        return None
    parts = {part.species: np.array(part.dos) for part in document.spectrum}
    return spectrum_figure(np.array(document.frequencies_THz), parts)


def velocity_autocorrelation(document: StructureFunctionDoc) -> Figure | None:
    """Draw the velocity autocorrelations.

    Parameters
    ----------
    document : StructureFunctionDoc
        Any structure functions.

    Returns
    -------
    Figure or None
        None where velocities were not stored.
    """
    if not document.spectrum:
        return None
    parts = {part.species: np.array(part.velocity_autocorrelation) for part in document.spectrum}
    return velocity_autocorrelation_figure(np.array(document.lag_times_ps), parts)


def density_of_states(document: VibrationalFreeEnergyDoc) -> Figure:
    """Draw the density of states that a vibrational free energy came from.

    Parameters
    ----------
    document : VibrationalFreeEnergyDoc
        One configuration.

    Returns
    -------
    Figure
        By species and in total.
    """
    density = document.density
    per_THz = {name: modes / SPACING_THz for name, modes in density.modes.items()}
    return density_of_states_figure(density.frequencies_THz, per_THz)
