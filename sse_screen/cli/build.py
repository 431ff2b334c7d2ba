"""`sse-screen build`: bring the derived collections up to date."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from sse_screen.builders.base import BuildReport, DerivedBuilder

EPILOG = (
    "Examples: [bold]sse-screen build[/bold] builds all; [bold]sse-screen build diffusivity "
    "activation-energy --processes 2[/bold] builds two in two processes."
)


def build(
    collections: Annotated[
        list[str] | None, typer.Argument(help="Collections to build; all when none is named.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes that build documents.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Build what is missing or out of date; exit status 1 when any document could not be built."""
    from rich.console import Console
    from rich.progress import Progress

    from sse_screen.builders.pipeline import select_builders
    from sse_screen.builders.sources import shared_reads

    console = Console(stderr=True)
    selected = select_builders(collections)
    rows = []
    with Progress(console=console, transient=True) as progress, shared_reads():
        for builder in selected:
            start = time.monotonic()
            report = _run(builder(), processes, progress)
            rows.append(_row(report, time.monotonic() - start))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(rows)
    for row in rows:
        for document_id, error in row["failures"].items():
            typer.echo(f"{row['collection']} {document_id}: {error}", err=True)
    if any(row["failed"] for row in rows):
        typer.echo("tracebacks are in the collections <name>_failures; good documents were kept", err=True)
        raise typer.Exit(1)


def _run(builder: DerivedBuilder, processes: int, progress: Progress) -> BuildReport:
    from sse_screen.builders.run import run_builder

    task = progress.add_task(builder.collection, total=None)
    report = run_builder(
        builder, processes, lambda done, total: progress.update(task, completed=done, total=total)
    )
    progress.remove_task(task)
    return report


def _row(report: BuildReport, seconds: float) -> dict[str, Any]:
    return {
        "collection": report.collection,
        "groups": report.groups,
        "built": report.built,
        "unchanged": report.groups - report.built - report.failed,
        "failed": report.failed,
        "deprecated": report.deprecated,
        "seconds": round(seconds, 3),
        "failures": report.failures,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    names = ("collection", "built", "unchanged", "failed", "deprecated")
    for name in names:
        table.add_column(name, justify="left" if name == "collection" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    Console().print(table)
