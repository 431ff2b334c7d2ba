"""`sse-screen arrhenius`: activation energy from analyses or a table of diffusivities."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.transport.arrhenius import ArrheniusFit, ArrheniusPoint

EPILOG = (
    "Examples: [bold]sse-screen arrhenius 600K.json 700K.json 800K.json --at 300[/bold] takes what "
    "[bold]sse-screen analyze --json[/bold] printed; [bold]sse-screen arrhenius table.csv --json[/bold] "
    "takes columns temperature_K, diffusivity_cm2_per_s and, where known, log_error and upper_limit (0 or 1)."
)

_NO_ANALYSIS = "not what `sse-screen analyze --json` prints"
# fields that tell what an analysis or a stored diffusivity is of, and what it is when they differ
_SYSTEM = {
    "mobile_species": "ions",
    "mobile_ion": "ions",
    "formula": "crystals",
    "framework_species": "frameworks",
    "potential_sha256": "potentials",
}


def arrhenius(
    files: Annotated[list[Path], typer.Argument(help="JSON of analyses (one a temperature), or CSV tables.")],
    at: Annotated[float, typer.Option(help="Temperature (K) to which the line is continued.")] = 300.0,
    transition_k: Annotated[
        list[float] | None, typer.Option("--transition-K", help="Known phase transition; may be repeated.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the line into this PNG or SVG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Activation energy with its interval, and the diffusivity at another temperature if that can be told."""
    from sse_screen.transport.arrhenius import fit_arrhenius

    points = _distinct_points(files)
    if not points:
        raise InputError(f"{', '.join(str(file) for file in files)}: no diffusivity or upper limit in them")
    fit = fit_arrhenius(points, known_transitions_K=transition_k or [])
    if plot is not None:
        from sse_screen.transport.figures import arrhenius_figure, save_image

        save_image(arrhenius_figure(fit, at), plot, "--plot")
    if as_json:
        # pydantic's own JSON has null where json would write Infinity
        content = json.loads(fit.model_dump_json()) | {
            "extrapolation": {"temperature_K": at, **json.loads(fit.diffusivity_at(at).model_dump_json())}
        }
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
    else:
        _print(fit, at)


def _distinct_points(files: list[Path]) -> list[ArrheniusPoint]:
    """Return the points of all files; a copy is no replica."""
    first: dict[tuple[float, float, float | None], Path] = {}
    points = []
    _of_one_system(files)
    for file in files:
        for point in _points(file):
            key = (point.temperature_K, point.diffusivity_cm2_per_s, point.log_error)
            if key in first:
                raise InputError(
                    f"{file}: its point at {point.temperature_K:g} K is that of {first[key]}: "
                    "give each run once"
                )
            first[key] = file
            points.append(point)
    return points


def _points(file: Path) -> list[ArrheniusPoint]:
    """Return the points of a JSON analysis or a CSV table."""
    return _table_points(file) if file.suffix.lower() == ".csv" else _analysis_points(file)


def _of_one_system(files: list[Path]) -> None:
    """Refuse analyses of different ions or crystals, as far as the files say what they are of."""
    first: dict[str, tuple[Path, Any]] = {}
    for file in files:
        if file.suffix.lower() == ".csv":
            continue
        content = _json(file)
        for field, what in _SYSTEM.items():
            if field not in content:
                continue
            other, value = first.setdefault(field, (file, content[field]))
            if value != content[field]:
                raise InputError(
                    f"{other} and {file} are of different {what}: {_listed(value)} and "
                    f"{_listed(content[field])} ({field}); fit each by itself"
                )


def _listed(value: Any) -> str:
    """Return a symbol or a list of them as text."""
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _json(file: Path) -> dict[str, Any]:
    """Return a JSON object."""
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{file}: {_NO_ANALYSIS} ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: {_NO_ANALYSIS} (a {type(content).__name__}, not an object)")
    return content


def _analysis_points(file: Path) -> list[ArrheniusPoint]:
    """Return the point of one analysis; a refused one gives none."""
    from pydantic import ValidationError

    from sse_screen.documents.base import Quantity
    from sse_screen.transport.arrhenius import ArrheniusPoint

    content = _json(file)
    try:
        temperature = content["temperature_K"]
        quantity = Quantity.model_validate(content["tracer_diffusivity"])
    except (KeyError, ValidationError) as error:
        raise InputError(f"{file}: {_NO_ANALYSIS} ({error})") from error
    if temperature is None:
        raise InputError(f"{file}: temperature_K is null; run analyze with --temperature-K")
    point = ArrheniusPoint.from_quantity(float(temperature), quantity)
    if point is None:
        typer.echo(f"warning: {file}: {quantity.verdict}, left out", err=True)
    return [] if point is None else [point]


def _table_points(file: Path) -> list[ArrheniusPoint]:
    """Return the points of a CSV table."""
    from pydantic import ValidationError

    from sse_screen.cli.tables import read_table
    from sse_screen.transport.arrhenius import ArrheniusPoint

    table = read_table(file)
    columns = {name: table.numbers(name) for name in ("temperature_K", "diffusivity_cm2_per_s")}
    for name in ("log_error", "upper_limit"):
        if name in table.columns:
            columns[name] = table.numbers(name)
    points = []
    for line, values in enumerate(zip(*columns.values(), strict=True), start=2):
        try:
            points.append(ArrheniusPoint.model_validate(dict(zip(columns, values, strict=True))))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{file}, line {line}, {first['loc'][0]}: {first['msg']}") from error
    return points


def _print(fit: ArrheniusFit, at: float) -> None:
    """Print the fit as a table."""
    from rich.console import Console
    from rich.table import Table

    from sse_screen.reporting.ranking import too_wide

    console = Console()
    table = Table("quantity", "value", "95 % interval", "unit", "verdict", title="Arrhenius")
    rows = [
        ("activation energy", fit.activation_energy),
        ("prefactor", fit.prefactor),
        (f"diffusivity at {at:g} K", fit.diffusivity_at(at)),
    ]
    for name, found in rows:
        value = "-" if found.value is None else f"{found.value:.3g}"
        ends = "-" if found.upper is None else f"{found.lower:.3g} to {found.upper:.3g}"
        if (wide := too_wide(found)) is not None:
            ends = f"- ({wide})"
        table.add_row(name, value, ends, found.unit, found.verdict)
    console.print(table)
    for name, found in rows:
        for reason in found.reasons:
            console.print(f"{name}: {reason}", highlight=False, markup=False)
