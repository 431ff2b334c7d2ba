"""Who goes on to the next tier of a survey, decided from conductivities with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sse_screen.documents.survey import PromotionRule, TierConductivity

#: priorities of jobs: the first tier of all crystals before any second tier, the best conductors first there
FIRST_TIER_PRIORITY = 2000
#: of relaxations and starts: a crystal whose first tier has begun ends it before another one begins, so that
#: what the first ones have cost is known when the others ask the budget
BEGINNING_PRIORITY = 1950
JUDGEMENT_PRIORITY = 3000
_MIDDLE_PRIORITY, _PRIORITY_A_DECADE, _LARGEST_PROMOTED = 1000, 100, 1900


@dataclass(frozen=True)
class Promotion:
    """Whether a crystal goes on, why, and how urgent its next tier is."""

    promoted: bool
    reason: str
    priority: int = 0


def decide_promotion(found: Sequence[TierConductivity], rule: PromotionRule) -> Promotion:
    """Decide by the conductivity at the highest temperature that has one.

    A temperature whose test was refused (the framework melted, say) is passed over for the next lower one,
    because it says nothing about the crystal. An upper limit never counts as a measured value; where the run
    was too short for one, the slope of the displacement is what is likely.

    Parameters
    ----------
    found : sequence of TierConductivity
        What the tier found, in any order.
    rule : PromotionRule
        Minimum, and how sure one has to be.

    Returns
    -------
    Promotion
        With a reason that gives value, interval and minimum.
    """
    ordered = sorted(found, key=lambda point: -point.temperature_K)
    told = [point for point in ordered if point.conductivity.verdict != "refused"]
    if not told:
        why = "; ".join(dict.fromkeys(r for point in ordered for r in point.conductivity.reasons[:2]))
        return Promotion(False, f"no conductivity at any temperature: {why or 'no run finished'}")
    point, minimum = told[0], rule.minimum_conductivity_S_per_cm
    quantity = point.conductivity
    measured = quantity.value if quantity.verdict in ("ok", "diffusive") else None
    estimate = point.slope_conductivity.value if measured is None else measured
    interval = f"[{_text(quantity.lower)}, {_text(quantity.upper)}]"
    what = f"{_text(measured)} {interval} S/cm"
    if measured is None:
        slope = "no slope" if estimate is None else f"its slope {_text(estimate)}"
        what = f"< {_text(quantity.upper)} S/cm, not measured in so short a run ({slope})"
    said = f"conductivity at {point.temperature_K:g} K {what}, minimum {minimum:g} ({rule.certainty})"
    reached = {"measured": measured, "likely": estimate, "possible": quantity.upper}[rule.certainty]
    if reached is None or reached < minimum:
        return Promotion(False, f"{said}: below it")
    return Promotion(True, f"{said}: reached", _priority(estimate, minimum))


def _priority(value: float | None, minimum: float) -> int:
    """Give the better conductors the higher priority; what has no estimate comes after all that have one."""
    if not value:
        return 1
    decades = float(np.log10(value / minimum))
    return int(np.clip(_MIDDLE_PRIORITY + _PRIORITY_A_DECADE * decades, 2, _LARGEST_PROMOTED))


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"
