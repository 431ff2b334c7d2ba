"""What the jobs are doing: counts by state, failures with their reasons, lost runs found and put back."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from fireworks import LaunchPad

from sse_screen.exceptions import InputError
from sse_screen.workflows.worker import WORKER_PREFIX, is_dead_here

FailureKind = Literal["scientific", "infrastructure"]
_INFRASTRUCTURE = re.compile(
    r"(InfrastructureError|UnavailableError|FolderBusyError|ServerSelectionTimeout|AutoReconnect|pymongo\.errors|"
    r"OSError|ConnectionError|MemoryError|No space left)"
)
LARGEST_RERUNS = 5
_LOST = "_lost_workers"
_OWN_HEARTBEAT_LIMIT_S = 300.0  # our workers give a sign of life every 30 s
_PLAIN_HEARTBEAT_LIMIT_S = 4 * 3600.0  # plain rlaunch does every hour
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A failed job: its id and name, whether machine or science failed, and the last line of the error."""

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


def _failures(launchpad: LaunchPad, match: dict[str, Any]) -> list[Failure]:
    found = []
    shown = {"fw_id": 1, "name": 1, "launches": 1}
    for firework in launchpad.fireworks.find({"state": "FIZZLED", **match}, shown).sort("fw_id", 1):
        launch = launchpad.launches.find_one(
            {"launch_id": {"$in": firework["launches"]}}, sort=[("launch_id", -1)]
        )
        stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
        trace = (stored.get("_exception") or {}).get("_stacktrace", "")
        reason = trace.strip().splitlines()[-1] if trace.strip() else "the worker died without a word"
        kind: FailureKind = "infrastructure" if not trace or _INFRASTRUCTURE.search(reason) else "scientific"
        found.append(Failure(firework["fw_id"], firework["name"], kind, reason))
    return found


def put_back_lost_runs(launchpad: LaunchPad, *, stopped_in_order: bool = False) -> list[tuple[int, str]]:
    """Find running jobs whose worker is dead and make them ready again.

    A worker of ours on this machine is dead when its process is gone; one elsewhere when it has not given a
    sign of life for five minutes, a plain FireWorks one for four hours. A job whose workers died more than
    five times is left failed until somebody asks for it (``sse-screen rerun``).

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    stopped_in_order : bool
        The workers were stopped on purpose, which is not counted against their jobs.

    Returns
    -------
    list of (int, str)
        Job ids and what was done.
    """
    done = []
    for launch in launchpad.launches.find({"state": "RUNNING"}):
        if not _is_dead(launch):
            continue
        fw_id = launch["fw_id"]
        launchpad.mark_fizzled(launch["launch_id"])
        spec = (launchpad.fireworks.find_one({"fw_id": fw_id}, {f"spec.{_LOST}": 1}) or {}).get("spec", {})
        lost = spec.get(_LOST, 0) + (0 if stopped_in_order else 1)
        if lost > LARGEST_RERUNS:
            done.append((fw_id, f"left failed: its workers died {lost} times; sse-screen rerun {fw_id}"))
            _log.warning("job %s %s", *done[-1])
            continue
        launchpad.rerun_fw(fw_id)
        launchpad.fireworks.update_one({"fw_id": fw_id}, {"$set": {f"spec.{_LOST}": lost}})
        done.append((fw_id, "made ready again: its worker is gone"))
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
    """
    failed = {f["fw_id"] for f in launchpad.fireworks.find({"state": "FIZZLED"}, {"fw_id": 1})}
    wrong = [fw_id for fw_id in fw_ids if fw_id not in failed]
    if wrong:
        raise InputError(f"job {wrong[0]}: not a failed job; `sse-screen status` lists those")
    for fw_id in fw_ids:
        launchpad.rerun_fw(fw_id)
        launchpad.fireworks.update_one({"fw_id": fw_id}, {"$unset": {f"spec.{_LOST}": ""}})


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


def _is_dead(launch: dict[str, Any]) -> bool:
    parts = str(launch.get("fworker", {}).get("name", "")).split("@")
    is_ours = len(parts) == 4 and parts[0] == WORKER_PREFIX
    if is_ours and parts[1] == socket.gethostname():
        return is_dead_here("@".join(parts))
    last = launch["state_history"][-1].get("updated_on")
    if last is None:
        return False
    sign = last if isinstance(last, datetime) else datetime.fromisoformat(str(last))
    sign = sign if sign.tzinfo else sign.replace(tzinfo=UTC)  # FireWorks writes UTC
    limit_s = _OWN_HEARTBEAT_LIMIT_S if is_ours else _PLAIN_HEARTBEAT_LIMIT_S
    return datetime.now(UTC) - sign > timedelta(seconds=limit_s)


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
