"""Add a campaign to the LaunchPad: checked whole before, added whole or not at all, never twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
from fireworks import Firework, LaunchPad, Workflow
from jobflow import Flow
from jobflow.managers.fireworks import flow_to_workflow
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from sse_screen.database.blobs import BlobStore
from sse_screen.documents.base import content_hash
from sse_screen.exceptions import InputError
from sse_screen.workflows.heartbeat import server_time
from sse_screen.workflows.planning import Plan
from sse_screen.workflows.potentials import store_potential
from sse_screen.workflows.process_names import is_dead_here, worker_name
from sse_screen.workflows.survey_budget import grant, open_budget

CAMPAIGNS = "campaigns"
LARGEST_FIREWORK_BYTES = 12 * 1024 * 1024
_SIGN_OF_LIFE_S = 5.0
_SILENT_S = 300.0  # as for workers of another machine
_PATHS = ("file", "crystals", "foundation", "replay")


@dataclass(frozen=True)
class Submission:
    """What was added: campaign, number of workflows and jobs; ``already_there`` when nothing had to be."""

    campaign: str
    n_workflows: int
    n_jobs: int
    already_there: bool


def submit_plan(plan: Plan, database: Database[dict[str, Any]], launchpad: LaunchPad) -> Submission:
    """Submit a plan.

    Parameters
    ----------
    plan : Plan
        From :func:`sse_screen.workflows.planning.plan_campaign`.
    database : pymongo Database
        Holds blobs and the record of campaigns.
    launchpad : LaunchPad
        Where the workflows go.

    Returns
    -------
    Submission
        Numbers added.

    Raises
    ------
    InputError
        When a job is too large for the database, or another process is submitting the same campaign.
    """
    content = plan.campaign.model_dump(mode="json") | {"weights_sha256": plan.potential.weights_sha256}
    hashed = _without_paths(content)
    if Path(hashed["potential"]).is_absolute():  # a file's weights count, wherever it lies
        del hashed["potential"]
    record_id = content_hash([hashed, plan.crystals])[:24]
    campaigns = database[CAMPAIGNS]
    earlier = _claim(campaigns, record_id, plan.campaign.name)
    if earlier is not None:
        return Submission(plan.campaign.name, earlier["n_workflows"], earlier["n_jobs"], already_there=True)
    with _signs_of_life(campaigns, record_id):
        _remove(launchpad, record_id)  # what a submission that was killed may have left
        try:
            return _submit(plan, database, launchpad, record_id, content)
        except BaseException:
            if _is_mine(campaigns, record_id):
                _remove(launchpad, record_id)
                campaigns.delete_one({"_id": record_id})
            raise


def _without_paths(content: Any) -> Any:
    """Leave the paths of crystals out: their contents count, wherever they lie."""
    if isinstance(content, dict):
        return {key: _without_paths(value) for key, value in content.items() if key not in _PATHS}
    return [_without_paths(value) for value in content] if isinstance(content, list) else content


def _claim(campaigns: Collection[dict[str, Any]], record_id: str, name: str) -> dict[str, Any] | None:
    """Make this process the one that submits; give the record of a finished submission instead."""
    claim = {"state": "submitting", "owner": worker_name(), "name": name}
    try:
        campaigns.insert_one({"_id": record_id, **claim})
    except DuplicateKeyError:
        record = campaigns.find_one({"_id": record_id}) or {}
        if record.get("state") == "submitted":
            return record
        owner = str(record.get("owner"))
        silent_s = _silent_s(campaigns, record)
        if not is_dead_here(owner) and silent_s < _SILENT_S:
            raise InputError(
                f"campaign {name}: another process ({owner}) is submitting it now; its last sign of life "
                f"came {silent_s:.0f} s ago. Wait for it; if it was killed, the same command takes the "
                f"campaign over in {_SILENT_S - silent_s:.0f} s"
            ) from None
        same = {"_id": record_id, "state": "submitting", "owner": owner, "seen_at": record.get("seen_at")}
        if campaigns.find_one_and_update(same, {"$set": claim, "$unset": {"seen_at": ""}}) is None:
            raise InputError(f"campaign {name}: another process has just taken it over") from None
    return None


def _silent_s(campaigns: Collection[dict[str, Any]], record: dict[str, Any]) -> float:
    """Tell how long a submitting process has been silent, by the clock of the database."""
    if "seen_at" not in record:  # it was killed before its first sign of life: it is timed from now on
        _sign_of_life(campaigns, {"_id": record["_id"], "owner": record.get("owner")})
        return 0.0
    return float((server_time(campaigns.database) - record["seen_at"].replace(tzinfo=UTC)).total_seconds())


def _sign_of_life(campaigns: Collection[dict[str, Any]], claim: dict[str, Any]) -> None:
    campaigns.update_one(claim | {"state": "submitting"}, [{"$set": {"seen_at": "$$NOW"}}])


@contextlib.contextmanager
def _signs_of_life(campaigns: Collection[dict[str, Any]], record_id: str) -> Iterator[None]:
    """Let others see that the submission goes on."""
    ended = threading.Event()

    def write() -> None:
        """Write signs of life until the submission has ended."""
        while True:
            with contextlib.suppress(PyMongoError):
                _sign_of_life(campaigns, {"_id": record_id, "owner": worker_name()})
            if ended.wait(_SIGN_OF_LIFE_S):
                return

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def _is_mine(campaigns: Collection[dict[str, Any]], record_id: str) -> bool:
    mine = {"_id": record_id, "owner": worker_name(), "state": "submitting"}
    return campaigns.find_one(mine, {"_id": 1}) is not None


def _submit(
    plan: Plan,
    database: Database[dict[str, Any]],
    launchpad: LaunchPad,
    record_id: str,
    content: dict[str, Any],
) -> Submission:
    blobs = BlobStore(database)
    store_potential(plan.potential, blobs)
    flows = plan.ready_flows(blobs.put)
    workflows = [_workflow(flow, plan.campaign.name, record_id) for flow in flows]
    _number(launchpad, workflows)
    jobs = [_job_document(firework) for workflow in workflows for firework in workflow]
    if plan.survey is not None:
        open_budget(database, plan.campaign.name, plan.survey.output.budget_core_hours)
        grant(database, plan.campaign.name, plan.survey.first_tier_core_hours)
    if not _is_mine(database[CAMPAIGNS], record_id):
        raise InputError(
            f"campaign {plan.campaign.name}: another process took it over, as this one was silent too long"
        )
    # workflows first, so that no job is taken before its workflow is there
    launchpad.workflows.insert_many([workflow.to_db_dict() for workflow in workflows])
    launchpad.fireworks.insert_many(jobs)
    record = {
        "state": "submitted",
        "content": content,
        "n_workflows": len(workflows),
        "n_jobs": plan.n_jobs,
        "submitted_at": datetime.now(UTC),
    }
    database[CAMPAIGNS].update_one({"_id": record_id}, {"$set": record})
    return Submission(plan.campaign.name, len(workflows), plan.n_jobs, already_there=False)


def _workflow(flow: Flow, campaign: str, record_id: str) -> Workflow:
    flow.update_metadata({"campaign": campaign})
    # no store is passed: its password would be written into the LaunchPad; workers have their own settings
    return flow_to_workflow(flow, metadata={"campaign": campaign, "submission": record_id})


def _number(launchpad: LaunchPad, workflows: list[Workflow]) -> None:
    """Give all jobs their ids and first states, as FireWorks' ``bulk_add_wfs`` does.

    That one writes every job out once more than is needed, and draws a progress bar of its own.
    """
    n_jobs = {"next_fw_id": sum(map(len, workflows))}
    next_id = launchpad.fw_id_assigner.find_one_and_update({}, {"$inc": n_jobs})["next_fw_id"]
    for workflow in workflows:
        ids = dict(zip(workflow.id_fw, range(next_id, next_id + len(workflow)), strict=True))
        next_id += len(workflow)
        for firework in workflow:
            firework.fw_id = ids[firework.fw_id]
        workflow._reassign_ids(ids)
        for root in workflow.root_fw_ids:
            workflow.id_fw[root].state = workflow.fw_states[root] = "READY"


def _job_document(firework: Firework) -> dict[str, Any]:
    document: dict[str, Any] = firework.to_db_dict()
    size = len(bson.encode(document))
    if size > LARGEST_FIREWORK_BYTES:
        raise InputError(
            f"{firework.name}: its {size / 1e6:.1f} MB are more than the database takes in one job "
            f"({LARGEST_FIREWORK_BYTES / 1e6:.0f} MB); use smaller batches (batch_size)"
        )
    return document


def _remove(launchpad: LaunchPad, record_id: str) -> None:
    for workflow in launchpad.workflows.find({"metadata.submission": record_id}, {"nodes": 1}):
        launchpad.fireworks.delete_many({"fw_id": {"$in": workflow["nodes"]}})
        launchpad.workflows.delete_one({"_id": workflow["_id"]})
