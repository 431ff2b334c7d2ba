"""`sse-screen filter`: which crystals of a survey are worth a calculation, and why the others are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.structures.filters import FilterReport, FilterSettings, Rejection

EPILOG = (
    "Examples: [bold]sse-screen filter my_cifs/ --exclude Ge --exclude Tl --maximum-atoms 200[/bold]; "
    "[bold]sse-screen filter survey.csv --maximum-energy-above-hull 0.05 --json[/bold]."
)


def filter_survey(
    survey: Annotated[
        Path, typer.Argument(help="Folder of crystals, or CSV table with a column 'file' or 'prototype'.")
    ],
    mobile_ion: Annotated[str, typer.Option(help="Element that is to move.")] = "Li",
    minimum_mobile_fraction: Annotated[float, typer.Option(help="Least atomic fraction of it.")] = 0.05,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Element no crystal may have; repeatable.")
    ] = None,
    maximum_atoms: Annotated[int | None, typer.Option(help="Most atoms in the cell.")] = None,
    maximum_energy_above_hull: Annotated[
        float | None, typer.Option(help="In eV/atom, tested where the table knows it.")
    ] = None,
    minimum_band_gap: Annotated[
        float | None, typer.Option(help="In eV, tested where the table knows it.")
    ] = None,
    allow_disorder: Annotated[bool, typer.Option(help="Let partly occupied sites pass.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Filter the crystals of a survey; counts and reasons are shown, nothing is submitted."""
    from sse_screen.structures.filters import apply_filters
    from sse_screen.structures.surveys import read_candidates

    settings = _settings(
        mobile_ion=mobile_ion,
        minimum_mobile_fraction=minimum_mobile_fraction,
        excluded_elements=tuple(exclude or ()),
        maximum_atoms=maximum_atoms,
        maximum_energy_above_hull_eV_per_atom=maximum_energy_above_hull,
        minimum_band_gap_eV=minimum_band_gap,
        allow_disorder=allow_disorder,
    )
    candidates, unreadable = read_candidates(survey)
    _, report = apply_filters(candidates, settings)
    if as_json:
        import json

        document = report.model_dump(mode="json")
        document["unreadable"] = [rejection.model_dump(mode="json") for rejection in unreadable]
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print_report(report, unreadable)


def _settings(**values: object) -> FilterSettings:
    from pydantic import ValidationError

    from sse_screen.structures.filters import FilterSettings

    try:
        return FilterSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{field} = {first['input']!r}: {first['msg']}") from error


def _print_report(report: FilterReport, unreadable: list[Rejection]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    counts = Table("filter", "tested", "refused", "not known")
    counts.add_row("readable", str(report.counts[0].tested + len(unreadable)), str(len(unreadable)), "0")
    for count in report.counts:
        counts.add_row(count.filter, str(count.tested), str(count.refused), str(count.not_known))
    console.print(counts)
    for rejection in (*unreadable, *report.rejections):
        console.print(f"refused {rejection.name} ({rejection.filter}): {rejection.reason}", markup=False)
    console.print(f"kept {len(report.kept)}: {', '.join(report.kept)}", markup=False)
