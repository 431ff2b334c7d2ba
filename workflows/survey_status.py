"""How far the surveys are: crystals by tier and by what was decided."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from sse_screen.database.stores import OUTPUTS
from sse_screen.workflows.survey_budget import BUDGETS

_ACTIONS = ("promoted", "finished", "stopped", "over_budget", "failed")


def survey_status(
    database: Database[dict[str, Any]], campaign: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Count the crystals of each survey by tier and decision.

    Parameters
    ----------
    database : pymongo Database
        Holds outputs and budgets.
    campaign : str, optional
        Only this survey.

    Returns
    -------
    dict
        By survey, one row a tier: tier (0 is filters and relaxation), crystals that entered it, how many
        are still on their way in it, the decisions by kind, and core hours spent, measured or granted.
    """
    only = {} if campaign is None else {"_id": campaign}
    found = {}
    for budget in database[BUDGETS].find(only).sort("_id", 1):
        found[budget["_id"]] = _tiers(database, budget)
    return found


def _tiers(database: Database[dict[str, Any]], budget: dict[str, Any]) -> list[dict[str, Any]]:
    actions: dict[int, dict[str, set[str]]] = {}
    query = {"output.kind": "survey_decision", "output.survey": budget["_id"]}
    shown = {"output.tier": 1, "output.action": 1, "output.material_name": 1}
    for document in database[OUTPUTS].find(query, shown):
        output = document["output"]
        kinds = actions.setdefault(output["tier"], {})
        kinds.setdefault(output["action"], set()).add(output["material_name"])
    spent: dict[int, list[float]] = {}
    for entry, core_hours in budget["entries"].items():
        spent.setdefault(int(entry.rpartition("-")[2]), []).append(core_hours)
    rows = []
    for tier in sorted({*actions, *spent}):
        counts = {kind: len(actions.get(tier, {}).get(kind, ())) for kind in _ACTIONS}
        granted, ended = spent.get(tier, []), set().union(*actions.get(tier, {}).values())
        gone = set().union(*actions.get(0, {}).values()) if tier == 1 else set()
        rows.append(
            {
                "tier": tier,
                "entered": len(granted),
                "on their way": max(len(granted) - len(ended | gone), 0),
                **counts,
                "core hours": round(sum(granted), 4),
            }
        )
    return rows
