"""`sse-screen analyze`: transport of any trajectory, and `sse-screen arrhenius`: over temperatures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.dynamics.trajectory import Trajectory
    from sse_screen.transport.analysis import TransportAnalysis

EPILOG = (
    "Examples: [bold]sse-screen analyze XDATCAR --mobile-ion Li --time-step-fs 2 --temperature-K 600[/bold]; "
    "replicas are pooled: [bold]sse-screen analyze run1.traj run2.traj --mobile-ion Na --time-step-fs 1 "
    "--steps-per-frame 10 --json[/bold]; a LAMMPS dump: [bold]sse-screen analyze run.lammpstrj "
    "--mobile-ion Li --time-step-fs 1 --type-map 1=Li,2=P,3=S --html report[/bold]"
)

_TimeStepFs = Annotated[
    float | None, typer.Option(help="Time step of the dynamics, where the file does not say it.")
]
_StepsPerFrame = Annotated[
    int | None, typer.Option(help="Steps between frames, where the file does not say it.")
]
_TemperatureK = Annotated[
    float | None, typer.Option("--temperature-K", help="Temperature, for the conductivity.")
]
_Framework = Annotated[
    str | None, typer.Option(help="Symbols held still, comma-separated; all others if not given.")
]
_Charge = Annotated[int | None, typer.Option(help="Charge number of the ion, if its element has several.")]
_Format = Annotated[
    str | None,
    typer.Option(help="ase, diffusion-analyzer, extxyz, lammps-dump, npz, platform, vasprun, xdatcar."),
]
_Unwrapped = Annotated[
    bool | None,
    typer.Option(help="Positions follow atoms across boundaries, where the format leaves it open."),
]
_Segments = Annotated[bool, typer.Option(help="The files are consecutive segments of one run, not replicas.")]
_SkipPs = Annotated[
    float, typer.Option(help="Equilibration at the start of every file to leave out.", min=0.0)
]
_HopDistanceA = Annotated[
    float | None,
    typer.Option("--hop-distance-A", help="Distance between sites; from the displacements if not given."),
]
_WindowPs = Annotated[
    str | None, typer.Option(help="Fit an ordinary line between these lags, such as 1,13.3.")
]


def analyze(
    files: Annotated[list[Path], typer.Argument(help="Trajectory file(s); several are replicas and pooled.")],
    mobile_ion: Annotated[str, typer.Option(help="Element symbol of the mobile ion.")],
    time_step_fs: _TimeStepFs = None,
    steps_per_frame: _StepsPerFrame = None,
    temperature_k: _TemperatureK = None,
    framework: _Framework = None,
    charge: _Charge = None,
    format: _Format = None,
    type_map: Annotated[str | None, typer.Option(help="Elements of LAMMPS types: 1=Li,2=S.")] = None,
    unwrapped: _Unwrapped = None,
    segments: _Segments = False,
    skip_ps: _SkipPs = 0.0,
    stride: Annotated[int, typer.Option(help="Read every n-th frame only.", min=1)] = 1,
    hop_distance_a: _HopDistanceA = None,
    window_ps: _WindowPs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures into this folder.")] = None,
) -> None:
    """Diffusivity, conductivity and their intervals from trajectories at one temperature.

    A trajectory that does not show diffusion gives an upper limit and the reasons, never a bare number.
    """
    from sse_screen.dynamics.readers import ReadOptions

    options = ReadOptions(
        time_step_fs=time_step_fs,
        steps_per_frame=steps_per_frame,
        stride=stride,
        type_map=_type_map(type_map),
        unwrapped=unwrapped,
        temperature_K=temperature_k,
    )
    analysis = _analysis(
        files,
        lambda file: _read(file, format, options, 0.0 if segments else skip_ps),
        lambda read: [_joined(read, skip_ps)] if segments else read,
        mobile_species=mobile_ion,
        framework_species=_symbols(framework),
        temperature_K=temperature_k,
        charge=charge,
        hop_distance_A=hop_distance_a,
        window_ps=_window(window_ps),
    )
    if html is not None:
        from sse_screen.transport.report import write_report

        page = write_report(analysis, html, ", ".join(file.name for file in files))
        typer.echo(f"wrote {page}", err=True)
    if as_json:
        sys.stdout.write(analysis.model_dump_json(indent=2) + "\n")
    else:
        _print(analysis)


def _joined(read: list[Trajectory], skip_ps: float) -> Trajectory:
    """Join segments of one run, without its equilibration."""
    from sse_screen.dynamics.trajectory import concatenate

    return concatenate(read).after(skip_ps)


def _analysis(
    files: list[Path],
    read: Callable[[Path], Trajectory],
    arrange: Callable[[list[Trajectory]], list[Trajectory]],
    **options: Any,
) -> TransportAnalysis:
    """Read all files and analyse them together, showing how far it is."""
    from rich.console import Console

    from sse_screen.transport.analysis import analyze_transport

    trajectories = []
    with Console(stderr=True).status("") as status:
        for number, file in enumerate(files, start=1):
            status.update(f"reading {file.name} ({number} of {len(files)})")
            trajectories.append(read(file))
        status.update("analysing")
        return analyze_transport(arrange(trajectories), **options)


def _read(file: Path, format: str | None, options: object, skip_ps: float) -> Trajectory:
    """Read one file and leave out its equilibration."""
    from sse_screen.dynamics.readers import ReadOptions, read_trajectory

    assert isinstance(options, ReadOptions)
    return read_trajectory(file, format, options).after(skip_ps)


def _symbols(text: str | None) -> list[str] | None:
    """Return comma-separated symbols, None if none are given."""
    return None if text is None else [symbol.strip() for symbol in text.split(",") if symbol.strip()]


def _type_map(text: str | None) -> dict[int, str]:
    """Return the elements of LAMMPS types from 1=Li,2=S."""
    if text is None:
        return {}
    try:
        pairs = (part.split("=") for part in text.split(","))
        return {int(number): symbol.strip() for number, symbol in pairs}
    except ValueError as error:
        raise InputError(f"--type-map {text}: expected such as 1=Li,2=S") from error


def _window(text: str | None) -> tuple[float, float] | None:
    """Return first and last lag from 1,13.3."""
    if text is None:
        return None
    try:
        first, last = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--window-ps {text}: expected two times in ps, such as 1,13.3") from error
    return first, last


def _print(analysis: TransportAnalysis) -> None:
    """Print the quantities and what the tests found."""
    from rich.console import Console
    from rich.table import Table

    from sse_screen.transport.report import quantity_rows

    console = Console()
    table = Table("quantity", title="Transport")
    for column in ("value", "95 % interval", "unit", "verdict"):
        # numbers stay whole: what is short of room is wrapped in the names
        table.add_column(column, no_wrap=True)
    for name, value, interval, unit, verdict, _ in quantity_rows(analysis):
        table.add_row(name, value, interval, unit, verdict)
    console.print(table)
    told = {gate.message for gate in analysis.tracer.gates}
    for gate in analysis.tracer.gates:
        if gate.message:
            console.print(f"{gate.outcome}: {gate.message}", highlight=False, markup=False)
    others = (analysis.charge_diffusivity, analysis.haven_ratio, analysis.nernst_einstein_conductivity)
    doubtful = [q for q in (*others, analysis.charge_conductivity) if q.verdict in ("refused", "unresolved")]
    for reason in dict.fromkeys(reason for quantity in doubtful for reason in quantity.reasons):
        if reason not in told:
            console.print(f"not resolved: {reason}", highlight=False, markup=False)
