"""Rank materials by extrapolated conductivity, with everything that qualifies the number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import Quantity
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.diffusivity import DiffusivityDoc

NOTHING = "–"
# an interval of a diffusivity, conductivity or frequency that spans more decades tells nothing
_WIDEST_DECADES = 4.0
_LOGARITHMIC_UNITS = ("cm2/s", "S/cm", "THz")


@dataclass(frozen=True)
class RankingRow:
    """One material: its fit over temperatures, its hottest run, its place on a hull (eV/atom)."""

    fit: ActivationEnergyDoc
    hottest: DiffusivityDoc
    energy_above_hull_eV_per_atom: float | None

    @property
    def flags(self) -> list[str]:
        """What qualifies the numbers: verdicts, then the tests that its hottest run did not pass."""
        found = [] if self.fit.verdict in ("ok", "diffusive") else [f"E_a {_plain(self.fit.verdict)}"]
        if self.hottest.verdict not in ("ok", "diffusive"):
            found.append(f"D {_plain(self.hottest.verdict)}")
        outcomes: dict[str, list[str]] = {}
        for flag in self.hottest.flags:
            name, _, outcome = flag.partition(": ")
            outcomes.setdefault(outcome or "note", []).append(_plain(name))
        found += [f"{outcome}: {', '.join(names)}" for outcome, names in sorted(outcomes.items())]
        return found + (["stale"] if self.fit.stale or self.hottest.stale else [])


def _plain(name: str) -> str:
    return name.replace("_", " ")


def rank_materials(
    fits: Sequence[ActivationEnergyDoc],
    diffusivities: Sequence[DiffusivityDoc],
    hulls: Sequence[ConvexHullDoc],
) -> list[RankingRow]:
    """Rank by conductivity at 300 K; materials with limits only come after, by their limits.

    Parameters
    ----------
    fits : sequence of ActivationEnergyDoc
        One a material and protocol.
    diffusivities : sequence of DiffusivityDoc
        Points of the fits.
    hulls : sequence of ConvexHullDoc
        Searched for the material's formula at the same potential.

    Returns
    -------
    list of RankingRow
        Best first.
    """
    by_id = {document.id: document for document in diffusivities}
    rows = []
    for fit in fits:
        points = [by_id[p.diffusivity_id] for p in fit.points if p.diffusivity_id in by_id]
        if points:
            hottest = max(points, key=lambda document: document.temperature_K)
            rows.append(RankingRow(fit, hottest, _energy_above_hull(fit, hulls)))
    return sorted(rows, key=_sort_key)


def _energy_above_hull(fit: ActivationEnergyDoc, hulls: Sequence[ConvexHullDoc]) -> float | None:
    found = [
        entry.energy_above_hull_eV_per_atom
        for hull in hulls
        if hull.potential is not None and hull.potential.weights_sha256 == fit.potential.weights_sha256
        for entry in hull.entries
        if entry.formula == fit.formula
    ]
    return min(found) if found else None


def _sort_key(row: RankingRow) -> tuple[int, float, str]:
    extrapolated, hottest = row.fit.conductivity_300K, row.hottest.conductivity
    if extrapolated.value is not None:
        return (0, -extrapolated.value, row.fit.material_name)
    if hottest.value is not None:
        return (1, -hottest.value, row.fit.material_name)
    return (2, -(hottest.upper or 0.0), row.fit.material_name)


def quantity_text(quantity: Quantity, *, with_unit: bool = True) -> str:
    """Write a quantity with its interval, for people.

    Parameters
    ----------
    quantity : Quantity
        Value, limits, unit, verdict.
    with_unit : bool
        Whether the unit is written.

    Returns
    -------
    str
        Such as ``1.2e-05 [8.1e-06, 1.8e-05] cm2/s``, ``< 3e-06 cm2/s`` for an upper limit,
        ``0.1 to 0.4`` where only the interval is known, ``> 0.1`` for a lower limit, or a dash, with the
        reason where the interval spans too many decades.
    """
    if (wide := too_wide(quantity)) is not None:
        return f"{NOTHING} ({wide})"
    unit = f" {quantity.unit}" if with_unit and quantity.unit != "1" else ""
    low = NOTHING if quantity.lower is None else _number(quantity.lower)
    high = NOTHING if quantity.upper is None else _number(quantity.upper)
    if quantity.value is not None and quantity.verdict != "upper_limit":
        return f"{_number(quantity.value)} [{low}, {high}]{unit}"
    if quantity.upper is None:
        return f"> {low}{unit}" if quantity.lower else NOTHING
    between = quantity.lower is not None and quantity.verdict != "upper_limit"
    return f"{low} to {high}{unit}" if between else f"< {high}{unit}"


def too_wide(quantity: Quantity) -> str | None:
    """Say that an interval is too wide to be worth its numbers.

    Parameters
    ----------
    quantity : Quantity
        Value, limits, unit, verdict.

    Returns
    -------
    str or None
        Such as ``known within 23 decades only``; None for units that are not read in decades, such as eV.
    """
    if quantity.unit not in _LOGARITHMIC_UNITS or not quantity.lower or not quantity.upper:
        return None
    decades = math.log10(quantity.upper) - math.log10(quantity.lower)
    return f"known within {decades:.0f} decades only" if decades > _WIDEST_DECADES else None


def _number(value: float) -> str:
    if value != 0 and not 0.01 <= abs(value) < 10000:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.0f}" if abs(value) >= 99.5 else f"{value:.2g}"


COLUMNS = ("material", "E_a (eV)", "T (K)", "D (cm²/s)", "σ (S/cm)", "E_hull (meV/atom)", "flags")


def row_cells(row: RankingRow) -> list[str]:
    """Write a row for a table with :data:`COLUMNS`.

    Parameters
    ----------
    row : RankingRow
        One material.

    Returns
    -------
    list of str
        Cells; those of T, D and σ have a line for the hottest run and one for 300 K.
    """
    hull = row.energy_above_hull_eV_per_atom
    hottest = (row.hottest.tracer_diffusivity, row.hottest.conductivity)
    room = (row.fit.diffusivity_300K, row.fit.conductivity_300K)
    pairs = zip(hottest, room, strict=True)
    both = ["\n".join(quantity_text(q, with_unit=False) for q in pair) for pair in pairs]
    return [
        row.fit.material_name,
        quantity_text(row.fit.activation_energy, with_unit=False),
        f"{row.hottest.temperature_K:g}\n300",
        *both,
        NOTHING if hull is None else f"{1000 * hull:.0f}",
        "; ".join(row.flags) or "none",
    ]
