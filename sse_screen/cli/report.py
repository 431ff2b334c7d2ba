"""The command that ranks and writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
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
    if content.worker_time is not None:
        share = content.worker_time.platform_percent
        console.print(f"platform overhead: {share:.1f} % of the workers' time", soft_wrap=True)
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
    from sse_screen.database.stores import OUTPUTS, connect, launchpad
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
    from sse_screen.exceptions import InputError
    from sse_screen.reporting.page import ReportContent
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import check_campaign, failures

    settings = get_settings()
    database = connect(settings)
    uuids = None
    if campaign is not None:
        keys = database[OUTPUTS].distinct("output.calculation_key", {"metadata.campaign": campaign})
        if not keys:
            check_campaign(launchpad(settings), campaign)
            raise InputError(
                f"--campaign {campaign}: nothing finished yet; `sse-screen status` shows its jobs"
            )
        uuids = set(database[OUTPUTS].distinct("uuid", {"output.calculation_key": {"$in": keys}}))
    diffusivities = _documents(database, DiffusivityDoc, uuids)
    chosen = {document.id for document in diffusivities}
    fits = _documents(database, ActivationEnergyDoc, None)
    return ReportContent(
        title=campaign or "all campaigns",
        fits=[fit for fit in fits if {point.diffusivity_id for point in fit.points} & chosen],
        diffusivities=diffusivities,
        hulls=_documents(database, ConvexHullDoc, uuids),
        free_energies=_documents(database, ConfigurationalFreeEnergyDoc, uuids),
        networks=_documents(database, SiteNetworkDoc, uuids),
        barriers=_documents(database, JumpBarrierDoc, None),
        functions=_documents(database, StructureFunctionDoc, uuids),
        candidates=_documents(database, CandidateDoc, uuids),
        trained=[p for p in _documents(database, PotentialDoc, uuids) if p.history],
        curves=_documents(database, LearningCurveDoc, uuids),
        loops=_documents(database, SelfConsistentLoopDoc, uuids),
        worker_time=_worker_time(database),
        read_blob=BlobStore(database).get,
        failures=[f"{f.name}: {f.reason}" for f in failures(launchpad(settings), campaign)],
    )


def _documents(
    database: Database[dict[str, Any]], model: type[DerivedDocument], uuids: set[str] | None
) -> list[Any]:
    found = database[model.collection].find({"deprecated": {"$ne": True}}, {"_id": 0}).sort("id", 1)
    documents = [model.model_validate(document) for document in found]
    if uuids is None:
        return documents
    return [d for d in documents if any(reference.id in uuids for reference in d.inputs)]


def _worker_time(database: Database[dict[str, Any]]) -> WorkerTime | None:
    from sse_screen.database.stores import OUTPUTS
    from sse_screen.reporting.page import WorkerTime
    from sse_screen.workflows.heartbeat import WORKERS

    workers = list(database[WORKERS].find({"wall_s": {"$exists": True}}))
    if not workers:
        return None
    once_each = database[OUTPUTS].aggregate(
        [
            {"$match": {"output.kind": _TIMED}},
            {"$group": {"_id": "$output.calculation_key", "s": {"$first": "$output.potential_time_s"}}},
            {"$group": {"_id": None, "s": {"$sum": "$s"}}},
        ]
    )
    potential_s = next((group["s"] for group in once_each), 0.0)
    wall_s, idle_s = (sum(w[key] for w in workers) for key in ("wall_s", "idle_s"))
    return WorkerTime(potential_s, max(wall_s - idle_s - potential_s, 0.0), idle_s)
