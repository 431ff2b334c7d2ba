"""Filters of a survey: which crystals are worth a calculation, and why the others are not.

The filters run in the order of `FILTERS`, cheapest first; a crystal is refused by the first that has a
reason. A crystal that lacks a value that a filter needs (energy above the hull, band gap) passes it and is
counted as not known: surveys start from tables where such values are often missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sse_screen.exceptions import InputError
from sse_screen.structures.checks import check_mobile_ion, check_neutral, is_disordered
from sse_screen.structures.loading import check_distances, check_elements

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class Candidate:
    """A crystal of a survey with what is known of it."""

    name: str
    """Name in the survey: file, prototype or row of a table."""
    structure: Structure
    """The crystal."""
    energy_above_hull_eV_per_atom: float | None = None
    """From any source, in eV/atom, if known."""
    band_gap_eV: float | None = None
    """From any source, in eV, if known."""


class FilterSettings(BaseModel):
    """What a crystal must have to be calculated."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mobile_ion: str = Field(default="Li", description="Element that is to move.")
    minimum_mobile_fraction: float = Field(
        default=0.05, ge=0, le=1, description="Smallest atomic fraction of the mobile ion."
    )
    excluded_elements: tuple[str, ...] = Field(default=(), description="Elements no candidate may have.")
    maximum_atoms: int | None = Field(default=None, ge=1, description="Most atoms in the cell.")
    allow_disorder: bool = Field(default=False, description="Whether partly occupied sites may pass.")
    maximum_energy_above_hull_eV_per_atom: float | None = Field(
        default=None, ge=0, description="Highest energy above the hull in eV/atom, where it is known."
    )
    minimum_band_gap_eV: float | None = Field(
        default=None, ge=0, description="Smallest band gap in eV, where it is known."
    )

    @field_validator("mobile_ion", "excluded_elements")
    @classmethod
    def _are_elements(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        from pymatgen.core import Element

        for symbol in (value,) if isinstance(value, str) else value:
            if not Element.is_valid_symbol(symbol):
                raise ValueError(f"{symbol!r} is no element; write its symbol, such as 'Li'")
        return value


class Rejection(BaseModel):
    """Why a crystal is not calculated."""

    name: str = Field(description="Name of the candidate.")
    filter: str = Field(description="Filter that refused it.")
    reason: str = Field(description="Why, with the value and the limit.")


class FilterCount(BaseModel):
    """What a filter did to a survey."""

    filter: str = Field(description="Name of the filter.")
    tested: int = Field(description="Candidates that reached it.")
    refused: int = Field(description="Candidates it refused.")
    not_known: int = Field(description="Candidates that passed because the value it needs is not known.")


class FilterReport(BaseModel):
    """The way of all candidates through the filters."""

    kept: tuple[str, ...] = Field(description="Names of the candidates that passed all filters.")
    rejections: tuple[Rejection, ...] = Field(description="The others, in the order of the survey.")
    counts: tuple[FilterCount, ...] = Field(description="One entry a filter, in the order they ran.")


class ValueNotKnownError(InputError):
    """A filter needs a value that the candidate does not have."""


Filter = Callable[[Candidate, FilterSettings], str | None]


def _sane(candidate: Candidate, settings: FilterSettings) -> str | None:
    check_elements(candidate.structure, candidate.name)
    check_distances(candidate.structure, candidate.name)
    return None


def _ordered(candidate: Candidate, settings: FilterSettings) -> str | None:
    if settings.allow_disorder or not is_disordered(candidate.structure):
        return None
    return "has partly occupied sites; order it first, or give a survey order: ewald or order: random"


def _mobile_ion(candidate: Candidate, settings: FilterSettings) -> str | None:
    check_mobile_ion(candidate.structure, settings.mobile_ion, candidate.name)
    fraction = candidate.structure.composition.get_atomic_fraction(settings.mobile_ion)
    if fraction >= settings.minimum_mobile_fraction:
        return None
    return (
        f"{settings.mobile_ion} is {fraction:.3f} of the atoms, less than {settings.minimum_mobile_fraction}"
    )


def _excluded_elements(candidate: Candidate, settings: FilterSettings) -> str | None:
    present = {element.symbol for element in candidate.structure.composition.elements}
    excluded = sorted(present & set(settings.excluded_elements))
    return f"has the excluded {', '.join(excluded)}" if excluded else None


def _cell_size(candidate: Candidate, settings: FilterSettings) -> str | None:
    n_atoms = len(candidate.structure)
    if settings.maximum_atoms is None or n_atoms <= settings.maximum_atoms:
        return None
    return f"has {n_atoms} atoms, more than {settings.maximum_atoms}"


def _neutral(candidate: Candidate, settings: FilterSettings) -> str | None:
    check_neutral(candidate.structure, name=candidate.name)
    return None


def _energy_above_hull(candidate: Candidate, settings: FilterSettings) -> str | None:
    limit, value = settings.maximum_energy_above_hull_eV_per_atom, candidate.energy_above_hull_eV_per_atom
    if limit is None:
        return None
    if value is None:
        raise ValueNotKnownError(f"{candidate.name}: no energy above the hull")
    return f"is {value:.4f} eV/atom above the hull, more than {limit}" if value > limit else None


def _band_gap(candidate: Candidate, settings: FilterSettings) -> str | None:
    limit, value = settings.minimum_band_gap_eV, candidate.band_gap_eV
    if limit is None:
        return None
    if value is None:
        raise ValueNotKnownError(f"{candidate.name}: no band gap")
    return f"has a band gap of {value:.2f} eV, less than {limit}" if value < limit else None


FILTERS: dict[str, Filter] = {
    "sane": _sane,
    "ordered": _ordered,
    "excluded_elements": _excluded_elements,
    "cell_size": _cell_size,
    "mobile_ion": _mobile_ion,
    "energy_above_hull": _energy_above_hull,
    "band_gap": _band_gap,
    "neutral": _neutral,
}
"""The filters by name, in the order in which they run."""


def apply_filters(
    candidates: Iterable[Candidate], settings: FilterSettings
) -> tuple[list[Candidate], FilterReport]:
    """Return the candidates that pass all filters, and what became of the others.

    Parameters
    ----------
    candidates : iterable of Candidate
        The survey. One crystal that cannot be judged is refused with the reason and never stops the others.
    settings : FilterSettings
        Limits.

    Returns
    -------
    kept : list of Candidate
        In the order of the survey.
    report : FilterReport
        Counts per filter and the reason of every refusal.
    """
    kept: list[Candidate] = []
    rejections: list[Rejection] = []
    counts = {name: FilterCount(filter=name, tested=0, refused=0, not_known=0) for name in FILTERS}
    for candidate in candidates:
        rejection = _first_rejection(candidate, settings, counts)
        if rejection is None:
            kept.append(candidate)
        else:
            rejections.append(rejection)
    report = FilterReport(
        kept=tuple(candidate.name for candidate in kept),
        rejections=tuple(rejections),
        counts=tuple(counts.values()),
    )
    return kept, report


def _first_rejection(
    candidate: Candidate, settings: FilterSettings, counts: dict[str, FilterCount]
) -> Rejection | None:
    for name, test in FILTERS.items():
        counts[name].tested += 1
        try:
            reason = test(candidate, settings)
        except ValueNotKnownError:
            counts[name].not_known += 1
            continue
        except InputError as error:
            reason = str(error).removeprefix(f"{candidate.name}: ")
        if reason is not None:
            counts[name].refused += 1
            return Rejection(name=candidate.name, filter=name, reason=reason)
    return None
