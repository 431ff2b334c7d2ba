"""Figure of jump rates over temperatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.units import kB
from matplotlib.figure import Figure

from sse_screen.transport.figures import add_temperature_axis
from sse_screen.transport.site_figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sse_screen.documents.jump_barrier import JumpBarrier, JumpBarriers

_LIMIT = "no jump seen: 95 % limit"


def jump_rates_figure(document: JumpBarriers) -> Figure | None:
    """Draw the rates of all kinds of jumps against 1000/T with their Poisson intervals and fitted lines.

    Parameters
    ----------
    document : JumpBarriers
        Rates and fits; of more than eight kinds those with the most jumps are drawn.

    Returns
    -------
    matplotlib.figure.Figure or None
        Temperatures without a jump as upper limits; None where no jump was seen at any.
    """
    if not document.kinds:
        return None
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    drawn = document.kinds[: len(COLOURS)]
    for colour, kind in zip(COLOURS, drawn, strict=False):
        _draw_kind(axes, kind, colour)
    axes.set_yscale("log")
    axes.set_xlabel("1000 / T (1/K)")
    axes.set_ylabel("jumps per ion and time at the origin (1/ps)")
    left_out = len(document.kinds) - len(drawn)
    more = f" ({left_out} rarer kinds not drawn)" if left_out else ""
    axes.set_title(f"{document.formula}: jumps of {document.mobile_ion}{more}", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    add_temperature_axis(axes)
    return figure


def _draw_kind(axes: Axes, kind: JumpBarrier, colour: str) -> None:
    """Draw the rates, limits and line of one kind of jump."""
    label = f"{kind.origin} → {kind.destination}: {_energy(kind)}"
    seen = [(1000 / p.temperature_K, p.rate.value, p.rate.lower, p.rate.upper) for p in kind.rates if p.count]
    x, value, lower, upper = (np.array(column, dtype=float) for column in zip(*seen, strict=True))
    bars = np.array([value - lower, upper - value])
    axes.errorbar(x, value, yerr=bars, fmt="none", color=colour, capsize=3)
    # The label stands on the points: that of bars does not reach interactive figures.
    axes.plot(x, value, "o", ms=5, color=colour, label=label)
    limits = [
        (1000 / p.temperature_K, p.rate.upper)
        for p in kind.rates
        if p.rate.verdict == "upper_limit" and p.rate.upper is not None
    ]
    if limits:
        told = any(handle.get_label() == _LIMIT for handle in axes.get_lines())
        inverse, upper = np.array(limits).T
        name = "_" if told else _LIMIT
        axes.plot(inverse, upper, "v", ms=6, mfc="none", color=colour, label=name)
    barrier, attempt = kind.barrier.value, kind.attempt_frequency.value
    if barrier is not None and attempt is not None:
        ends = [point.temperature_K for point in kind.rates]
        inverse = np.linspace(1 / max(ends), 1 / min(ends), 40)
        axes.plot(1000 * inverse, attempt * np.exp(-barrier / kB * inverse), color=colour, lw=1.3)


def _energy(kind: JumpBarrier) -> str:
    """Return the barrier with its interval as text."""
    barrier = kind.barrier
    if barrier.value is not None and barrier.lower is not None and barrier.upper is not None:
        return f"{barrier.value:.3f} eV ({barrier.lower:.3f} to {barrier.upper:.3f})"
    if barrier.lower is not None and barrier.upper is None:
        return f"above {barrier.lower:.3f} eV"
    if barrier.upper is not None and barrier.lower is None:
        return f"below {barrier.upper:.3f} eV"
    return barrier.verdict
