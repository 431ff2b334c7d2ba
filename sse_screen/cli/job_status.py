"""Commands that tell how the jobs are, and put right what killed and hung workers left."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sse_screen.workflows.monitoring import Failure
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
    from sse_screen.workflows.monitoring import check_campaign, counts_by_state, failures
    from sse_screen.workflows.reaping import running_jobs
    from sse_screen.workflows.reuse import n_reused
    from sse_screen.workflows.survey_status import survey_status

    settings = get_settings()
    pad = launchpad(settings)
    if campaign is not None:
        check_campaign(pad, campaign)
    counts, failed = counts_by_state(pad, campaign), failures(pad, campaign)
    running = running_jobs(pad, campaign=campaign)
    surveys, reused = survey_status(connect(settings), campaign), n_reused(pad, campaign)
    if as_json:
        document = {
            "jobs": counts,
            "reused": reused,
            "running": [asdict(job) for job in running],
            "failed": _by_kind(failed),
            "failures": [asdict(f) for f in failed],
            "surveys": surveys,
        }
        typer.echo(json.dumps(document, indent=1))
    else:
        _print_status(Console(), counts, reused, running, surveys, failed)
    if failed:
        raise typer.Exit(1)


def _by_kind(failed: list[Failure]) -> dict[str, int]:
    return {kind: sum(f.kind == kind for f in failed) for kind in ("scientific", "infrastructure")}


def _print_status(
    console: Console,
    counts: dict[str, int],
    reused: int,
    running: list[RunningJob],
    surveys: dict[str, list[dict[str, Any]]],
    failed: list[Failure],
) -> None:
    from sse_screen.cli.printing import print_rows

    print_rows(console, "jobs", ["state", "number"], [[s, str(n)] for s, n in counts.items()])
    if reused:
        console.print(f"results taken over from earlier jobs: {reused}")
    if running:
        _print_running(console, running)
    for name, tiers in surveys.items():
        # a tier a column: there are many figures and few tiers
        figures = [[key.replace("_", " "), *(str(tier[key]) for tier in tiers)] for key in tiers[0]]
        print_rows(console, f"survey {name}", figures[0], figures[1:])
    if failed:
        title = "failed: " + ", ".join(f"{n} {kind}" for kind, n in _by_kind(failed).items())
        _print_failures(console, title, failed)


def _print_failures(console: Console, title: str, failed: list[Failure]) -> None:
    from sse_screen.cli.printing import print_rows

    rows = [[str(f.fw_id), f.name, f.kind, f.reason] for f in failed]
    print_rows(console, title, ["id", "job", "kind", "reason"], rows, ["reason"])


def reap(
    hung_after: Annotated[
        float, typer.Option(min=1, help="Seconds without progress after which a worker counts as hung")
    ] = 1800.0,
    slow_after: Annotated[
        float, typer.Option(min=1, help="Seconds without progress after which it is called slow")
    ] = 300.0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Judge the running jobs, list the failures to be tried again, change nothing"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell dead, hung and slow workers apart; make the jobs of dead and hung ones ready again.

    Infrastructure failures (disk, database) are tried again too, every job at most five times. Workflow locks
    that no living worker can hold are opened. `sse-screen launch` does all this while it runs.
    """
    import json

    from rich.console import Console

    from sse_screen.cli.printing import print_rows
    from sse_screen.database.stores import launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import failures_to_rerun, rerun_infrastructure_failures
    from sse_screen.workflows.reaping import Patience, reap_twice, running_jobs

    pad = launchpad(get_settings())
    patience = Patience(slow_after, hung_after)
    jobs = running_jobs(pad, patience)
    to_rerun = failures_to_rerun(pad) if dry_run else []
    done = []
    if not dry_run:
        with Console(stderr=True).status("looking at workers, locks and half-written states"):
            done = [asdict(found) for found in reap_twice(pad, patience)]
        again = "made ready again: it failed for reasons of the machine"
        done += [{"fw_id": fw_id, "done": again} for fw_id in rerun_infrastructure_failures(pad)]
    if as_json:
        document = {
            "running": [asdict(job) for job in jobs],
            "to_rerun": [asdict(failure) for failure in to_rerun],
            "done": done,
        }
        typer.echo(json.dumps(document, indent=1))
        return
    console = Console()
    _print_running(console, jobs)
    if to_rerun:
        _print_failures(console, "would be tried again", to_rerun)
    if done:
        rows = [[str(found["fw_id"]), str(found["done"])] for found in done]
        print_rows(console, "put right", ["id", "what"], rows, ["what"])


def _print_running(console: Console, jobs: list[RunningJob]) -> None:
    from sse_screen.cli.printing import print_rows

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
    print_rows(console, "running", columns, rows)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
