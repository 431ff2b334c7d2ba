"""What the jobs are doing: counts by state, failures with their reasons, lost runs found and put back."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from fireworks import LaunchPad

from sse_screen.workflows.worker import WORKER_PREFIX, process_start_time

FailureKind = Literal["scientific", "infrastructure"]
_INFRASTRUCTURE = re.compile(
    r"(InfrastructureError|UnavailableError|FolderBusyError|ServerSelectionTimeout|AutoReconnect|pymongo\.errors|"
    r"OSError|ConnectionError|MemoryError|No space left)"
)
LARGEST_RERUNS = 5
_HEARTBEAT_LIMIT_S = 300.0


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
    match: dict[str, Any] = {"state": "FIZZLED"} | ({"spec.campaign": campaign} if campaign else {})
    found = []
    for firework in launchpad.fireworks.find(match, {"fw_id": 1, "name": 1, "launches": 1}).sort("fw_id", 1):
        launch = launchpad.launches.find_one(
            {"launch_id": {"$in": firework["launches"]}}, sort=[("launch_id", -1)]
        )
        stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
        trace = (stored.get("_exception") or {}).get("_stacktrace", "")
        reason = trace.strip().splitlines()[-1] if trace.strip() else "the worker died without a word"
        kind: FailureKind = "infrastructure" if not trace or _INFRASTRUCTURE.search(reason) else "scientific"
        found.append(Failure(firework["fw_id"], firework["name"], kind, reason))
    return found


def put_back_lost_runs(launchpad: LaunchPad) -> list[tuple[int, str]]:
    """Find running jobs whose worker is dead and make them ready again.

    A worker on this machine is dead when its process is gone; one elsewhere when it has not given a sign of
    life for five minutes. A job that lost its worker more than five times is left failed.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.

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
        lost = len(
            (launchpad.fireworks.find_one({"fw_id": fw_id}, {"archived_launches": 1}) or {}).get(
                "archived_launches", []
            )
        )
        if lost >= LARGEST_RERUNS:
            done.append((fw_id, f"left failed: its worker died {lost + 1} times"))
            continue
        launchpad.rerun_fw(fw_id)
        done.append((fw_id, "made ready again: its worker is gone"))
    return done


def _is_dead(launch: dict[str, Any]) -> bool:
    parts = str(launch.get("fworker", {}).get("name", "")).split("@")
    if len(parts) == 4 and parts[0] == WORKER_PREFIX and parts[1] == socket.gethostname():
        return str(process_start_time(int(parts[2]))) != parts[3]
    last = launch["state_history"][-1].get("updated_on")
    if not isinstance(last, datetime):
        return False
    last = last if last.tzinfo else last.replace(tzinfo=UTC)
    return datetime.now(UTC) - last > timedelta(seconds=_HEARTBEAT_LIMIT_S)


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
