"""The command that ranks and writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from pymongo.database import Database

    from sse_screen.documents.base import DerivedDocument
    from sse_screen.reporting.page import ReportContent, WorkerTime

EPILOG = "Example: sse-screen report --campaign quickstart --folder quickstart_report"
_TIMED = {
    "$in": ["relaxation", "molecular_dynamics", "configuration_batch", "vibration_batch", "phonon_batch"]
}


def report(
    campaign: Annotated[
        str | None, typer.Option(help="Only what came from this campaign; all otherwise")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder to write; CAMPAIGN_report by default")] = None,
) -> None:
    """Print the ranking and write a page with plots."""
    from rich.console import Console

    from sse_screen.cli.printing import print_rows
    from sse_screen.cli.surveys import print_candidates
    from sse_screen.reporting.page import write_report
    from sse_screen.reporting.ranking import COLUMNS, rank_materials, row_cells

    content = gather(campaign)
    ranked = rank_materials(content.fits_shown, content.diffusivities, content.hulls)
    console = Console()
    if ranked:
        title = "ranked by conductivity at 300 K (95 % intervals)"
        print_rows(console, title, COLUMNS, [row_cells(row) for row in ranked], ["flags"])
    if content.candidates:
        print_candidates(content.candidates, console)
    path = write_report(content, folder or Path(f"{campaign or 'all'}_report"))
    for line in filter(None, [content.unfinished, *content.shared_points]):
        console.print(line, soft_wrap=True)
    if (spent := content.worker_time) is not None:
        text = (
            f"platform overhead: {spent.platform_percent:.1f} % of the time of {spent.n_jobs} finished jobs"
        )
        console.print(text, soft_wrap=True)
    console.print(f"report: {path}", soft_wrap=True)


def gather(campaign: str | None) -> ReportContent:
    """Fetch what a report shows.

    Parameters
    ----------
    campaign : str or None
        Only documents with an input from this campaign.

    Returns
    -------
    ReportContent
        Documents of the collections and the workers' time.
    """
    from sse_screen.database.blobs import BlobStore
    from sse_screen.database.stores import connect, launchpad
    from sse_screen.documents.activation_energy import ActivationEnergyDoc
    from sse_screen.documents.candidate import CandidateDoc
    from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
    from sse_screen.documents.convex_hull import ConvexHullDoc
    from sse_screen.documents.diffusivity import DiffusivityDoc
    from sse_screen.documents.jump_barrier import JumpBarrierDoc
    from sse_screen.documents.learning_curve import LearningCurveDoc
    from sse_screen.documents.potential import PotentialDoc
    from sse_screen.documents.self_consistent_loop import SelfConsistentLoopDoc
    from sse_screen.documents.site_network import SiteNetworkDoc
    from sse_screen.documents.structure_function import StructureFunctionDoc
    from sse_screen.reporting.page import ReportContent
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import failures

    settings = get_settings()
    database, pad = connect(settings), launchpad(settings)
    uuids, names = (None, {}) if campaign is None else _of_campaign(database, pad, campaign)
    diffusivities = _documents(database, DiffusivityDoc, uuids, names)
    chosen = {document.id for document in diffusivities}
    fits = _documents(database, ActivationEnergyDoc, None, names)
    return ReportContent(
        title=campaign or "all campaigns",
        fits=[fit for fit in fits if {point.diffusivity_id for point in fit.points} & chosen],
        diffusivities=diffusivities,
        hulls=_documents(database, ConvexHullDoc, uuids),
        free_energies=_documents(database, ConfigurationalFreeEnergyDoc, uuids),
        networks=_documents(database, SiteNetworkDoc, uuids, names),
        barriers=_documents(database, JumpBarrierDoc, None, names),
        functions=_documents(database, StructureFunctionDoc, uuids, names),
        candidates=_documents(database, CandidateDoc, uuids),
        trained=[p for p in _documents(database, PotentialDoc, uuids) if p.history],
        curves=_documents(database, LearningCurveDoc, uuids),
        loops=_documents(database, SelfConsistentLoopDoc, uuids),
        worker_time=_worker_time(pad, database, campaign),
        unfinished=_unfinished(pad, campaign),
        read_blob=BlobStore(database).get,
        failures=[f"{f.name}: {f.reason}" for f in failures(pad, campaign)],
    )


def _of_campaign(
    database: Database[dict[str, Any]], pad: LaunchPad, campaign: str
) -> tuple[set[str], dict[str, str]]:
    """Give the uuids of a campaign's results and the names of its crystals."""
    from sse_screen.database.stores import OUTPUTS
    from sse_screen.exceptions import InputError
    from sse_screen.workflows.monitoring import check_campaign

    keys = database[OUTPUTS].distinct("output.calculation_key", {"metadata.campaign": campaign})
    if not keys:
        check_campaign(pad, campaign)
        raise InputError(f"--campaign {campaign}: nothing finished yet; `sse-screen status` shows its jobs")
    uuids = set(database[OUTPUTS].distinct("uuid", {"output.calculation_key": {"$in": keys}}))
    return uuids, _own_names(database, campaign)


def _documents(
    database: Database[dict[str, Any]],
    model: type[DerivedDocument],
    uuids: set[str] | None,
    names: dict[str, str] | None = None,
) -> list[Any]:
    """Read a collection: what is built of some jobs, each crystal under the name it is to have."""
    found = database[model.collection].find({"deprecated": {"$ne": True}}, {"_id": 0}).sort("id", 1)
    documents: list[Any] = [model.model_validate(document) for document in found]
    if uuids is not None:
        documents = [d for d in documents if any(reference.id in uuids for reference in d.inputs)]
    return [
        d.model_copy(update={"material_name": names[d.material_id]})
        if names and d.material_id in names
        else d
        for d in documents
    ]


def _own_names(database: Database[dict[str, Any]], campaign: str) -> dict[str, str]:
    """Give the names of a campaign's crystals by their ids; other campaigns may call them otherwise."""
    from sse_screen.database.stores import OUTPUTS

    names: dict[str, set[str]] = {}
    own = {"metadata.campaign": campaign, "output.kind": "molecular_dynamics"}
    shown = {"output.material_id": 1, "output.material_name": 1}
    for found in database[OUTPUTS].find(own, shown):
        names.setdefault(found["output"]["material_id"], set()).add(found["output"]["material_name"])
    return {material_id: ", ".join(sorted(found)) for material_id, found in names.items()}


def _unfinished(pad: LaunchPad, campaign: str | None) -> str | None:
    """Say how many jobs are not done and in what state they are; None when all are done."""
    from sse_screen.workflows.monitoring import counts_by_state

    counts = counts_by_state(pad, campaign)
    n_all, n_done = sum(counts.values()), counts.pop("COMPLETED", 0)
    if n_done == n_all:
        return None
    called = {"FIZZLED": "failed"}
    states = ", ".join(f"{n} {called.get(state, state.lower())}" for state, n in counts.items())
    return f"{n_all - n_done} of {n_all} jobs are not done yet: {states}; what they would add is missing here"


def _worker_time(
    pad: LaunchPad, database: Database[dict[str, Any]], campaign: str | None
) -> WorkerTime | None:
    """Add up the time of finished jobs that ran once, undisturbed, and of it the time in the potential."""
    from sse_screen.database.stores import OUTPUTS
    from sse_screen.reporting.page import WorkerTime

    once = {"state": "COMPLETED", "launches": {"$size": 1}, "archived_launches": {"$size": 0}}
    own = {"spec.campaign": campaign} if campaign is not None else {}
    jobs = {
        job["launches"][0]: job["spec"]["_tasks"][0]["job"]["uuid"]
        for job in pad.fireworks.find(once | own, {"launches": 1, "spec._tasks.job.uuid": 1})
    }
    times = {
        found["uuid"]: found["output"]["potential_time_s"]
        for found in database[OUTPUTS].find(
            {"uuid": {"$in": list(jobs.values())}, "output.potential_time_s": {"$exists": True}},
            {"uuid": 1, "output.potential_time_s": 1},
        )
    }
    shown = {"launch_id": 1, "runtime_secs": 1, "action.stored_data.reused_from": 1}
    whole_s = potential_s = 0.0
    n_jobs = 0
    for launch in pad.launches.find({"launch_id": {"$in": list(jobs)}}, shown):
        uuid = jobs[launch["launch_id"]]
        # jobs without a potential (decisions, training) are no overhead; a result taken over costs none
        if uuid in times and not launch["action"]["stored_data"].get("reused_from"):
            n_jobs += 1
            whole_s += launch["runtime_secs"]
            potential_s += times[uuid]
    return WorkerTime(potential_s, max(whole_s - potential_s, 0.0), n_jobs) if n_jobs else None
