"""`sse-screen free-energy`: configurational free energy for any table of energies and degeneracies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sse_screen.cli.tables import Table, read_table
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.thermodynamics.partition_function import ConfigurationalFreeEnergy

EPILOG = (
    "Examples: [bold]sse-screen free-energy orderings.csv --atoms-per-cell 192 --temperatures-K 300,1500"
    "[/bold]; with [bold]--convention per_atom[/bold] the published sum, only to compare; with "
    "[bold]--total-orderings 6344640 --json[/bold] for a sample of that many."
)

_COLUMN = re.compile(r"(free_energy_eV_per_cell|entropy_eV_per_K_per_cell)_(\d+(?:\.\d+)?)K")


def free_energy(
    file: Annotated[Path, typer.Argument(help="CSV with the columns energy_eV_per_cell and degeneracy.")],
    atoms_per_cell: Annotated[
        int, typer.Option(help="Atoms in the cell that the energies belong to.", min=1)
    ],
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
    total_orderings: Annotated[
        float | None, typer.Option(help="Orderings that the table is an unbiased sample of.")
    ] = None,
    noise: Annotated[
        float | None, typer.Option("--noise-eV-per-cell", help="Error of one cell's energy.", min=0.0)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap (samples only).")] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw how probable the energies are, p(H), into this PNG or SVG file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Sum over the orderings of a disordered crystal at one or more temperatures.

    Where the table has a column free_energy_eV_per_cell_<T>K for every temperature, those free energies with
    vibrations stand in the Boltzmann factor.
    """
    table = read_table(file)
    records = [
        _record(
            table,
            temperature,
            atoms_per_cell=atoms_per_cell,
            convention=convention,
            with_vibrations=with_vibrations,
            total_orderings=total_orderings,
            noise=noise,
            seed=seed,
        )
        for temperature, with_vibrations in _temperatures(table, temperatures, without_vibrations)
    ]
    if plot is not None:
        sums = sums_of_table(
            table,
            temperatures,
            atoms_per_cell=atoms_per_cell,
            convention=convention,
            without_vibrations=without_vibrations,
        )
        _draw(table, sums, plot)
    for warning in dict.fromkeys(warning for record in records for warning in record["warnings"]):
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    else:
        _print_records(records)


def _temperatures(table: Table, text: str, without_vibrations: bool) -> list[tuple[float, bool]]:
    """Read the temperatures and whether the table has free energies for all of them."""
    values = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = 0.0
        if not 0.0 < value < float("inf"):
            raise InputError(f"--temperatures-K: {part.strip()!r} is not a temperature above zero")
        values.append(value)
    given = _columns(table, "free_energy_eV_per_cell")
    have = [value in given and not without_vibrations for value in values]
    if any(have) and not all(have):
        missing = ", ".join(f"{value:g}" for value, there in zip(values, have, strict=True) if not there)
        raise InputError(
            f"{table.path}: free energies are there for some temperatures, not for {missing} K; add the "
            "columns free_energy_eV_per_cell_<T>K, leave these temperatures out, or use --without-vibrations"
        )
    return list(zip(values, have, strict=True))


def _columns(table: Table, kind: str) -> dict[float, str]:
    """Find the columns of a quantity at temperatures."""
    matches = {name: _COLUMN.fullmatch(name) for name in table.columns}
    return {float(m[2]): name for name, m in matches.items() if m is not None and m[1] == kind}


def _inputs(
    table: Table, temperature_K: float, with_vibrations: bool
) -> tuple[list[float], list[float] | None, list[str]]:
    """Give the Boltzmann energies, the orderings' entropies where known, and warnings."""
    if not with_vibrations:
        return table.numbers("energy_eV_per_cell"), None, []
    from sse_screen.thermodynamics.partition_function import entropies_from_free_energies

    free = _columns(table, "free_energy_eV_per_cell")
    energies = table.numbers(free[temperature_K])
    entropies = _columns(table, "entropy_eV_per_K_per_cell")
    if temperature_K in entropies:
        return energies, table.numbers(entropies[temperature_K]), []
    grid = sorted(free)
    if len(grid) >= 4:
        columns = list(zip(*(table.numbers(free[t]) for t in grid), strict=True))
        derived = entropies_from_free_energies(grid, columns)
        return energies, derived[:, grid.index(temperature_K)].tolist(), []
    warning = (
        "no column entropy_eV_per_K_per_cell_<T>K and fewer than four temperatures: internal energy and "
        "vibrational entropy are not known"
    )
    return energies, None, [warning]


def sums_of_table(
    table: Table,
    temperatures: str,
    *,
    atoms_per_cell: int,
    convention: Literal["physical", "per_atom"],
    without_vibrations: bool,
) -> list[tuple[ConfigurationalFreeEnergy, bool]]:
    """Sum over the orderings of a table.

    Parameters
    ----------
    table : Table
        With the column energy_eV_per_cell, and degeneracy and free energies where it has them.
    temperatures : str
        Temperatures in kelvin, comma-separated.
    atoms_per_cell : int
        Atoms in the cell.
    convention : {"physical", "per_atom"}
        How the sums are made.
    without_vibrations : bool
        Use energies even where free energies are there.

    Returns
    -------
    list of tuple
        The sum at each temperature, and whether it is with vibrations.

    Raises
    ------
    InputError
        If a column is missing or holds what is no number.
    """
    return [
        (
            _sum(
                table,
                temperature,
                _inputs(table, temperature, with_vibrations),
                atoms_per_cell=atoms_per_cell,
                convention=convention,
                with_vibrations=with_vibrations,
                total_orderings=None,
            ),
            with_vibrations,
        )
        for temperature, with_vibrations in _temperatures(table, temperatures, without_vibrations)
    ]


def _draw(table: Table, sums: list[tuple[ConfigurationalFreeEnergy, bool]], file: Path) -> None:
    """Draw the distribution of the energies at all temperatures."""
    from sse_screen.thermodynamics.figures import energy_distribution_figure
    from sse_screen.thermodynamics.partition_function import energy_histogram
    from sse_screen.transport.figures import save_image

    histograms = {
        result.temperature_K: found
        for result, with_vibrations in sums
        if (
            found := energy_histogram(
                _inputs(table, result.temperature_K, with_vibrations)[0], result, _degeneracies(table)
            )
        )
        is not None
    }
    if not histograms:
        raise InputError(f"--plot {file}: all orderings in {table.path} have the same energy")
    symbol = "F" if sums[0][1] else "H"
    figure = energy_distribution_figure(histograms, symbol=symbol, title=table.path.name)
    save_image(figure, file, "--plot")


def _sum(
    table: Table,
    temperature_K: float,
    inputs: tuple[list[float], list[float] | None, list[str]],
    *,
    atoms_per_cell: int,
    convention: Literal["physical", "per_atom"],
    with_vibrations: bool,
    total_orderings: float | None,
) -> ConfigurationalFreeEnergy:
    """Make one sum; a refusal names the file."""
    from sse_screen.thermodynamics.partition_function import configurational_free_energy

    try:
        return configurational_free_energy(
            inputs[0],
            temperature_K,
            atoms_per_cell=atoms_per_cell,
            degeneracies=_degeneracies(table),
            convention=convention,
            entropies_eV_per_K_per_cell=inputs[1],
            energies_are_free=with_vibrations,
            total_weight=total_orderings,
        )
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from error


def _degeneracies(table: Table) -> list[float] | None:
    return table.numbers("degeneracy", positive=True) if "degeneracy" in table.columns else None


def _record(
    table: Table,
    temperature_K: float,
    *,
    atoms_per_cell: int,
    convention: Literal["physical", "per_atom"],
    with_vibrations: bool,
    total_orderings: float | None,
    noise: float | None,
    seed: int,
) -> dict[str, Any]:
    """Compute one temperature."""
    import numpy as np

    from sse_screen.thermodynamics.sampling_error import bootstrap_free_energy, noise_correction

    inputs = _inputs(table, temperature_K, with_vibrations)
    energies, _, warnings = inputs
    degeneracies = _degeneracies(table)
    if degeneracies is None and convention == "physical":
        warnings.append("no column degeneracy: every ordering counts once")
    result = _sum(
        table,
        temperature_K,
        inputs,
        atoms_per_cell=atoms_per_cell,
        convention=convention,
        with_vibrations=with_vibrations,
        total_orderings=total_orderings,
    )
    record = _numbers(result, len(energies), with_vibrations)
    if total_orderings is not None:
        interval = bootstrap_free_energy(
            energies,
            temperature_K,
            atoms_per_cell=atoms_per_cell,
            rng=np.random.default_rng(seed),
            degeneracies=degeneracies,
            convention=convention,
            total_weight=total_orderings,
        )
        record["free_energy_95_percent_interval_eV_per_cell"] = [
            interval.lower_eV_per_cell,
            interval.upper_eV_per_cell,
        ]
        warnings += interval.warnings
    if noise is not None:
        correction = noise_correction(noise, temperature_K, result.effective_sample_size)
        record["noise_shift_eV_per_cell"] = correction.shift_eV_per_cell
        record["ranking_allowed"] = correction.ranking_allowed
        warnings += correction.reasons
    return {**record, "warnings": warnings}


def _numbers(result: ConfigurationalFreeEnergy, n: int, with_vibrations: bool) -> dict[str, Any]:
    """Name the results with their units, per cell and per atom."""
    atoms = result.atoms_per_cell
    values = {
        "free_energy_eV": result.free_energy_eV_per_cell,
        "lowest_energy_eV": result.lowest_energy_eV_per_cell,
        "mean_energy_eV": result.mean_energy_eV_per_cell,
        "internal_energy_eV": result.internal_energy_eV_per_cell,
        "configurational_entropy_eV_per_K": result.configurational_entropy_eV_per_K_per_cell,
        "vibrational_entropy_eV_per_K": result.vibrational_entropy_eV_per_K_per_cell,
        "entropy_eV_per_K": result.entropy_eV_per_K_per_cell,
    }
    record: dict[str, Any] = {
        "temperature_K": result.temperature_K,
        "convention": result.convention,
        "with_vibrations": with_vibrations,
        "atoms_per_cell": atoms,
        "n_configurations": n,
        "total_orderings": result.total_weight,
        "ln_partition_function": result.ln_partition_function,
        "ln_partition_function_absolute": result.ln_partition_function_absolute,
        "effective_sample_size": result.effective_sample_size,
        "largest_probability": float(result.probabilities.max()),
    }
    for name, value in values.items():
        known = None if value != value else value
        record[f"{name}_per_cell"] = known
        record[f"{name}_per_atom"] = None if known is None else known / atoms
    entropy = result.configurational_entropy_eV_per_K_per_cell / atoms
    record["configurational_entropy_meV_per_K_per_atom"] = 1e3 * entropy
    record["configurational_entropy_term_eV_per_atom"] = -result.temperature_K * entropy
    return record


def _print_records(records: list[dict[str, Any]]) -> None:
    """Print one line a temperature."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table as RichTable

    columns = {
        "temperature_K": ("T / K", ".0f"),
        "free_energy_eV_per_atom": ("F / eV/atom", ".6f"),
        "mean_energy_eV_per_atom": ("⟨E⟩ / eV/atom", ".6f"),
        "configurational_entropy_term_eV_per_atom": ("-T S_conf / eV/atom", ".6f"),
        "configurational_entropy_meV_per_K_per_atom": ("S_conf / meV/K/atom", ".6f"),
        "effective_sample_size": ("effective sample", ".1f"),
    }
    first = records[0]
    rows = [[format(record[name], spec) for name, (_, spec) in columns.items()] for record in records]
    titles = [heading for heading, _ in columns.values()]
    interval = "free_energy_95_percent_interval_eV_per_cell"
    if interval in first:
        titles[2:2] = ["lower 95%", "upper 95%"]
        for row, record in zip(rows, records, strict=True):
            row[2:2] = [format(bound / record["atoms_per_cell"], ".6f") for bound in record[interval]]
    vibrations = "with vibrations" if first["with_vibrations"] else "without vibrations"
    title = f"{first['n_configurations']} orderings, {first['convention']}, {vibrations}"
    # eight columns of six decimals fit 80 characters without borders
    shown = RichTable(title=title, box=SIMPLE, padding=0)
    for heading in titles:
        shown.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
