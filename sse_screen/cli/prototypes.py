"""`sse-screen prototypes`: list the library of crystals, show one, write it as a CIF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.structures.prototypes import Prototype

EPILOG = (
    "Examples: [bold]sse-screen prototypes[/bold] lists all; [bold]sse-screen prototypes lgps[/bold] shows "
    "one; [bold]sse-screen prototypes li3n --write li3n.cif[/bold] writes it."
)


def prototypes(
    name: Annotated[str | None, typer.Argument(help="Show only this prototype, with its sites.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    write: Annotated[Path | None, typer.Option(help="Write the built crystal NAME to this CIF file.")] = None,
) -> None:
    """List the crystals that a campaign can name, each with its source."""
    from sse_screen.structures.prototypes import get_prototype, list_prototypes

    if write is not None:
        if name is None:
            raise InputError(
                "--write: say which prototype to write, as in 'prototypes lgps --write lgps.cif'"
            )
        _write_cif(name, write)
    selected = list_prototypes() if name is None else [get_prototype(name)]
    if as_json:
        rows: Any = [_row(p) for p in selected]
        typer.echo(json.dumps(rows if name is None else rows[0], indent=2, ensure_ascii=False))
    elif name is None:
        _print_table(selected)
    else:
        _print_one(selected[0])


def _row(prototype: Prototype) -> dict[str, Any]:
    return {**prototype.model_dump(mode="json"), "is_ordered": prototype.is_ordered}


def _write_cif(name: str, path: Path) -> None:
    from pymatgen.io.cif import CifWriter

    from sse_screen.structures.prototypes import build_prototype

    text = str(CifWriter(build_prototype(name)))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--write {path}: cannot be written ({error.strerror})") from error
    typer.echo(f"wrote {path}", err=True)


def _print_table(selected: list[Prototype]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), caption="* some sites are partly occupied")
    for column in ("name", "formula", "sites", "group", "ion"):
        table.add_column(column, no_wrap=True, justify="right" if column == "sites" else "left")
    table.add_column("source", overflow="fold")
    roles = ("electrolyte", "control", "competing")
    heading = ""
    for p in sorted(selected, key=lambda p: (roles.index(p.role), p.family, p.name)):
        if heading != (heading := p.family if p.role == "electrolyte" else f"{p.role}: {p.family}"):
            table.add_section()
            table.add_row(f"[bold]{heading}[/bold]")
        sites = f"{p.n_sites}{'' if p.is_ordered else '*'}"
        table.add_row(f" {p.name}", p.formula, sites, _symbol(p), p.mobile_ion or "-", p.doi or p.source)
    console = Console()
    # A file or a pipe has no width; the sources need more than the usual 80 columns.
    (console if console.is_terminal else Console(width=110)).print(table)


def _print_one(prototype: Prototype) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{prototype.name}[/bold]: {prototype.title} ({prototype.family}, {prototype.role})")
    a, b, c, alpha, beta, gamma = prototype.lattice
    group = f"{_symbol(prototype)} ({prototype.space_group_number})"
    console.print(f"{prototype.formula}, {prototype.n_sites} sites, space group {group}")
    console.print(f"a, b, c = {a}, {b}, {c} Å; alpha, beta, gamma = {alpha}, {beta}, {gamma}°")
    console.print(f"source: {prototype.source} {prototype.doi or ''}")
    if prototype.notes:
        console.print(f"notes: {prototype.notes}")
    table = Table("orbit", "species", "multiplicity", "x", "y", "z")
    for site in prototype.sites:
        species = ", ".join(f"{element} {occupancy:g}" for element, occupancy in site.species.items())
        table.add_row(site.label, species, str(site.multiplicity), *(f"{x:.5f}" for x in site.coordinates))
    console.print(table)


def _symbol(prototype: Prototype) -> str:
    import spglib

    types = (spglib.get_spacegroup_type(hall_number) for hall_number in range(1, 531))
    return next(t.international_short for t in types if t and t.number == prototype.space_group_number)
