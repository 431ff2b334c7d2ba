"""The budget of a survey: core hours granted to tiers before they start, settled when they have ended.

One document a survey, changed by single atomic updates, so that workers which ask at the same time can never
grant more than there is. The first tier is granted at submission, from a guess of the speed; what has ended
tells the speed for what has not started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fireworks import LaunchPad
from pymongo import ReturnDocument
from pymongo.database import Database

from sse_screen.screening.costs import SECONDS_PER_HOUR

BUDGETS = "survey_budgets"
_SPENT = "spent_core_hours"
_ATOM_STEPS = "atom_steps"
_DYNAMICS = "dynamics_core_hours"


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


def revise(
    database: Database[dict[str, Any]],
    survey: str,
    entry: str,
    core_hours: float,
    spent_core_hours: float = 0.0,
) -> Grant:
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
        Better estimate, what is spent included.
    spent_core_hours : float
        What has been spent on it, which is not given back.

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
        budgets.update_one(
            same, {"$set": {path: spent_core_hours}, "$inc": {_SPENT: spent_core_hours - before}}
        )
    return Grant(taken is not None, _left(taken or budgets.find_one({"_id": survey}) or {}))


def _room_for(core_hours: float) -> dict[str, Any]:
    """Match a budget without limit, or with so much left."""
    room = {"$lte": [{"$add": [f"${_SPENT}", core_hours]}, "$limit_core_hours"]}
    return {"$expr": {"$or": [{"$eq": ["$limit_core_hours", None]}, room]}}


def _left(budget: dict[str, Any]) -> float | None:
    limit = budget.get("limit_core_hours")
    return None if limit is None else max(limit - budget.get(_SPENT, 0.0), 0.0)


def settle(
    database: Database[dict[str, Any]],
    survey: str,
    entry: str,
    core_hours: float,
    dynamics: tuple[float, int] | None = None,
) -> None:
    """Replace the estimate of something by what it has cost; the survey learns its speed from it.

    What was settled before with its dynamics, and is now taken over from that time, keeps what it cost then.

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
    dynamics : tuple of (float, int), optional
        Core hours of the molecular dynamics in it, and atoms times integration steps that they were spent on;
        None when it ended without.
    """
    found = database[BUDGETS].find_one({"_id": survey}) or {}
    granted = found.get("entries", {}).get(entry)
    settled = entry in found.get(_ATOM_STEPS, {})
    if granted is None or (settled and core_hours <= granted):
        return
    changes: dict[str, float] = {f"entries.{entry}": core_hours}
    if dynamics is not None:
        changes |= {f"{_DYNAMICS}.{entry}": dynamics[0], f"{_ATOM_STEPS}.{entry}": dynamics[1]}
    database[BUDGETS].update_one(
        {"_id": survey, f"entries.{entry}": granted},  # whoever settles first, settles
        {"$set": changes, "$inc": {_SPENT: core_hours - granted}},
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
    dynamics = found["entries"] | found.get(_DYNAMICS, {})  # budgets of earlier versions have no others
    core_hours = sum(dynamics[entry] for entry in atom_steps)
    return float(1000 * SECONDS_PER_HOUR * core_hours / sum(atom_steps.values()))


def failed_core_hours(launchpad: LaunchPad, uuids: list[str]) -> float:
    """Give what the failed ones of some jobs have cost; they leave no output that says so.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    uuids : list of str
        jobflow's ids of the jobs.

    Returns
    -------
    float
        Core hours from the starts to the failures.
    """
    failed = launchpad.fireworks.find(
        {"spec._tasks.job.uuid": {"$in": uuids}, "state": "FIZZLED"}, {"fw_id": 1}
    )
    fw_ids = [firework["fw_id"] for firework in failed]
    launches = launchpad.launches.find({"fw_id": {"$in": fw_ids}, "state": "FIZZLED"}, {"runtime_secs": 1})
    return float(sum(launch.get("runtime_secs") or 0.0 for launch in launches) / SECONDS_PER_HOUR)
