"""What the jobs are doing: counts by state, failures with their reasons, what runs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fireworks import LaunchPad

from sse_screen.exceptions import InfrastructureError, InputError
from sse_screen.workflows.failure_kinds import FailureKind, told_by
from sse_screen.workflows.reaping import LARGEST_RERUNS, LOST, is_locked


@dataclass(frozen=True)
class Failure:
    """A failed job: its id and name, whether machine or science failed, and the error."""

    fw_id: int
    name: str
    kind: FailureKind
    reason: str


def counts_by_state(launchpad: LaunchPad, campaign: str | None = None) -> dict[str, int]:
    """Count jobs by state.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    campaign : str, optional
        Only those of this campaign.

    Returns
    -------
    dict
        Number by state.
    """
    match = {"spec.campaign": campaign} if campaign else {}
    groups = launchpad.fireworks.aggregate(
        [{"$match": match}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}]
    )
    return dict(sorted((g["_id"], g["n"]) for g in groups))


def check_campaign(launchpad: LaunchPad, campaign: str) -> None:
    """Refuse the name of a campaign that has no jobs.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    campaign : str
        Its name.

    Raises
    ------
    InputError
        When no job belongs to it; the message lists the campaigns that there are.
    """
    if launchpad.fireworks.find_one({"spec.campaign": campaign}, {"_id": 1}) is None:
        known = sorted(filter(None, launchpad.fireworks.distinct("spec.campaign")))
        there = f"there are: {', '.join(known)}" if known else "nothing has been submitted yet"
        raise InputError(f"--campaign {campaign}: there is no such campaign; {there}")


def failures(launchpad: LaunchPad, campaign: str | None = None) -> list[Failure]:
    """List failed jobs with their reasons.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    campaign : str, optional
        Only those of this campaign.

    Returns
    -------
    list of Failure
        By job id.
    """
    return _failures(launchpad, {"spec.campaign": campaign} if campaign else {})


def failure_reason(launchpad: LaunchPad, uuids: list[str]) -> str:
    """Say why jobs of a workflow failed.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    uuids : list of str
        jobflow's ids of the jobs.

    Returns
    -------
    str
        The reasons, each once.
    """
    found = _failures(launchpad, {"spec._tasks.job.uuid": {"$in": uuids}})
    return "; ".join(dict.fromkeys(f.reason for f in found)) or "its output is missing"


def jobs_in_progress(launchpad: LaunchPad, uuids: list[str]) -> bool:
    """Tell whether any of some jobs is waiting, ready or running.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    uuids : list of str
        jobflow's ids of the jobs.

    Returns
    -------
    bool
        False when all have ended, completed or failed.
    """
    states = {"$in": ["WAITING", "READY", "RESERVED", "RUNNING"]}
    query = {"state": states, "spec._tasks.job.uuid": {"$in": uuids}}
    return launchpad.fireworks.find_one(query, {"_id": 1}) is not None


def _failures(launchpad: LaunchPad, match: dict[str, Any]) -> list[Failure]:
    found = []
    shown = {"fw_id": 1, "name": 1, "launches": 1}
    for firework in launchpad.fireworks.find({"state": "FIZZLED", **match}, shown).sort("fw_id", 1):
        launch = launchpad.launches.find_one(
            {"launch_id": {"$in": firework["launches"]}}, sort=[("launch_id", -1)]
        )
        stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
        trace = (stored.get("_exception") or {}).get("_stacktrace", "")
        kind, reason = told_by(trace)
        found.append(Failure(firework["fw_id"], firework["name"], kind, reason))
    return found


def failures_to_rerun(launchpad: LaunchPad) -> list[Failure]:
    """List the jobs that failed for reasons of the machine and have not been tried again five times.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.

    Returns
    -------
    list of Failure
        By job id.
    """
    tried = {"state": "FIZZLED", f"spec.{LOST}": {"$gte": LARGEST_RERUNS}}
    too_often = {found["fw_id"] for found in launchpad.fireworks.find(tried, {"fw_id": 1})}
    return [f for f in failures(launchpad) if f.kind == "infrastructure" and f.fw_id not in too_often]


def rerun_infrastructure_failures(launchpad: LaunchPad) -> list[int]:
    """Make jobs ready again that failed for reasons of the machine, at most five times each.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.

    Returns
    -------
    list of int
        Their ids. Those of locked workflows are left as they are.
    """
    done = []
    for failure in failures_to_rerun(launchpad):
        if is_locked(launchpad, failure.fw_id):
            continue
        launchpad.rerun_fw(failure.fw_id)
        launchpad.fireworks.update_one({"fw_id": failure.fw_id}, {"$inc": {f"spec.{LOST}": 1}})
        done.append(failure.fw_id)
    return done


def rerun_jobs(launchpad: LaunchPad, fw_ids: list[int]) -> None:
    """Make failed jobs ready again, with a clean count of lost workers.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    fw_ids : list of int
        Ids of failed jobs.

    Raises
    ------
    InputError
        For an id that is no failed job; nothing is changed then.
    InfrastructureError
        When the workflow of one is locked; nothing is changed then.
    """
    failed = {f["fw_id"] for f in launchpad.fireworks.find({"state": "FIZZLED"}, {"fw_id": 1})}
    wrong = [fw_id for fw_id in fw_ids if fw_id not in failed]
    if wrong:
        raise InputError(f"job {wrong[0]}: not a failed job; `sse-screen status` lists those")
    locked = [fw_id for fw_id in fw_ids if is_locked(launchpad, fw_id)]
    if locked:
        raise InfrastructureError(
            f"job {locked[0]}: its workflow is locked by a worker that is updating it or was killed at that; "
            "`sse-screen reap` opens locks that nobody holds"
        )
    for fw_id in fw_ids:
        launchpad.rerun_fw(fw_id)
        launchpad.fireworks.update_one({"fw_id": fw_id}, {"$unset": {f"spec.{LOST}": ""}})


def failed_launches(launchpad: LaunchPad) -> set[tuple[int, ...]]:
    """Name the failures that there are, so that later ones can be told from them.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.

    Returns
    -------
    set of tuple
        Job id and launches of every failed job; a job that fails again has another launch.
    """
    found = launchpad.fireworks.find({"state": "FIZZLED"}, {"fw_id": 1, "launches": 1})
    return {(firework["fw_id"], *firework["launches"]) for firework in found}


def unfinished(launchpad: LaunchPad) -> bool:
    """Tell whether any job is ready or running, or about to be (its parents have just ended).

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.

    Returns
    -------
    bool
        False when only completed, failed and blocked jobs are left.
    """
    active = {"state": {"$in": ["READY", "RESERVED", "RUNNING"]}}
    return any(
        collection.find_one(active, {"_id": 1}) is not None
        for collection in (launchpad.fireworks, launchpad.workflows)
    )


@dataclass(frozen=True)
class RunningCalculation:
    """A calculation that reported lately: name, steps done and in all."""

    name: str
    done: int
    total: int


def running_calculations(work_directory: Path, within_s: float = 60.0) -> list[RunningCalculation]:
    """Read the heartbeats of this machine's running calculations.

    Parameters
    ----------
    work_directory : Path
        From the settings.
    within_s : float
        Older heartbeats are left out (s).

    Returns
    -------
    list of RunningCalculation
        By name.
    """
    found = []
    for path in (work_directory / "calculations").glob("*/progress.json"):
        try:
            beat = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError):
            continue
        if time.time() - beat["time"] < within_s and beat["done"] < beat["total"]:
            found.append(RunningCalculation(beat["name"], beat["done"], beat["total"]))
    return sorted(found, key=lambda c: c.name)
