"""The budget of a survey: core hours granted to tiers before they start, settled when they have ended.

One document a survey, changed by single atomic updates, so that workers which ask at the same time can never
grant more than there is. The first tier is granted at submission, from a guess of the speed; what has ended
tells the speed for what has not started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database

from sse_screen.screening.costs import SECONDS_PER_HOUR

BUDGETS = "survey_budgets"
_SPENT = "spent_core_hours"
_ATOM_STEPS = "atom_steps"


@dataclass(frozen=True)
class Grant:
    """Whether a tier may start, and what the survey has left (core hours; None without limit)."""

    granted: bool
    left_core_hours: float | None


def budget_entry(material_id: str, tier: int) -> str:
    """Name what is granted: one crystal in one tier.

    Parameters
    ----------
    material_id : str
        Hash of the crystal.
    tier : int
        From 1.

    Returns
    -------
    str
        Such as ``0123456789abcdef01234567-1``.
    """
    return f"{material_id[:24]}-{tier}"


def open_budget(database: Database[dict[str, Any]], survey: str, limit_core_hours: float | None) -> None:
    """Make the budget of a survey, or set the limit of the one it has.

    Parameters
    ----------
    database : pymongo Database
        Holds the budgets.
    survey : str
        Name of the campaign.
    limit_core_hours : float or None
        Most that may be spent; None without limit.
    """
    database[BUDGETS].update_one(
        {"_id": survey},
        {"$set": {"limit_core_hours": limit_core_hours}, "$setOnInsert": {_SPENT: 0.0, "entries": {}}},
        upsert=True,
    )


def grant(database: Database[dict[str, Any]], survey: str, core_hours: dict[str, float]) -> None:
    """Grant entries whatever is left; those that were granted before are left as they are.

    Parameters
    ----------
    database : pymongo Database
        Holds the budgets.
    survey : str
        Name of the campaign.
    core_hours : dict
        Estimated cost by entry.
    """
    known = (database[BUDGETS].find_one({"_id": survey}) or {}).get("entries", {})
    new = {entry: cost for entry, cost in core_hours.items() if entry not in known}
    if new:
        changes = {f"entries.{entry}": cost for entry, cost in new.items()}
        database[BUDGETS].update_one({"_id": survey}, {"$set": changes, "$inc": {_SPENT: sum(new.values())}})


def ask(database: Database[dict[str, Any]], survey: str, entry: str, core_hours: float) -> Grant:
    """Ask for core hours before something starts; an entry that was granted before is granted again.

    Parameters
    ----------
    database : pymongo Database
        Holds the budgets.
    survey : str
        Name of the campaign.
    entry : str
        What it is for; letters, digits, ``-`` and ``_``.
    core_hours : float
        Estimated cost.

    Returns
    -------
    Grant
        The answer.
    """
    budgets = database[BUDGETS]
    path = f"entries.{entry}"
    taken = budgets.find_one_and_update(
        {"_id": survey, path: {"$exists": False}} | _room_for(core_hours),
        {"$set": {path: core_hours}, "$inc": {_SPENT: core_hours}},
        return_document=ReturnDocument.AFTER,
    )
    found = taken or budgets.find_one({"_id": survey}) or {}
    return Grant(taken is not None or entry in found.get("entries", {}), _left(found))


def revise(database: Database[dict[str, Any]], survey: str, entry: str, core_hours: float) -> Grant:
    """Put a better estimate in place of one that was granted; without room for it, that is given back.

    Parameters
    ----------
    database : pymongo Database
        Holds the budgets.
    survey : str
        Name of the campaign.
    entry : str
        As in :func:`ask`.
    core_hours : float
        Better estimate.

    Returns
    -------
    Grant
        The answer.
    """
    budgets, path = database[BUDGETS], f"entries.{entry}"
    found = budgets.find_one({"_id": survey}) or {}
    before = found.get("entries", {}).get(entry)
    if before is None:
        return ask(database, survey, entry, core_hours)
    if entry in found.get(_ATOM_STEPS, {}):  # the survey has grown: this was run before, and is not run again
        return Grant(True, _left(found))
    same, more = {"_id": survey, path: before}, core_hours - before
    taken = budgets.find_one_and_update(
        same | _room_for(more),
        {"$set": {path: core_hours}, "$inc": {_SPENT: more}},
        return_document=ReturnDocument.AFTER,
    )
    if taken is None:
        budgets.update_one(same, {"$set": {path: 0.0}, "$inc": {_SPENT: -before}})
    return Grant(taken is not None, _left(taken or budgets.find_one({"_id": survey}) or {}))


def _room_for(core_hours: float) -> dict[str, Any]:
    """Match a budget without limit, or with so much left."""
    room = {"$lte": [{"$add": [f"${_SPENT}", core_hours]}, "$limit_core_hours"]}
    return {"$expr": {"$or": [{"$eq": ["$limit_core_hours", None]}, room]}}


def _left(budget: dict[str, Any]) -> float | None:
    limit = budget.get("limit_core_hours")
    return None if limit is None else max(limit - budget.get(_SPENT, 0.0), 0.0)


def settle(
    database: Database[dict[str, Any]], survey: str, entry: str, core_hours: float, atom_steps: int
) -> None:
    """Replace the estimate of something by what it has cost; the survey learns its speed from it.

    Parameters
    ----------
    database : pymongo Database
        Holds the budgets.
    survey : str
        Name of the campaign.
    entry : str
        As in :func:`ask`.
    core_hours : float
        Measured cost.
    atom_steps : int
        Atoms times integration steps that it was spent on.
    """
    granted = (database[BUDGETS].find_one({"_id": survey}, {f"entries.{entry}": 1}) or {}).get("entries", {})
    if entry not in granted:
        return
    database[BUDGETS].update_one(
        {"_id": survey, f"entries.{entry}": granted[entry]},  # whoever settles first, settles
        {
            "$set": {f"entries.{entry}": core_hours, f"{_ATOM_STEPS}.{entry}": atom_steps},
            "$inc": {_SPENT: core_hours - granted[entry]},
        },
    )


def measured_speed(database: Database[dict[str, Any]], survey: str) -> float | None:
    """Give the speed that the runs of a survey have had so far, all crystals together.

    Parameters
    ----------
    database : pymongo Database
        Holds the budgets.
    survey : str
        Name of the campaign.

    Returns
    -------
    float or None
        ms of one core for an atom and a step; None before the first tier of a crystal has ended.
    """
    found = database[BUDGETS].find_one({"_id": survey}) or {}
    atom_steps = found.get(_ATOM_STEPS, {})
    if not sum(atom_steps.values()):
        return None
    core_hours = sum(found["entries"][entry] for entry in atom_steps)
    return float(1000 * SECONDS_PER_HOUR * core_hours / sum(atom_steps.values()))
