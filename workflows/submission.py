"""Add a campaign to the LaunchPad: checked whole before, added whole or not at all, never twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import bson
from fireworks import LaunchPad, Workflow
from jobflow import Flow
from jobflow.managers.fireworks import flow_to_workflow
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from sse_screen.database.blobs import BlobStore
from sse_screen.documents.base import content_hash
from sse_screen.exceptions import InputError
from sse_screen.workflows.planning import Plan

CAMPAIGNS = "campaigns"
LARGEST_FIREWORK_BYTES = 12 * 1024 * 1024


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
        When a job is too large for the database.
    """
    content = plan.campaign.model_dump(mode="json") | {"weights_sha256": plan.potential.weights_sha256}
    record_id = content_hash(content)[:24]
    campaigns = database[CAMPAIGNS]
    record = campaigns.find_one({"_id": record_id})
    if record is not None and record["state"] == "submitted":
        return Submission(plan.campaign.name, record["n_workflows"], record["n_jobs"], already_there=True)
    if record is not None:  # an earlier submission was cut in the middle
        _remove(launchpad, record_id)
    blobs = BlobStore(database)
    flows = [*plan.flows, *(o.flow(blobs.put) for o in plan.orderings)]
    workflows = [_workflow(flow, plan.campaign.name, record_id) for flow in flows]
    head = {
        "_id": record_id,
        "name": plan.campaign.name,
        "content": content,
        "n_workflows": len(workflows),
        "n_jobs": plan.n_jobs,
        "submitted_at": datetime.now(UTC),
    }
    try:
        campaigns.replace_one({"_id": record_id}, head | {"state": "submitting"}, upsert=True)
    except DuplicateKeyError as error:
        raise InputError(f"campaign {plan.campaign.name}: another process is submitting it now") from error
    _add(launchpad, workflows)
    campaigns.update_one({"_id": record_id}, {"$set": {"state": "submitted"}})
    return Submission(plan.campaign.name, len(workflows), plan.n_jobs, already_there=False)


def _workflow(flow: Flow, campaign: str, record_id: str) -> Workflow:
    flow.update_metadata({"campaign": campaign})
    # no store is passed: its password would be written into the LaunchPad; workers have their own settings
    workflow = flow_to_workflow(flow, metadata={"campaign": campaign, "submission": record_id})
    for firework in workflow.fws:
        size = len(bson.encode(firework.to_db_dict()))
        if size > LARGEST_FIREWORK_BYTES:
            raise InputError(
                f"{firework.name}: its {size / 1e6:.1f} MB are more than the database takes in one job "
                f"({LARGEST_FIREWORK_BYTES / 1e6:.0f} MB); use smaller batches (batch_size)"
            )
    return workflow


def _add(launchpad: LaunchPad, workflows: list[Workflow]) -> None:
    """Add all workflows with two inserts; FireWorks' own bulk method draws a progress bar of its own."""
    from fireworks.core import launchpad as module

    shown = module.tqdm
    module.tqdm = lambda items: items
    try:
        launchpad.bulk_add_wfs(workflows)
    finally:
        module.tqdm = shown


def _remove(launchpad: LaunchPad, record_id: str) -> None:
    for workflow in launchpad.workflows.find({"metadata.submission": record_id}, {"nodes": 1}):
        launchpad.fireworks.delete_many({"fw_id": {"$in": workflow["nodes"]}})
        launchpad.workflows.delete_one({"_id": workflow["_id"]})
