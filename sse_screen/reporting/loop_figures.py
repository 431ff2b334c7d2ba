"""Figures of self-consistent loops: diffusivities by loop, labels and errors by step."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sse_screen.documents.base import Quantity
from sse_screen.documents.self_consistent_loop import SelfConsistentLoopDoc

_COLOURS = ("#1f5fa8", "#d9822b", "#2f8f5b", "#8a3ffc", "#b0344d", "#6b7280")
_BLUE, _ORANGE = _COLOURS[:2]


def loop_diffusivity_figure(document: SelfConsistentLoopDoc) -> Figure | None:
    """Draw the student's diffusivities over the loops, with the teacher's intervals as bands.

    Parameters
    ----------
    document : SelfConsistentLoopDoc
        One loop.

    Returns
    -------
    Figure or None
        None before the first measurement.
    """
    if not document.diffusivities:
        return None
    figure = Figure(figsize=(5.2, 3.9), layout="constrained")
    axes = figure.add_subplot()
    temperatures = sorted({found.temperature_K for found in document.diffusivities})
    loops = [found.loop for found in document.diffusivities]
    ends = np.array([min(loops) - 0.4, max(loops) + 0.4])
    for number, temperature_K in enumerate(temperatures):
        colour = _COLOURS[number % len(_COLOURS)]
        for found in document.teacher_diffusivities:
            if found.temperature_K == temperature_K:
                _draw_band(axes, ends, found.diffusivity, colour)
        mine = [found for found in document.diffusivities if found.temperature_K == temperature_K]
        # next to one another, so that their bars can be told apart
        shift = 0.08 * (number - (len(temperatures) - 1) / 2)
        label = f"{temperature_K:g} K"
        for found in mine:
            label = _draw_point(axes, found.loop + shift, found.diffusivity, colour, label)
    axes.set_yscale("log")
    axes.set_xticks(sorted(set(loops)))
    axes.set_xlabel("loop")
    axes.set_ylabel("tracer diffusivity (cm²/s)")
    verdict = document.verdict.replace("_", " ")
    if document.teacher_verdict is not None:
        verdict += f", {document.teacher_verdict} with the teacher (bands)"
    axes.set_title(f"{document.name}: {verdict}", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_band(axes: Axes, ends: NDArray[np.float64], quantity: Quantity, colour: str) -> None:
    if quantity.value is not None and quantity.lower is not None and quantity.upper is not None:
        axes.fill_between(ends, quantity.lower, quantity.upper, color=colour, alpha=0.15, lw=0)
        axes.plot(ends, [quantity.value] * 2, "--", color=colour, lw=1)


def _draw_point(axes: Axes, x: float, quantity: Quantity, colour: str, label: str) -> str:
    """Draw a value with its interval; give the label of the next one, which is none once it was used."""
    value, lower, upper = quantity.value, quantity.lower, quantity.upper
    if value is None or lower is None or upper is None:
        return label
    bars = np.array([[value - lower], [upper - value]])
    # an open marker where the interval is not to be trusted
    filled = colour if quantity.verdict == "diffusive" else "white"
    axes.errorbar(x, value, bars, fmt="o", color=colour, mfc=filled, capsize=3, ms=5, label=label or None)
    return ""


def loop_step_figure(document: SelfConsistentLoopDoc) -> Figure | None:
    """Draw the labels paid for, and the error of each student on frames that it had not seen, over the steps.

    Parameters
    ----------
    document : SelfConsistentLoopDoc
        One loop.

    Returns
    -------
    Figure or None
        None before the first labels.
    """
    if not document.history:
        return None
    figure = Figure(figsize=(8.4, 3.5), layout="constrained")
    steps = np.arange(len(document.history))
    labels = figure.add_subplot(1, 2, 1)
    labels.plot(steps, np.cumsum([s.n_new_labels for s in document.history]), "o-", color=_BLUE, ms=4)
    labels.set_ylabel("labels paid for")
    errors = figure.add_subplot(1, 2, 2)
    found = [(i, s.force_error_eV_per_A) for i, s in enumerate(document.history) if s.force_error_eV_per_A]
    errors.plot([i for i, _ in found], [1000 * e for _, e in found], "o-", color=_BLUE, ms=4, label="all")
    broken = [(i, e) for i, e in found if document.history[i].broke]
    if broken:
        marks = [1000 * e for _, e in broken]
        errors.plot([i for i, _ in broken], marks, "x", color=_ORANGE, ms=7, label="the student broke")
        errors.legend(frameon=False, fontsize=8)
    if found:
        errors.set_yscale("log")
    errors.set_ylabel("force RMSE before learning (meV/Å)")
    for axes in (labels, errors):
        axes.set_xlabel("step")
    figure.suptitle(f"{document.name}: {document.n_labels} labels in {document.n_loops} loops", fontsize=10)
    return figure
