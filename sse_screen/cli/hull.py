"""`sse-screen hull`: distances to the convex hull for any table of formulas and energies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sse_screen.cli.tables import Table, read_table
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.thermodynamics.composition_space import CompositionSpace, PlacedEntries

EPILOG = (
    "Examples: [bold]sse-screen hull energies.csv[/bold] prints a table; [bold]sse-screen hull energies.csv "
    "--json[/bold] a JSON list; [bold]sse-screen hull energies.csv --end-members Li2S,P2S5 --basis "
    "formula_unit --plot hull.png[/bold] makes a pseudo-binary hull and draws it."
)


def hull(
    file: Annotated[Path, typer.Argument(help="CSV with the columns formula and energy_eV_per_atom.")],
    end_members: Annotated[
        str | None, typer.Option(help="Formulas, comma-separated: a pseudo-binary or -ternary hull.")
    ] = None,
    basis: Annotated[
        Literal["atom", "formula_unit", "cell"],
        typer.Option(help="Add the distance per formula unit or per cell (the formula as written)."),
    ] = "atom",
    leave_out_suspicious: Annotated[
        bool, typer.Option(help="Build the hull without entries far below everything else.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw a binary or ternary hull into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Add every entry's energy above the convex hull to a table of formulas and energies.

    All columns are kept. An optional column level_of_theory must hold one value: levels are never mixed.
    """
    from sse_screen.thermodynamics.composition_space import missing_references

    table = read_table(file)
    space, placed, suspects = place_table(table, end_members, leave_out_suspicious)
    rows = _rows(table, placed, suspects, basis)
    for index, reason in suspects.items():
        what = "left out of the hull" if leave_out_suspicious else "it shapes the hull"
        typer.echo(f"warning: line {index + 2}, {table.rows[index]['formula']}: {reason} ({what})", err=True)
    if missing := missing_references(space):
        typer.echo(
            f"warning: no entry for {', '.join(missing)}: a phase that would decompose into it seems stable; "
            "add it to the table",
            err=True,
        )
    if plot is not None:
        _draw(space, placed, table.text("formula"), plot)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_rows(rows)


def place_table(
    table: Table, end_members: str | None, leave_out_suspicious: bool
) -> tuple[CompositionSpace, PlacedEntries, dict[int, str]]:
    """Build the hull of a table; every refusal names the file.

    Parameters
    ----------
    table : Table
        With the columns formula and energy_eV_per_atom.
    end_members : str or None
        Formulas, comma-separated; a hull over elements otherwise.
    leave_out_suspicious : bool
        Build it without entries far below everything else.

    Returns
    -------
    tuple
        The space, the entries on the hull, and the reasons of suspicion by row.

    Raises
    ------
    InputError
        As the hull does, and for mixed levels of theory.
    """
    import numpy as np

    from sse_screen.thermodynamics.composition_space import (
        elemental_space,
        end_member_space,
        place_on_hull,
        single_level_of_theory,
    )
    from sse_screen.thermodynamics.suspicious_entries import suspicious_entries

    formulas, energies = table.text("formula"), np.array(table.numbers("energy_eV_per_atom"))
    try:
        if "level_of_theory" in table.columns:
            single_level_of_theory(table.text("level_of_theory"))
        if end_members is None:
            space = elemental_space(formulas)
        else:
            space = end_member_space(formulas, [name.strip() for name in end_members.split(",")])
        suspects = suspicious_entries(space, energies)
        left_out = np.isin(np.arange(len(formulas)), list(suspects)) if leave_out_suspicious else None
        return space, place_on_hull(space, energies, left_out), suspects
    except InputError as error:
        if str(error).startswith(str(table.path)):
            raise
        raise InputError(f"{table.path}: {error}") from error


def _rows(
    table: Table,
    placed: PlacedEntries,
    suspects: dict[int, str],
    basis: Literal["atom", "formula_unit", "cell"],
) -> list[dict[str, Any]]:
    """Add the results to the table's own columns."""
    import numpy as np

    above = placed.energies_above_hull_eV_per_atom
    corners = set(placed.hull.vertices.tolist())
    other = placed.energies_above_hull(basis)
    energies = table.numbers("energy_eV_per_atom")
    rows: list[dict[str, Any]] = []
    for i, row in enumerate(table.rows):
        formation = float(placed.formation_energies_eV_per_atom[i])
        added: dict[str, Any] = {
            "energy_eV_per_atom": energies[i],
            "formation_energy_eV_per_atom": None if np.isnan(formation) else formation,
            "energy_above_hull_eV_per_atom": float(above[i]),
        }
        if basis != "atom":
            added[f"energy_above_hull_eV_per_{basis}"] = float(other[i])
        added |= {"stable": i in corners, "suspicious": suspects.get(i)}
        rows.append({**row, **added})
    return rows


def _draw(space: CompositionSpace, placed: PlacedEntries, labels: list[str], path: Path) -> None:
    """Draw a hull of two or three components."""
    from sse_screen.thermodynamics.figures import binary_hull_figure, ternary_hull_figure

    drawers = {2: binary_hull_figure, 3: ternary_hull_figure}
    if len(space.components) not in drawers:
        raise InputError(
            f"--plot: a hull of {len(space.components)} components cannot be drawn; use "
            "--end-members with two or three"
        )
    try:
        drawers[len(space.components)](placed, labels).savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InputError(f"--plot {path}: cannot be written ({error})") from error


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table, most stable first within a composition."""
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = RichTable()
    names = [name for name in rows[0] if name != "suspicious"]
    for name in names:
        shown.add_column(name.replace("_eV_per_", " / eV/").replace("_", " "), overflow="fold")
    for row in rows:
        cells = [f"{row[name]:.4f}" if isinstance(row[name], float) else str(row[name]) for name in names]
        shown.add_row(*("-" if cell == "None" else cell for cell in cells))
    Console().print(shown)
