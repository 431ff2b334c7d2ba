"""What tables of energies say of phases: stability windows, Boltzmann selection, free energies compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sse_screen.cli.hull import place_table
from sse_screen.cli.tables import read_table
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.thermodynamics.partition_function import ConfigurationalFreeEnergy

WINDOW_EPILOG = (
    "Example: [bold]sse-screen stability-window energies.csv Li3PS4 --mobile-element Li --charge 1[/bold], "
    "where energies.csv holds formula and energy_eV_per_atom of Li, P, S, Li3PS4 and what competes with it."
)
SELECT_EPILOG = (
    "Example: [bold]sse-screen select-entries orderings.csv --number 50 --basis formula_unit "
    "--temperature-K 800[/bold], the choice of Deng 2025 for training data."
)
COMPARE_EPILOG = (
    "Example: [bold]sse-screen compare-phases tetragonal.csv cubic.csv --atoms-per-cell 192,192 "
    "--temperatures-K 300,900,1500[/bold]; a phase without disorder is a table of one line."
)

TableFile = Annotated[Path, typer.Argument(help="CSV with the columns formula and energy_eV_per_atom.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def stability_window(
    file: TableFile,
    formula: Annotated[str, typer.Argument(help="Formula of the electrolyte; the table must hold it.")],
    mobile_element: Annotated[str, typer.Option(help="Element of the mobile ion.")],
    charge: Annotated[int, typer.Option(help="Charge of the mobile ion, such as 1; never guessed.")],
    as_json: AsJson = False,
) -> None:
    """Potentials between which an electrolyte neither takes up nor loses its mobile ion.

    The grand potential of pymatgen over the table's entries, against the metal.
    """
    from sse_screen.thermodynamics.composition_space import HullEntry
    from sse_screen.thermodynamics.stability_window import stability_window as window_of

    table = read_table(file)
    levels = table.text("level_of_theory") if "level_of_theory" in table.columns else None
    entries = [
        HullEntry(name, energy, level_of_theory=levels[i] if levels else None)
        for i, (name, energy) in enumerate(
            zip(table.text("formula"), table.numbers("energy_eV_per_atom"), strict=True)
        )
    ]
    try:
        window = window_of(entries, formula, mobile_element=mobile_element, charge=charge)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    record = {
        "formula": formula,
        "mobile_element": mobile_element,
        "charge": charge,
        "reduction_V": window.reduction_V,
        "oxidation_V": window.oxidation_V,
        "width_V": window.width_V,
        "reduction_reaction": window.reduction_reaction,
        "oxidation_reaction": window.oxidation_reaction,
        "energy_above_hull_eV_per_atom": window.energy_above_hull_eV_per_atom,
    }
    if window.energy_above_hull_eV_per_atom > 1e-6:
        typer.echo(
            f"warning: {formula} is {1e3 * window.energy_above_hull_eV_per_atom:.0f} meV/atom above hull: "
            "the window is that of what it decomposes into",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        _print([record])


def select_entries(
    file: TableFile,
    number: Annotated[int, typer.Option(help="Entries to select, ground states included.", min=1)],
    basis: Annotated[
        Literal["atom", "formula_unit", "cell"],
        typer.Option(help="What E_hull counts per."),
    ],
    temperature_k: Annotated[
        float, typer.Option("--temperature-K", help="Temperature of the Boltzmann weights.")
    ] = 800.0,
    end_members: Annotated[
        str | None, typer.Option(help="Formulas, comma-separated: a pseudo-binary or -ternary hull.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw entries by exp(-E_hull/kT), each once; the ground state of every composition is always in.

    All columns are kept.
    """
    import numpy as np

    from sse_screen.thermodynamics.boltzmann_selection import boltzmann_selection

    table = read_table(file)
    _, placed, _ = place_table(table, end_members, leave_out_suspicious=True)
    try:
        selection = boltzmann_selection(
            placed,
            basis=basis,
            temperature_K=temperature_k,
            n_selected=number,
            rng=np.random.default_rng(seed),
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    above, ground_states = placed.energies_above_hull(basis), set(selection.ground_states.tolist())
    records = [
        {
            **table.rows[i],
            f"energy_above_hull_eV_per_{basis}": float(above[i]),
            "probability": float(selection.probabilities[i]),
            "ground_state": i in ground_states,
        }
        for i in selection.indices.tolist()
    ]
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    else:
        _print(records)


def compare_phases(
    first: Annotated[Path, typer.Argument(help="Table of the first phase, as for free-energy.")],
    second: Annotated[Path, typer.Argument(help="Table of the second phase, by the same potential.")],
    atoms_per_cell: Annotated[str, typer.Option(help="Atoms in the cells of both phases, such as 192,192.")],
    temperatures: Annotated[
        str, typer.Option("--temperatures-K", help="Temperatures in kelvin, comma-separated.")
    ],
    convention: Annotated[
        Literal["physical", "per_atom"],
        typer.Option(help="physical: energies per cell, degeneracies; per_atom: the published sum."),
    ] = "physical",
    without_vibrations: Annotated[
        bool, typer.Option("--without-vibrations", help="Use energy_eV_per_cell even where F(T) is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Free energy of the second phase above that of the first, over temperatures.

    Both tables are of one composition and one potential; a phase without disorder is one line.
    """
    from sse_screen.cli.free_energy import sums_of_table
    from sse_screen.thermodynamics.partition_function import compare_phases as compared

    atoms = _two_numbers(atoms_per_cell)
    tables = [read_table(first), read_table(second)]
    sums: list[list[ConfigurationalFreeEnergy]] = []
    vibrations: list[list[bool]] = []
    for table, n_atoms in zip(tables, atoms, strict=True):
        found = sums_of_table(
            table,
            temperatures,
            atoms_per_cell=n_atoms,
            convention=convention,
            without_vibrations=without_vibrations,
        )
        sums.append([result for result, _ in found])
        vibrations.append([with_vibrations for _, with_vibrations in found])
    if vibrations[0] != vibrations[1]:
        with_them, without = (first, second) if vibrations[0][0] else (second, first)
        raise InputError(
            f"{without}: no columns free_energy_eV_per_cell_<T>K, which {with_them} has; add them or use "
            "--without-vibrations"
        )
    differences = compared(*sums)
    records = [
        {
            "temperature_K": a.temperature_K,
            "first_free_energy_eV_per_atom": a.free_energy_eV_per_atom,
            "second_free_energy_eV_per_atom": b.free_energy_eV_per_atom,
            "difference_meV_per_atom": 1e3 * float(difference),
            "stable": "first" if difference > 0 else "second",
        }
        for a, b, difference in zip(*sums, differences, strict=True)
    ]
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    else:
        _print(records)


def _two_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--atoms-per-cell {text!r}: give the atoms of both cells, such as 192,96")
    return [int(part) for part in parts]


def _print(records: list[dict[str, Any]]) -> None:
    """Print records as a table."""
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = RichTable()
    for name in records[0]:
        shown.add_column(name.replace("_eV_per_", " / eV/").replace("_", " "), overflow="fold")
    for record in records:
        cells = [
            f"{v:.4f}" if isinstance(v, float) else "-" if v is None else str(v) for v in record.values()
        ]
        shown.add_row(*cells)
    Console().print(shown)
