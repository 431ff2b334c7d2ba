"""Commands that submit, run and watch campaigns."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sse_screen.cli.printing import counted
from sse_screen.exceptions import InputError

_WATCH_S = 10.0
CampaignFile = Annotated[Path, typer.Argument(help="Campaign file (YAML); see docs/campaign.md")]
SUBMIT_EPILOG = "Example: sse-screen submit campaign.yaml --dry-run"
LAUNCH_EPILOG = "Examples: sse-screen launch; sse-screen launch --workers 4 --wall-time 86000"
RERUN_EPILOG = "Examples: sse-screen rerun; sse-screen rerun 12 15; sse-screen rerun --kind scientific"
SWEEP_EPILOG = "Example: sse-screen sweep"
SCREEN_EPILOG = "Example: sse-screen screen campaigns/quickstart.yaml --report-folder quickstart_report"
_OUT_OF_TIME = 75
FIREWORKS_EPILOG = "Example: sse-screen fireworks-config fw && rlaunch -l fw/my_launchpad.yaml singleshot"


def submit(
    file: CampaignFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, add nothing")] = False,
) -> None:
    """Check a campaign whole, then add its workflows to the LaunchPad."""
    from rich.console import Console

    from sse_screen.cli.developments import print_development
    from sse_screen.cli.surveys import print_survey
    from sse_screen.database.indexes import ensure_indexes
    from sse_screen.database.stores import connect, launchpad
    from sse_screen.settings import check_free_space, get_settings
    from sse_screen.workflows.campaign import load_campaign
    from sse_screen.workflows.planning import plan_campaign
    from sse_screen.workflows.submission import submit_plan

    console = Console(stderr=True)
    with console.status("checking crystals and settings"):
        campaign = load_campaign(file)
        try:
            plan = plan_campaign(campaign)
        except InputError as error:
            raise InputError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None
    for warning in plan.potential.warnings:
        console.print(f"warning: {warning}", markup=False)
    if plan.survey is not None:
        print_survey(plan.survey.output, console)
    if plan.development is not None:
        print_development(plan.development.estimate, console)
    if dry_run:
        console.print(f"{plan.campaign.name}: {counted(plan.n_jobs, 'job')} would be added; nothing was")
        return
    settings = get_settings()
    check_free_space(settings)
    database = connect(settings)
    ensure_indexes(database)
    done = submit_plan(plan, database, launchpad(settings))
    if done.already_there:
        console.print(f"{done.campaign}: was submitted before ({done.n_jobs} jobs); nothing added")
    else:
        console.print(
            f"{done.campaign}: added {counted(done.n_workflows, 'workflow')} with "
            f"{counted(done.n_jobs, 'job')}"
        )


def launch(
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes, one thread each; one a core by default")
    ] = None,
    wall_time: Annotated[
        float | None,
        typer.Option(
            help="Seconds (more than 30) after which all has stopped at checkpoints; exit status 75"
        ),
    ] = None,
    keep_watching: Annotated[
        bool, typer.Option("--keep-watching", help="Wait for further jobs instead of ending (services)")
    ] = False,
) -> None:
    """Run the submitted jobs until none is ready or running; Ctrl-C stops in order.

    Exit status 1 when jobs failed while it ran; failures from before do not count.
    """
    from sse_screen.cli.progress import JobsProgress
    from sse_screen.database.stores import connect, launchpad
    from sse_screen.settings import check_free_space, get_settings
    from sse_screen.workflows.launching import launch_workers
    from sse_screen.workflows.monitoring import unfinished
    from sse_screen.workflows.outbox import sweep as sweep_outbox

    settings = get_settings()
    if wall_time is not None:
        settings = settings.model_copy(update={"wall_time_s": wall_time})
    check_free_space(settings)
    pad = launchpad(settings)
    # a background shell ignores SIGINT, and SIGTERM would leave the workers without their parent
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with JobsProgress(settings) as progress:
            failed = launch_workers(settings, pad, workers or settings.workers, progress.update)
            while keep_watching:
                time.sleep(_WATCH_S)
                failed = launch_workers(settings, pad, workers or settings.workers, progress.update)
    except KeyboardInterrupt:
        typer.echo("stopped; finished jobs are kept, the others go on at `sse-screen launch`", err=True)
        raise typer.Exit(130) from None
    assert settings.work_directory is not None  # the settings fill it in
    sweep_outbox(connect(settings), settings.work_directory)
    if unfinished(pad):
        typer.echo("the time is over; the jobs go on at the next `sse-screen launch`", err=True)
        raise typer.Exit(_OUT_OF_TIME)
    if failed:
        typer.echo(f"{counted(failed, 'job')} failed: `sse-screen status` gives the reasons", err=True)
        raise typer.Exit(1)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def rerun(
    fw_ids: Annotated[
        list[int] | None,
        typer.Argument(help="Job ids (sse-screen status); without any, all infrastructure failures"),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Which failures, without job ids: infrastructure (machine, database; the default), "
            "scientific or all"
        ),
    ] = None,
) -> None:
    """Make failed jobs ready again; their folders are kept, so finished segments are not repeated."""
    from sse_screen.database.stores import launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import failures, rerun_jobs

    if kind not in (None, "infrastructure", "scientific", "all"):
        raise InputError(f"--kind {kind}: must be infrastructure, scientific or all")
    if fw_ids and kind is not None:
        raise InputError("job ids and --kind exclude each other: give one of them")
    pad = launchpad(get_settings())
    failed = failures(pad)
    chosen = fw_ids or [f.fw_id for f in failed if kind == "all" or f.kind == (kind or "infrastructure")]
    rerun_jobs(pad, chosen)
    typer.echo(f"{len(chosen)} jobs are ready again", err=True)
    n_scientific = sum(f.kind == "scientific" for f in failed)
    if kind is None and not fw_ids and n_scientific:
        typer.echo(
            f"{n_scientific} scientific failures are left, as trying again gives the same; "
            "`sse-screen rerun --kind scientific` does it all the same",
            err=True,
        )


def sweep() -> None:
    """Remove folders of calculations whose results are in the database; nothing else is touched."""
    from sse_screen.database.stores import connect
    from sse_screen.settings import get_settings
    from sse_screen.workflows.outbox import sweep as sweep_outbox

    settings = get_settings()
    assert settings.work_directory is not None  # the settings fill it in
    swept = sweep_outbox(connect(settings), settings.work_directory)
    typer.echo(
        f"{swept.removed} folders removed; {swept.not_stored} finished but not stored yet "
        f"(sse-screen rerun uploads them), {swept.unfinished} unfinished"
    )


def fireworks_config(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; made when missing")],
) -> None:
    """Write my_launchpad, my_fworker, a SLURM my_qadapter and jobflow.yaml for plain FireWorks."""
    from sse_screen.settings import get_settings
    from sse_screen.workflows.fireworks_files import write_fireworks_files

    for path in write_fireworks_files(get_settings(), folder):
        typer.echo(str(path))


def screen(
    file: CampaignFile, report_folder: Annotated[Path | None, typer.Option(help="Report folder")] = None
) -> None:
    """Do it all: start the database, submit, run, build, print the ranking, write the report."""
    from sse_screen.cli.build import build
    from sse_screen.cli.report import report
    from sse_screen.database.embedded import EmbeddedServer
    from sse_screen.database.stores import launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.campaign import load_campaign
    from sse_screen.workflows.monitoring import failures

    campaign = load_campaign(file)
    settings = get_settings()
    if settings.database_uri is None:
        EmbeddedServer.from_settings(settings).start()
    submit(file)
    failed = _exit_code(launch)
    if not failed and failures(launchpad(settings), campaign.name):
        typer.echo("jobs of it failed before: `sse-screen status` gives the reasons", err=True)
        failed = 1
    failed = _exit_code(build) or failed
    report(campaign=campaign.name, folder=report_folder or Path(f"{campaign.name}_report"))
    if failed:
        raise typer.Exit(failed)


def _exit_code(command: Any) -> int:
    try:
        command()
    except typer.Exit as stopped:
        if stopped.exit_code == 130:
            raise
        return int(stopped.exit_code)
    return 0
