"""`sse-screen jump-barriers`: barriers of jumps from site analyses at several temperatures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.documents.jump_barrier import JumpBarrier, JumpBarriers
    from sse_screen.documents.site_network import SiteNetwork

EPILOG = (
    "Example: [bold]sse-screen jump-barriers 500K.json 600K.json 700K.json --plot rates.png[/bold] takes "
    "what [bold]sse-screen sites --json[/bold] printed at each temperature, of one crystal and with the same "
    "--structure"
)


def jump_barriers(
    files: Annotated[list[Path], typer.Argument(help="JSON of sites, one a temperature or more.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the rates into this PNG or SVG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Barrier and attempt frequency of every kind of jump, with their intervals.

    The counts themselves are fitted: a temperature without a single jump counts too and makes no infinity.
    """
    from sse_screen.documents.jump_barrier import JumpBarriers, shows_jumps

    networks = [_network(file) for file in files]
    for file, network in zip(files, networks, strict=True):
        if not shows_jumps(network):
            why = f"{network.verdict} ({'; '.join(network.reasons)})"
            typer.echo(f"warning: {file}: {why}, left out", err=True)
    temperatures = {network.temperature_K for network in networks if shows_jumps(network)}
    if len(temperatures) < 2:
        known = f" ({min(temperatures):g} K)" if temperatures else ""
        raise InputError(
            f"{', '.join(str(file) for file in files)}: sites at {len(temperatures)} temperature(s){known}; "
            "a barrier needs two or more: run `sse-screen sites --json` on runs at other temperatures"
        )
    document = JumpBarriers.of(networks)
    if plot is not None:
        _draw(document, plot)
    if as_json:
        sys.stdout.write(document.model_dump_json(indent=2) + "\n")
    else:
        _print(document)


def _network(file: Path) -> SiteNetwork:
    """Read what `sse-screen sites --json` printed."""
    from pydantic import ValidationError

    from sse_screen.documents.site_network import SiteNetwork

    try:
        return SiteNetwork.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise InputError(f"{file}: not what `sse-screen sites --json` prints ({reason})") from error


def _draw(document: JumpBarriers, file: Path) -> None:
    """Write the figure."""
    from sse_screen.transport.barrier_figures import jump_rates_figure
    from sse_screen.transport.figures import save_image

    figure = jump_rates_figure(document)
    if figure is None:
        raise InputError(f"--plot {file}: there is nothing to draw, no jump was seen at any temperature")
    save_image(figure, file, "--plot")


def _print(document: JumpBarriers) -> None:
    """Print barriers and rates as tables."""
    from rich.console import Console

    from sse_screen.cli.printing import print_rows, quantity_cells

    console = Console()
    found: list[tuple[str, int, JumpBarrier | JumpBarriers]] = [
        (f"{kind.origin} → {kind.destination}", kind.count, kind) for kind in document.kinds
    ]
    if len(found) != 1:
        found.append(("all together", document.n_jumps, document))
    rows = [
        [name, str(count), *quantity_cells(fit.barrier), *quantity_cells(fit.attempt_frequency)]
        for name, count, fit in found
    ]
    columns = ["jump", "count", "barrier\n(eV)", "95 % interval", "attempt\n(THz)", "95 % interval"]
    print_rows(console, f"Jump barriers of {document.mobile_ion} in {document.formula}", columns, rows)
    rows = [
        [
            name if number == 0 else "",
            f"{point.temperature_K:g}",
            str(point.count),
            *quantity_cells(point.rate),
        ]
        for name, kind in zip([name for name, *_ in found], document.kinds, strict=False)
        for number, point in enumerate(kind.rates)
    ]
    if rows:
        columns = ["jump", "T (K)", "count", "rate (1/ps)", "95 % interval"]
        print_rows(console, "Rates", columns, rows)
    for name, _, fit in found:
        for reason in fit.barrier.reasons:
            console.print(f"{name}: {fit.barrier.verdict}: {reason}", highlight=False, markup=False)
    for warning in document.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False)
