"""Figures and tables of the candidates of a survey."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from sse_screen.documents.candidate import CandidateDoc
from sse_screen.reporting.ranking import NOTHING, quantity_text
from sse_screen.screening.ranking import RankedCandidate, rank_candidates

_BLUE, _GREY, _ORANGE = "#1f5fa8", "#8a8f98", "#d9822b"
_SHOWN = 40
COLUMNS = (
    "rank",
    "crystal",
    "outcome",
    "σ 300 K (S/cm)",
    "E_a (eV)",
    "highest T (K)",
    "σ there (S/cm)",
    "E_hull (meV/atom)",
    "core h",
    "why",
)


def candidate_cells(row: RankedCandidate) -> list[str]:
    """Write a candidate for a table with :data:`COLUMNS`.

    Parameters
    ----------
    row : RankedCandidate
        One crystal.

    Returns
    -------
    list of str
        Cells; the rank with the places that the intervals allow, a star on the front.
    """
    found = row.candidate
    rank = NOTHING
    if row.rank is not None:
        span = "" if row.best_rank == row.worst_rank else f" ({row.best_rank} to {row.worst_rank})"
        rank = f"{row.rank}{span}{' *' if row.on_front else ''}"
    hull = found.energy_above_hull_eV_per_atom
    highest = found.highest_temperature_K
    given = " given" if found.energy_above_hull_source == "given" else ""
    return [
        rank,
        found.material_name,
        found.outcome.replace("_", " "),
        quantity_text(found.conductivity_300K, with_unit=False),
        quantity_text(found.activation_energy, with_unit=False),
        NOTHING if highest is None else f"{highest:g}",
        quantity_text(found.conductivity_highest, with_unit=False),
        NOTHING if hull is None else f"{1000 * hull:.0f}{given}",
        f"{found.core_hours:.2g}",
        found.reason,
    ]


def ranking_figure(candidates: Sequence[CandidateDoc]) -> Figure | None:
    """Draw conductivities at 300 K with their intervals, best first.

    Parameters
    ----------
    candidates : sequence of CandidateDoc
        Of one survey.

    Returns
    -------
    Figure or None
        None when no candidate has such a number; the first 40 otherwise.
    """
    rows = [row for row in rank_candidates(candidates) if row.rank is not None][:_SHOWN]
    if not rows:
        return None
    figure = Figure(figsize=(6.2, 1.2 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        quantity = row.candidate.conductivity_300K
        assert quantity.value is not None  # it is ranked
        colour = _BLUE if quantity.verdict == "ok" else _GREY
        low = quantity.value if quantity.lower is None else quantity.lower
        high = quantity.value if quantity.upper is None else quantity.upper
        axes.plot([low, high], [place, place], "-", color=colour, lw=1.4)
        axes.plot([quantity.value], [place], "o", color=colour, ms=5)
    axes.set_yticks(range(len(rows)), [row.candidate.material_name for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("conductivity at 300 K (S/cm)")
    axes.set_title(f"{candidates[0].survey}: grey where the interval spans decades", fontsize=10)
    return figure


def pareto_figure(candidates: Sequence[CandidateDoc]) -> Figure | None:
    """Draw conductivity at 300 K over the distance to the hull, and the front that nothing beats.

    Parameters
    ----------
    candidates : sequence of CandidateDoc
        Of one survey.

    Returns
    -------
    Figure or None
        None when no candidate has both numbers.
    """
    rows = [
        row
        for row in rank_candidates(candidates)
        if row.rank is not None and row.candidate.energy_above_hull_eV_per_atom is not None
    ]
    if not rows:
        return None
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    front = []
    for row in rows:
        quantity, distance = row.candidate.conductivity_300K, row.candidate.energy_above_hull_eV_per_atom
        assert quantity.value is not None  # both were asked for above
        assert distance is not None
        x, colour = 1000 * distance, _ORANGE if row.on_front else _BLUE
        if quantity.lower is not None and quantity.upper is not None:
            axes.plot([x, x], [quantity.lower, quantity.upper], "-", color=colour, lw=1.0)
        inside = colour if quantity.verdict == "ok" else "white"
        axes.plot([x], [quantity.value], "o", color=colour, ms=6, markerfacecolor=inside)
        axes.annotate(
            row.candidate.material_name, (x, quantity.value), (5, 3), textcoords="offset points", fontsize=7
        )
        if row.on_front:
            front.append((x, quantity.value))
    if len(front) > 1:
        axes.plot(*np.array(sorted(front)).T, "--", color=_ORANGE, lw=1.0, label="nothing beats these")
        axes.legend(frameon=False, fontsize=8)
    axes.set_yscale("log")
    axes.set_xlabel("energy above the hull (meV/atom)")
    axes.set_ylabel("conductivity at 300 K (S/cm)")
    left_out = sum(1 for found in candidates if found.conductivity_300K.value is not None) - len(rows)
    note = f", {left_out} without a hull left out" if left_out else ""
    axes.set_title(f"{candidates[0].survey}: {len(rows)} candidates{note}", fontsize=10)
    return figure
