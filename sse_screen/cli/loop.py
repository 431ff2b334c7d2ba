"""Commands of self-consistent training loops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sse_screen.documents.base import Quantity
    from sse_screen.documents.self_consistent import LoopState

app = typer.Typer(
    help="Train a potential by a teacher until its diffusivity is stationary.", no_args_is_help=True
)
LoopPath = Annotated[Path, typer.Argument(help="File of the loop (YAML); see docs/self_consistent.md")]


@app.command(epilog="Example: sse-screen loop submit campaigns/li2o_loop.yaml && sse-screen launch")
def submit(
    file: LoopPath,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, add nothing")] = False,
) -> None:
    """Check a loop and add it to the LaunchPad; ``sse-screen launch`` runs it."""
    from rich.console import Console

    from sse_screen.database.stores import connect, launchpad
    from sse_screen.settings import check_free_space, get_settings
    from sse_screen.workflows.loop_file import check_loop, load_loop, submit_loop

    console = Console(stderr=True)
    loop = load_loop(file)
    for warning in check_loop(loop)[1].warnings:
        console.print(f"warning: {warning}", markup=False)
    if dry_run:
        cell, teacher = check_loop(loop)
        protocol = loop.protocol
        most = protocol.maximum_loops * len(protocol.temperatures_K) * protocol.frames_per_step
        console.print(
            f"{loop.name}: {len(cell)} atoms, at most {protocol.n_initial + most} labels by {teacher.name}; "
            "nothing was added"
        )
        return
    settings = get_settings()
    check_free_space(settings)
    added = submit_loop(loop, connect(settings), launchpad(settings))
    console.print(f"{loop.name}: added" if added else f"{loop.name}: was submitted before; nothing added")


@app.command(epilog="Examples: sse-screen loop status li2o-loop; sse-screen loop status li2o-loop --json")
def status(
    name: Annotated[str, typer.Argument(help="Name of the loop")],
    json: Annotated[bool, typer.Option("--json", help="The whole state as JSON")] = False,
) -> None:
    """Show how far a loop has come: labels, errors, diffusivities."""
    from rich.console import Console

    from sse_screen.database.stores import connect
    from sse_screen.settings import get_settings
    from sse_screen.workflows.loop_file import latest_state

    state = latest_state(connect(get_settings()), name)
    if json:
        typer.echo(state.model_dump_json())
        return
    _print_state(state, Console())


def _print_state(state: LoopState, console: Console) -> None:
    _print_steps(state, console)
    _print_diffusivities(state, console)
    console.print(f"{state.name}: {state.verdict.replace('_', ' ')}, {state.n_labels} labels")
    if state.teacher_verdict is not None:
        console.print(f"{state.name}: {_TEACHER[state.teacher_verdict]}")


_TEACHER = {
    "agrees": "the student diffuses like its teacher, within their joint 95 % intervals at every temperature",
    "disagrees": "the student does not diffuse like its teacher: at one temperature or more they differ by "
    "more than their joint 95 % interval",
    "unresolved": "whether the student diffuses like its teacher is not resolved: not all runs are "
    "diffusive; make them longer (diffusion.production_ps)",
}


def _print_steps(state: LoopState, console: Console) -> None:
    from sse_screen.cli.printing import print_rows

    columns = ["loop", "K", "new labels", "force error before (eV/Å)", "committee (eV/Å)", "broke"]
    rows = []
    for step in state.history:
        numbers = (step.temperature_K, step.force_error_eV_per_A, step.largest_deviation_eV_per_A)
        kelvin, error, deviation = ("–" if number is None else f"{number:.4g}" for number in numbers)
        rows.append([str(step.loop), kelvin, str(step.n_new_labels), error, deviation, step.broke or ""])
    print_rows(console, "steps", columns, rows, sentences=columns[2:])


def _print_diffusivities(state: LoopState, console: Console) -> None:
    from sse_screen.cli.printing import print_rows

    if not state.diffusivities:
        return
    truths = {found.temperature_K: found.diffusivity for found in state.teacher_diffusivities}
    columns = ["loop", "K", "D (cm²/s)", "95 % interval", "verdict"]
    columns += ["teacher's D (cm²/s)", "teacher's interval", "teacher's verdict"] if truths else []
    rows = []
    for found in state.diffusivities:
        cells = [str(found.loop), f"{found.temperature_K:g}", *_cells(found.diffusivity)]
        rows.append([*cells, *(_cells(truths[found.temperature_K]) if truths else [])])
    print_rows(console, "diffusivities", columns, rows)


def _cells(quantity: Quantity) -> list[str]:
    value, lower, upper = quantity.value, quantity.lower, quantity.upper
    interval = "–" if lower is None or upper is None else f"{lower:.2e} … {upper:.2e}"
    return ["–" if value is None else f"{value:.2e}", interval, quantity.verdict]
