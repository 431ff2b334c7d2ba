"""The ranking of a survey, what the intervals say about it, and the front of conductivity and stability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sse_screen.documents.candidate import CandidateDoc

_ORDER = ("finished", "running", "stopped", "over_budget", "waiting", "failed", "refused")


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate with its place.

    Attributes
    ----------
    candidate : CandidateDoc
        The crystal.
    rank : int or None
        Place by conductivity at 300 K, from 1; None where there is no such number.
    best_rank, worst_rank : int or None
        First and last place that the intervals allow.
    on_front : bool
        No other candidate is both better conducting and more stable.
    """

    candidate: CandidateDoc
    rank: int | None
    best_rank: int | None
    worst_rank: int | None
    on_front: bool


def rank_candidates(candidates: Sequence[CandidateDoc]) -> list[RankedCandidate]:
    """Rank candidates by conductivity at 300 K; those without a number come after, unranked.

    Upper limits are no numbers: such candidates are ordered by how far they came, then by what they conduct
    at their highest temperature, then by name.

    Parameters
    ----------
    candidates : sequence of CandidateDoc
        Of one survey.

    Returns
    -------
    list of RankedCandidate
        Best first.
    """
    numbers = [found for found in candidates if _value(found) is not None]
    numbers.sort(key=lambda found: (-(_value(found) or 0.0), found.material_name))
    others = [found for found in candidates if _value(found) is None]
    others.sort(key=_order_without_number)
    front = pareto_front(candidates)
    ranked = [
        RankedCandidate(found, place, *_possible(found, numbers), found.id in front)
        for place, found in enumerate(numbers, start=1)
    ]
    return ranked + [RankedCandidate(found, None, None, None, False) for found in others]


def pareto_front(candidates: Sequence[CandidateDoc]) -> set[str]:
    """Find the candidates that no other beats in both conductivity at 300 K and distance to the hull.

    Parameters
    ----------
    candidates : sequence of CandidateDoc
        Those that lack one of the two numbers are left out.

    Returns
    -------
    set of str
        Their ids.
    """
    known = [
        (-value, found.energy_above_hull_eV_per_atom, found.id)
        for found in candidates
        if (value := _value(found)) is not None and found.energy_above_hull_eV_per_atom is not None
    ]
    front: set[str] = set()
    lowest = float("inf")
    last: tuple[float, float] | None = None
    for negative, distance, name in sorted(known):
        if distance < lowest or last == (negative, distance):
            front.add(name)
            lowest, last = distance, (negative, distance)
    return front


def _value(candidate: CandidateDoc) -> float | None:
    quantity = candidate.conductivity_300K
    return quantity.value if quantity.verdict in ("ok", "unresolved", "diffusive") else None


def _possible(candidate: CandidateDoc, ranked: Sequence[CandidateDoc]) -> tuple[int, int]:
    """Give the first and last place that the intervals allow; an open end allows everything on its side."""
    own = candidate.conductivity_300K
    best, worst = 1, 1
    for other in ranked:
        if other.id == candidate.id:
            continue
        theirs = other.conductivity_300K
        best += own.upper is not None and theirs.lower is not None and theirs.lower > own.upper
        worst += own.lower is None or theirs.upper is None or theirs.upper > own.lower
    return best, worst


def _order_without_number(candidate: CandidateDoc) -> tuple[int, int, float, str]:
    value = candidate.conductivity_highest.value
    place = _ORDER.index(candidate.outcome)
    return (place, -candidate.tier, -(value or 0.0), candidate.material_name)
