"""Figures of transport: displacement curve with its fit, start of the fit, Arrhenius line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats
from matplotlib import rc_context
from matplotlib.figure import Figure

from sse_screen.exceptions import InputError
from sse_screen.transport.arrhenius import ArrheniusFit
from sse_screen.transport.diffusivity import TracerDiffusivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOBILE, _FIT = "#1a4f8a", "#c8553d"
_FRAMEWORK = ("#6b7f3a", "#8a6d1a", "#7a4f8a", "#4a7f7f", "#777777", "#a05a7a")
_TEMPERATURE_TICKS_K = (200, 250, 300, 400, 500, 600, 700, 800, 1000, 1200, 1500, 2000)


def image_bytes(figure: Figure, format: str = "png") -> bytes:
    """Return a figure as PNG or SVG."""
    buffer = io.BytesIO()
    # No date and no random ids: the same figure gives the same bytes.
    metadata = {"Date": None} if format == "svg" else None
    with rc_context({"svg.hashsalt": "sse-screen"}):
        figure.savefig(buffer, format=format, dpi=150, metadata=metadata)
    return buffer.getvalue()


def save_image(figure: Figure, file: Path, option: str) -> None:
    """Write a figure into the PNG or SVG file that a user named.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    file : Path
        Its ending tells the format.
    option : str
        Name of the option, for messages.

    Raises
    ------
    InputError
        If the name ends otherwise, or the file cannot be written.
    """
    format = file.suffix.lower().lstrip(".")
    if format not in ("png", "svg"):
        raise InputError(f"{option} {file}: the name must end in .png or .svg")
    try:
        file.write_bytes(image_bytes(figure, format))
    except OSError as error:
        raise InputError(f"{option} {file}: cannot be written ({error.strerror or error})") from error


def displacement_figure(result: TracerDiffusivity, mobile: str = "mobile ion") -> Figure:
    """Draw the displacement curves on logarithmic axes with the fit, its window and its band.

    Parameters
    ----------
    result : TracerDiffusivity
        Curves and fit.
    mobile : str
        Name of the mobile ion in the legend.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    curve = result.mean_squared_displacement
    # A line of one or two points cannot be seen.
    marker = "o" if len(curve.times_ps) < 5 else None
    axes.loglog(
        curve.times_ps, _positive(curve.values_A2), marker=marker, color=_MOBILE, lw=1.8, label=mobile
    )
    for color, (symbol, other) in zip(
        _FRAMEWORK, result.framework_mean_squared_displacement.items(), strict=False
    ):
        axes.loglog(
            other.times_ps, _positive(other.values_A2), marker=marker, color=color, lw=1.1, label=symbol
        )
    _draw_fit(axes, result)
    hop = result.hop_distance_A**2
    axes.axhline(hop, color="0.6", lw=0.8, ls=":")
    axes.annotate(
        "one squared hop",
        (0.01, hop),
        xycoords=("axes fraction", "data"),
        va="bottom",
        fontsize=8,
        color="0.4",
    )
    axes.set_xlabel("lag time (ps)")
    axes.set_ylabel("mean squared displacement (Å²)")
    axes.set_title(_headline(result), fontsize=10)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return figure


def _draw_fit(axes: Axes, result: TracerDiffusivity) -> None:
    """Draw the window, the line and its band; nothing if there is no fit."""
    window = result.window
    if window is None:
        return
    z = float(scipy.stats.norm.ppf(0.5 + result.estimate.confidence / 2))
    times = np.geomspace(window.start_ps, window.end_ps, 100)
    low, high = (window.slope_A2_per_ps * np.exp(sign * z * window.log_error) for sign in (-1, 1))
    # The line pivots where the curve is best known: at the start of the window.
    at_start = window.intercept_A2 + window.slope_A2_per_ps * window.start_ps
    lower, upper = (np.maximum(at_start + slope * (times - window.start_ps), 1e-6) for slope in (low, high))
    axes.axvspan(window.start_ps, window.end_ps, color="0.93", zorder=0)
    axes.fill_between(times, lower, upper, color=_FIT, alpha=0.18, lw=0)
    line = window.intercept_A2 + window.slope_A2_per_ps * times
    axes.loglog(times, np.maximum(line, 1e-6), color=_FIT, ls="--", lw=1.4, label="fit and 95 % band")


def _positive(values: list[float]) -> np.ndarray:
    """Return values that logarithmic axes can show (zeros become gaps)."""
    array = np.array(values)
    return np.where(array > 0, array, np.nan)


def _headline(result: TracerDiffusivity) -> str:
    """Return verdict and number in one line."""
    found = result.tracer_diffusivity
    if found.verdict == "diffusive" and found.value is not None:
        return f"D = {found.value:.2e} cm²/s ({found.lower:.2e} to {found.upper:.2e})"
    if found.verdict == "upper_limit":
        return f"upper limit: D < {found.upper:.2e} cm²/s"
    return f"no diffusivity: {found.verdict}"


def start_figure(result: TracerDiffusivity) -> Figure:
    """Draw the diffusivity against the start of the fit, with the chosen one and its interval."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    window = result.window
    if window is None:
        axes.text(0.5, 0.5, "no fit", ha="center", va="center", transform=axes.transAxes)
        return figure
    axes.plot(
        window.starts_ps, window.diffusivities_cm2_per_s, "o-", color=_MOBILE, ms=4, label="other starts"
    )
    found = result.estimate
    assert found.value is not None
    axes.errorbar(
        [window.start_ps],
        [found.value],
        yerr=[[found.value - (found.lower or 0.0)], [(found.upper or found.value) - found.value]],
        fmt="s",
        color=_FIT,
        capsize=4,
        label="chosen, 95 % interval",
    )
    axes.set_xlabel("start of the fit (ps)")
    axes.set_ylabel("diffusivity (cm²/s)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return figure


def arrhenius_figure(fit: ArrheniusFit, target_K: float | None = 300.0) -> Figure:
    """Draw ln D against 1000/T with the line, its band, upper limits and an extrapolation.

    Parameters
    ----------
    fit : ArrheniusFit
        Points and line.
    target_K : float, optional
        Temperature to which the line is continued, where the fit allows it.
    """
    figure = Figure(figsize=(6.0, 4.6), layout="constrained")
    axes = figure.subplots()
    z = float(scipy.stats.norm.ppf(0.5 + fit.confidence / 2))
    for limit in (False, True):
        chosen = [point for point in fit.points if point.upper_limit is limit]
        x = [1000 / point.temperature_K for point in chosen]
        y = np.array([point.diffusivity_cm2_per_s for point in chosen])
        if limit and chosen:
            axes.plot(x, y, "v", color="0.45", label="upper limit")
        elif chosen:
            errors = np.array([z * (point.log_error or 0.0) for point in chosen])
            bars = np.array([y * (1 - np.exp(-errors)), y * (np.exp(errors) - 1)])
            axes.errorbar(x, y, yerr=bars, fmt="o", color=_MOBILE, capsize=3, label="measured")
    _draw_line(axes, fit, target_K)
    axes.set_yscale("log")
    axes.set_xlabel("1000 / T (1/K)")
    axes.set_ylabel("diffusivity (cm²/s)")
    energy = fit.activation_energy
    if energy.lower is not None and energy.upper is not None:
        ends = f"{energy.lower:.3f} to {energy.upper:.3f}"
        text = f"{ends} eV, {energy.verdict}" if energy.value is None else f"{energy.value:.3f} eV ({ends})"
        axes.set_title(f"E$_a$ = {text}", fontsize=10)
    else:
        axes.set_title("no activation energy: " + "; ".join(energy.reasons), fontsize=9)
    axes.legend(frameon=False, fontsize=9)
    add_temperature_axis(axes)
    return figure


def add_temperature_axis(axes: Axes) -> None:
    """Add the temperatures above an axis of 1000/T, whose limits have to be final.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        With 1000/T in 1/K from left to right.
    """
    top = axes.secondary_xaxis("top", functions=(_inverse, _inverse))
    top.set_xlabel("T (K)")
    low, high = sorted(_inverse(np.array(axes.get_xlim())))
    top.set_xticks([t for t in _TEMPERATURE_TICKS_K if low <= t <= high])


def _inverse(values: Any) -> Any:
    """Return 1000/x, from T to 1000/T and back."""
    return 1000 / np.maximum(values, 1e-9)


def _draw_line(axes: Axes, fit: ArrheniusFit, target_K: float | None) -> None:
    """Draw the line with its band within the points and, where allowed, on to the target."""
    measured = [point.temperature_K for point in fit.points if not point.upper_limit]
    if fit.parameters is None or not measured:
        return
    low, high = min(measured), max(measured)
    if target_K is not None and fit.diffusivity_at(target_K).upper is not None:
        low, high = min(low, target_K), max(high, target_K)
    found = [(t, fit.diffusivity_at(t)) for t in 1 / np.linspace(1 / high, 1 / low, 60)]
    drawn = [(1000 / t, q.lower, q.upper) for t, q in found if q.upper is not None]
    if not drawn:
        return
    x, lower, upper = (np.array(column, dtype=float) for column in zip(*drawn, strict=True))
    y = np.sqrt(lower * upper)  # the line itself, also where it is known too badly to have a value
    inside = (x >= 1000 / max(measured) - 1e-9) & (x <= 1000 / min(measured) + 1e-9)
    axes.plot(x[inside], y[inside], color=_FIT, lw=1.4, label="fit and 95 % band")
    if not inside.all():
        axes.plot(x[~inside], y[~inside], color=_FIT, lw=1.4, ls="--", label="extrapolated")
    axes.fill_between(x, lower, upper, color=_FIT, alpha=0.18, lw=0)
