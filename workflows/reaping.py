"""Find jobs whose worker is dead or hung, locks that nobody holds and states that a kill left half written.

Everything is put right in a way that a worker which was given up wrongly can do no harm: its launch is
archived, so that what it reports later changes nothing, and a result is stored once by its calculation's key.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fireworks import LaunchPad
from fireworks.core.launchpad import LockedWorkflowError

from sse_screen.workflows.heartbeat import WORKERS, server_time, unchanged_for_s
from sse_screen.workflows.process_names import WORKER_PREFIX, is_dead_here, process_start_time

Health = Literal["running", "slow", "hung", "dead"]
LARGEST_RERUNS = 5
LOST = "_lost_workers"
_OWN_HEARTBEAT_LIMIT_S = 300.0  # our workers give a sign of life every 5 s
_PLAIN_HEARTBEAT_LIMIT_S = 4 * 3600.0  # plain rlaunch does every hour
_SILENT_JOB_FACTOR = 8  # jobs that never report progress (one DFT calculation) get so much more time
_SECOND_LOOK_S = 10.0  # silence is judged twice: after an outage of the database all look dead
_CLAIM_MS = 60_000
_LOCK_WITHOUT_HOLDER_S = 5.0
_LOCK_S = 300.0  # FireWorks' own limit; no update of a workflow takes as long
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """After how long without progress a living worker is called slow, and hung (s)."""

    slow_after_s: float = 300.0
    hung_after_s: float = 1800.0


@dataclass(frozen=True)
class RunningJob:
    """A running job: who runs it, how it is, steps done and in all, seconds since sign of life and step."""

    fw_id: int
    launch_id: int
    name: str
    worker: str
    health: Health
    done: int | None
    total: int | None
    silent_s: float | None
    without_progress_s: float | None


@dataclass(frozen=True)
class Reaped:
    """A job or workflow that was put right, and what was done."""

    fw_id: int
    done: str


def running_jobs(
    launchpad: LaunchPad, patience: Patience | None = None, campaign: str | None = None
) -> list[RunningJob]:
    """Judge every running job.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    patience : Patience, optional
        When a worker is slow or hung.
    campaign : str, optional
        Only its jobs.

    Returns
    -------
    list of RunningJob
        By job id.
    """
    limits = patience or Patience()
    database = launchpad.db
    now = server_time(database)
    found = []
    only = {"spec.campaign": campaign} if campaign else {}
    for launch in launchpad.launches.find({"state": "RUNNING"}):
        match = {"launches": launch["launch_id"]} | only
        firework = launchpad.fireworks.find_one(match, {"fw_id": 1, "name": 1})
        if firework is not None:  # else it was given up before
            record = database[WORKERS].find_one({"_id": _worker_of(launch)}) or {}
            found.append(_judged(firework, launch, record, now, limits))
    return sorted(found, key=lambda job: job.fw_id)


def _judged(
    firework: dict[str, Any], launch: dict[str, Any], record: dict[str, Any], now: datetime, limits: Patience
) -> RunningJob:
    name = _worker_of(launch)
    is_ours = _is_ours(name)
    seen = record["seen_at"] if is_ours and record else launch["state_history"][-1].get("updated_on")
    silent_s = None if seen is None else (now - _utc(seen)).total_seconds()
    mine = record.get("launch_id") == launch["launch_id"]
    progressed = record.get("progressed_at") if mine else None
    still_s = None if progressed is None else (now - _utc(progressed)).total_seconds()
    here = is_ours and name.split("@")[1] == socket.gethostname()
    if here:
        dead = is_dead_here(name)
    else:
        limit_s = _OWN_HEARTBEAT_LIMIT_S if is_ours else _PLAIN_HEARTBEAT_LIMIT_S
        dead = silent_s is not None and silent_s > limit_s
    health: Health = "dead" if dead else "running"
    if not dead and still_s is not None:
        silent_job = record.get("total") is None
        factor = _SILENT_JOB_FACTOR if silent_job else 1
        if still_s > limits.hung_after_s * factor:
            health = "hung"
        elif still_s > limits.slow_after_s * factor:
            health = "slow"
    return RunningJob(
        fw_id=firework["fw_id"],
        launch_id=launch["launch_id"],
        name=firework["name"],
        worker=name,
        health=health,
        done=record.get("done") if mine else None,
        total=record.get("total") if mine else None,
        silent_s=silent_s,
        without_progress_s=still_s,
    )


def reap(
    launchpad: LaunchPad, patience: Patience | None = None, *, stopped_in_order: bool = False
) -> list[Reaped]:
    """Put right what killed and hung workers left.

    Jobs of dead and hung workers become ready again, at most five times each; hung workers of this machine
    are killed first. Locks that no living worker can hold are opened, and states that were left half written
    are brought up to date. Silent workers, locks and half-written states must look as they did seconds
    before, and jobs of a workflow that is still locked are left: call this from time to time, or
    :func:`reap_twice`.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    patience : Patience, optional
        When a worker is slow or hung.
    stopped_in_order : bool
        The workers were stopped on purpose, which is not counted against their jobs.

    Returns
    -------
    list of Reaped
        What was done.
    """
    jobs = running_jobs(launchpad, patience)
    done = _open_locks(launchpad)
    for job in jobs:
        if job.health not in ("dead", "hung") or not _still_silent(launchpad, job):
            continue
        if job.health == "hung":
            _kill_here(job.worker)
        if is_locked(launchpad, job.fw_id) or not _claimed(launchpad, job.launch_id):
            continue
        with _left_when_locked():
            done.append(
                give_up(launchpad, job.fw_id, job.launch_id, job.health, counted=not stopped_in_order)
            )
    return done + _finish_half_written(launchpad)


def is_locked(launchpad: LaunchPad, fw_id: int) -> bool:
    """Tell whether the workflow of a job is locked: FireWorks would wait five minutes for it.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the job is.
    fw_id : int
        The job.

    Returns
    -------
    bool
        True when it is; :func:`reap` opens the lock if no living worker can hold it.
    """
    locked = {"nodes": fw_id, "locked": {"$exists": True}}
    return launchpad.workflows.find_one(locked, {"_id": 1}) is not None


@contextlib.contextmanager
def _left_when_locked() -> Iterator[None]:
    """Leave a job for the next pass whose workflow was locked after it was looked at."""
    try:
        yield
    except LockedWorkflowError as error:
        _log.warning("%s; it is tried again in the next pass", error)


def reap_twice(launchpad: LaunchPad, patience: Patience | None = None) -> list[Reaped]:
    """As :func:`reap`, and again after ten seconds when something has to be looked at twice.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the jobs are.
    patience : Patience, optional
        When a worker is slow or hung.

    Returns
    -------
    list of Reaped
        What was done.
    """
    done = reap(launchpad, patience)
    silent = any(job.health in ("dead", "hung") for job in running_jobs(launchpad, patience))
    if silent or launchpad.workflows.find_one({"locked": True}, {"_id": 1}) or any(_half_written(launchpad)):
        time.sleep(_SECOND_LOOK_S + 1.0)
        done += reap(launchpad, patience)
    return done


def give_up(launchpad: LaunchPad, fw_id: int, launch_id: int, reason: str, *, counted: bool = True) -> Reaped:
    """Take a running job from its worker and make it ready again, or leave it failed after too many times.

    The job goes from running to ready directly: were it failed in between, jobs that accept failed parents
    could start.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the job is.
    fw_id, launch_id : int
        The job and its running launch.
    reason : str
        What its worker is, such as dead.
    counted : bool
        Whether this counts towards the largest number of reruns.

    Returns
    -------
    Reaped
        What was done.
    """
    spec = (launchpad.fireworks.find_one({"fw_id": fw_id}, {f"spec.{LOST}": 1}) or {}).get("spec", {})
    lost = spec.get(LOST, 0) + (1 if counted else 0)
    if lost > LARGEST_RERUNS:
        launchpad.mark_fizzled(launch_id)
        done = Reaped(fw_id, f"left failed: its workers died {lost} times; sse-screen rerun {fw_id}")
        _log.warning("job %s %s", done.fw_id, done.done)
        return done
    launchpad.rerun_fw(fw_id)
    launchpad.launches.update_one(
        {"launch_id": launch_id, "state": "RUNNING"}, {"$set": {"state": "FIZZLED"}}
    )
    launchpad.fireworks.update_one({"fw_id": fw_id}, {"$set": {f"spec.{LOST}": lost}})
    return Reaped(fw_id, f"made ready again: its worker is {reason}")


def _still_silent(launchpad: LaunchPad, job: RunningJob) -> bool:
    """Tell whether a worker is gone for sure, or as silent as when it was looked at before."""
    if is_dead_here(job.worker):
        return True
    record = launchpad.db[WORKERS].find_one({"_id": job.worker}, {"seen_at": 1, "progressed_at": 1}) or {}
    state = [str(record.get("seen_at")), str(record.get("progressed_at"))]
    if job.health == "hung":
        state = state[1:]  # it lives and does not move
    return unchanged_for_s(launchpad.db, f"launch {job.launch_id} {job.health}", state) >= _SECOND_LOOK_S


def _claimed(launchpad: LaunchPad, launch_id: int) -> bool:
    """Make this process the one that gives a launch up; nobody else does so for a minute."""
    before = {"$ifNull": ["$given_up_at", datetime(1970, 1, 1, tzinfo=UTC)]}
    free = {"$expr": {"$lt": [before, {"$subtract": ["$$NOW", _CLAIM_MS]}]}}
    claim = [{"$set": {"given_up_at": "$$NOW"}}]
    found = {"launch_id": launch_id, "state": "RUNNING"} | free
    return bool(launchpad.launches.update_one(found, claim).modified_count)


def _finish_half_written(launchpad: LaunchPad) -> list[Reaped]:
    """Bring jobs up to date that look taken but have no running launch: a kill between two writes."""
    done = []
    for firework in list(_half_written(launchpad)):
        fw_id = firework["fw_id"]
        state = [firework["state"], firework["launches"], str(firework.get("updated_on"))]
        unchanged_s = unchanged_for_s(launchpad.db, f"job {fw_id}", state)
        if unchanged_s < _SECOND_LOOK_S or is_locked(launchpad, fw_id):
            continue
        with _left_when_locked():
            if firework["launches"]:
                launchpad._refresh_wf(fw_id)  # the launch knows how it ended
            else:
                launchpad.rerun_fw(fw_id)
            done.append(Reaped(fw_id, "brought up to date: its worker died between two writes"))
    return done


def _half_written(launchpad: LaunchPad) -> Iterator[dict[str, Any]]:
    taken = {"state": {"$in": ["RUNNING", "RESERVED"]}}
    for firework in launchpad.fireworks.find(taken, {"fw_id": 1, "state": 1, "launches": 1, "updated_on": 1}):
        active = {"launch_id": {"$in": firework["launches"]}} | taken
        if launchpad.launches.find_one(active, {"_id": 1}) is None:
            yield firework


def _open_locks(launchpad: LaunchPad) -> list[Reaped]:
    done = []
    shown = {"nodes": 1, "updated_on": 1, "name": 1}
    for workflow in launchpad.workflows.find({"locked": True}, shown):
        key, state = f"lock {workflow['_id']}", str(workflow["updated_on"])
        locked_s = unchanged_for_s(launchpad.db, key, state)
        limit_s = _LOCK_S if _has_living_worker(launchpad, workflow["nodes"]) else _LOCK_WITHOUT_HOLDER_S
        if locked_s < limit_s:
            continue
        same = {"_id": workflow["_id"], "locked": True, "updated_on": workflow["updated_on"]}
        if launchpad.workflows.update_one(same, {"$unset": {"locked": ""}}).modified_count:
            first = min(workflow["nodes"])
            done.append(Reaped(first, f"lock of workflow {workflow['name']!r} opened: nobody holds it"))
            _log.warning("job %s: %s", first, done[-1].done)
    return done


def _has_living_worker(launchpad: LaunchPad, fw_ids: list[int]) -> bool:
    """Tell whether a worker of any job of a workflow may still live."""
    names = launchpad.launches.distinct("fworker.name", {"fw_id": {"$in": fw_ids}})
    now, workers = server_time(launchpad.db), launchpad.db[WORKERS]
    for name in names:
        if not _is_ours(name):
            return True
        if name.split("@")[1] == socket.gethostname():
            if not is_dead_here(name):
                return True
            continue
        seen = (workers.find_one({"_id": name}, {"seen_at": 1}) or {}).get("seen_at")
        if seen is None or (now - _utc(seen)).total_seconds() < _OWN_HEARTBEAT_LIMIT_S:
            return True
    return False


def _kill_here(worker: str) -> None:
    """Kill a worker of this machine; by handle, so that a number used anew is never hit."""
    parts = worker.split("@")
    if not _is_ours(worker) or parts[1] != socket.gethostname():
        return
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(int(parts[2]))
        try:
            if str(process_start_time(int(parts[2]))) == parts[3]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _worker_of(launch: dict[str, Any]) -> str:
    return str((launch.get("fworker") or {}).get("name", ""))


def _is_ours(worker: str) -> bool:
    parts = worker.split("@")
    return len(parts) == 4 and parts[0] == WORKER_PREFIX


def _utc(moment: datetime | str) -> datetime:
    found = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # FireWorks and MongoDB write UTC
