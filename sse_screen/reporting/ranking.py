"""Rank materials by extrapolated conductivity, with everything that qualifies the number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import Quantity
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.diffusivity import DiffusivityDoc

NOTHING = "–"


@dataclass(frozen=True)
class RankingRow:
    """One material: its fit over temperatures, its hottest run, its place on a hull (eV/atom)."""

    fit: ActivationEnergyDoc
    hottest: DiffusivityDoc
    energy_above_hull_eV_per_atom: float | None

    @property
    def flags(self) -> list[str]:
        """What qualifies the numbers, most general first."""
        found = [] if self.fit.verdict in ("ok", "diffusive") else [self.fit.verdict.replace("_", " ")]
        found += [f"{self.hottest.temperature_K:g} K: {flag}" for flag in self.hottest.flags]
        return found + (["stale"] if self.fit.stale or self.hottest.stale else [])


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


def quantity_text(quantity: Quantity) -> str:
    """Write a quantity with its interval, for people.

    Parameters
    ----------
    quantity : Quantity
        Value, limits, unit, verdict.

    Returns
    -------
    str
        Such as ``1.2e-05 [8.1e-06, 1.8e-05] cm2/s``, ``< 3e-06 cm2/s`` for an upper limit, or a dash.
    """
    if quantity.value is None:
        return NOTHING if quantity.upper is None else f"< {quantity.upper:.2g} {quantity.unit}"
    low = NOTHING if quantity.lower is None else f"{quantity.lower:.2g}"
    high = NOTHING if quantity.upper is None else f"{quantity.upper:.2g}"
    return f"{quantity.value:.2g} [{low}, {high}] {quantity.unit}"


COLUMNS = (
    "material",
    "E_a",
    "T",
    "D at T",
    "σ at T",
    "D at 300 K",
    "σ at 300 K",
    "E_hull",
    "flags",
)


def row_cells(row: RankingRow) -> list[str]:
    """Write a row for a table with :data:`COLUMNS`.

    Parameters
    ----------
    row : RankingRow
        One material.

    Returns
    -------
    list of str
        Cells.
    """
    hull = row.energy_above_hull_eV_per_atom
    return [
        row.fit.material_name,
        quantity_text(row.fit.activation_energy),
        f"{row.hottest.temperature_K:g} K",
        quantity_text(row.hottest.tracer_diffusivity),
        quantity_text(row.hottest.conductivity),
        quantity_text(row.fit.diffusivity_300K),
        quantity_text(row.fit.conductivity_300K),
        NOTHING if hull is None else f"{1000 * hull:.0f} meV/atom",
        "; ".join(row.flags) or "none",
    ]
