"""Commands that tell how the jobs are, and put right what killed and hung workers left."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from sse_screen.workflows.reaping import RunningJob

STATUS_EPILOG = "Example: sse-screen status --campaign quickstart"
REAP_EPILOG = "Examples: sse-screen reap --dry-run; sse-screen reap --hung-after 3600 --json"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]


def status(
    campaign: Annotated[str | None, typer.Option("--campaign", help="Only the jobs of this campaign")] = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs by state, what runs, and the reasons of failures; exit status 1 when any failed."""
    import json

    from rich.console import Console

    from sse_screen.database.stores import connect, launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import counts_by_state, failures
    from sse_screen.workflows.reaping import running_jobs
    from sse_screen.workflows.survey_status import survey_status

    settings = get_settings()
    pad = launchpad(settings)
    counts, failed = counts_by_state(pad, campaign), failures(pad, campaign)
    kinds = {kind: sum(f.kind == kind for f in failed) for kind in ("scientific", "infrastructure")}
    running = running_jobs(pad, campaign=campaign)
    surveys = survey_status(connect(settings), campaign)
    if as_json:
        document = {
            "jobs": counts,
            "running": [asdict(job) for job in running],
            "failed": kinds,
            "failures": [asdict(f) for f in failed],
            "surveys": surveys,
        }
        typer.echo(json.dumps(document, indent=1))
    else:
        console = Console()
        console.print(_table("jobs", ["state", "number"], [[s, str(n)] for s, n in counts.items()]))
        if running:
            console.print(_running_table(running))
        for name, tiers in surveys.items():
            rows = [[str(value) for value in tier.values()] for tier in tiers]
            console.print(_table(f"survey {name}", list(tiers[0]), rows))
        if failed:
            title = "failed: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
            rows = [[str(f.fw_id), f.name, f.kind, f.reason] for f in failed]
            console.print(_table(title, ["id", "job", "kind", "reason"], rows))
    if failed:
        raise typer.Exit(1)


def reap(
    hung_after: Annotated[
        float, typer.Option(min=1, help="Seconds without progress after which a worker counts as hung")
    ] = 1800.0,
    slow_after: Annotated[
        float, typer.Option(min=1, help="Seconds without progress after which it is called slow")
    ] = 300.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge the running jobs, change nothing")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell dead, hung and slow workers apart; make the jobs of dead and hung ones ready again.

    Infrastructure failures (disk, database) are tried again too, every job at most five times. Workflow locks
    that no living worker can hold are opened. `sse-screen launch` does all this while it runs.
    """
    import json

    from rich.console import Console

    from sse_screen.database.stores import launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import rerun_infrastructure_failures
    from sse_screen.workflows.reaping import Patience, reap_twice, running_jobs

    pad = launchpad(get_settings())
    patience = Patience(slow_after, hung_after)
    jobs = running_jobs(pad, patience)
    done = []
    if not dry_run:
        with Console(stderr=True).status("looking at workers, locks and half-written states"):
            done = [asdict(found) for found in reap_twice(pad, patience)]
        again = "made ready again: it failed for reasons of the machine"
        done += [{"fw_id": fw_id, "done": again} for fw_id in rerun_infrastructure_failures(pad)]
    if as_json:
        typer.echo(json.dumps({"running": [asdict(job) for job in jobs], "done": done}, indent=1))
        return
    console = Console()
    console.print(_running_table(jobs))
    if done:
        rows = [[str(found["fw_id"]), str(found["done"])] for found in done]
        console.print(_table("put right", ["id", "what"], rows))


def _running_table(jobs: list[RunningJob]) -> Table:
    rows = [
        [
            str(job.fw_id),
            job.name,
            job.health,
            f"{job.done}/{job.total}" if job.total else "",
            _seconds(job.silent_s),
            _seconds(job.without_progress_s),
            job.worker,
        ]
        for job in jobs
    ]
    columns = ["id", "job", "worker is", "steps", "sign of life (s ago)", "progress (s ago)", "worker"]
    return _table("running", columns, rows)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
