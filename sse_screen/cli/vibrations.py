"""`sse-screen vibrations`: vibrational free energy of a constant-energy run, or of a density of states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sse_screen.cli.tables import read_table
from sse_screen.exceptions import InputError

EPILOG = (
    "Examples: [bold]sse-screen vibrations run.traj --temperature-K 600 --relaxed-energy-eV -148.31 "
    "--two-phase Li[/bold] for a run at constant energy with velocities; [bold]sse-screen vibrations dos.csv "
    "--temperature-K 300 --atoms-per-cell 24[/bold] for a table of modes per THz by species."
)
_CELL_KEYS = (
    *("configuration_id", "formula", "n_atoms", "target_temperature_K", "measured_temperature_K", "n_modes"),
    *("relaxed_energy_eV_per_cell", "free_energy_eV_per_cell", "internal_energy_eV_per_cell"),
    *("entropy_eV_per_K_per_cell", "heat_capacity_eV_per_K_per_cell", "usable", "flags", "warnings"),
    "two_phase",
)


def vibrations(
    file: Annotated[Path, typer.Argument(help="Trajectory with velocities, or CSV with frequency_THz.")],
    temperature_k: Annotated[float, typer.Option("--temperature-K", help="Temperature of the sums.")],
    relaxed_energy: Annotated[
        float,
        typer.Option("--relaxed-energy-eV", help="Energy of the relaxed cell, not the mean of the run."),
    ] = 0.0,
    skip_ps: Annotated[float, typer.Option(help="Start of the run to leave out (thermostatted part).")] = 0.0,
    two_phase: Annotated[
        str | None, typer.Option(help="Mobile element to treat as gas and solid as well (Lin 2003).")
    ] = None,
    time_step_fs: Annotated[
        float | None, typer.Option(help="Time step of the dynamics, where the file does not say it.")
    ] = None,
    atoms_per_cell: Annotated[
        int | None,
        typer.Option(help="For a table: atoms of the cell; its modes are scaled to three an atom.", min=1),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Quantum-harmonic free energy, internal energy, entropy and heat capacity of a cell.

    From the mass-weighted velocities of a run at constant energy (a thermostat contaminates the spectrum),
    with what speaks against it: ions that changed their site, drift, a temperature off its target.
    """
    if file.suffix.lower() == ".csv":
        record = _of_table(file, temperature_k, relaxed_energy, atoms_per_cell)
    else:
        record = _of_run(file, temperature_k, relaxed_energy, skip_ps, two_phase, time_step_fs)
    for text in [*record.get("flags", ()), *record.get("warnings", ())]:
        typer.echo(f"warning: {text}", err=True)
    if as_json:
        typer.echo(json.dumps(record, indent=2))
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = RichTable(show_header=False)
    for name, value in record.items():
        if value is not None and name not in ("flags", "warnings", "two_phase"):
            shown.add_row(name.replace("_", " "), f"{value:.6f}" if isinstance(value, float) else str(value))
    for name, value in (record.get("two_phase") or {}).items():
        shown.add_row(f"two-phase {name.replace('_', ' ')}", str(value))
    Console().print(shown)


def _of_table(
    file: Path, temperature_K: float, relaxed_energy_eV: float, atoms_per_cell: int | None
) -> dict[str, Any]:
    """Sum over a table of a density of states; every refusal names the file."""
    from sse_screen.thermodynamics.vibrations import (
        from_density,
        harmonic_thermodynamics,
        refuse_unphysical_entropy,
    )

    table = read_table(file)
    names = [name for name in table.columns if name != "frequency_THz"]
    frequencies = table.numbers("frequency_THz")
    if not names:
        raise InputError(f"{file}: no column beside frequency_THz; give modes per THz, one column a species")
    try:
        density = from_density(frequencies, {name: table.numbers(name) for name in names})
        if atoms_per_cell is not None:
            density = density.normalised(3.0 * atoms_per_cell)
            refuse_unphysical_entropy(density, atoms_per_cell)
        thermal = harmonic_thermodynamics(density, temperature_K, relaxed_energy_eV=relaxed_energy_eV)
    except InputError as error:
        if str(error).startswith(str(file)):
            raise
        raise InputError(f"{file}: {error}") from error
    return {
        "target_temperature_K": temperature_K,
        "n_modes": density.n_modes,
        "relaxed_energy_eV_per_cell": relaxed_energy_eV,
        "free_energy_eV_per_cell": thermal.free_energy_eV,
        "internal_energy_eV_per_cell": thermal.internal_energy_eV,
        "entropy_eV_per_K_per_cell": thermal.entropy_eV_per_K,
        "heat_capacity_eV_per_K_per_cell": thermal.heat_capacity_eV_per_K,
    }


def _of_run(
    file: Path,
    temperature_K: float,
    relaxed_energy_eV: float,
    skip_ps: float,
    two_phase: str | None,
    time_step_fs: float | None,
) -> dict[str, Any]:
    """Analyse a trajectory; every refusal names the file."""
    from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
    from sse_screen.dynamics.readers import ReadOptions, read_trajectory

    trajectory = read_trajectory(file, None, ReadOptions(time_step_fs=time_step_fs))
    try:
        document = VibrationalFreeEnergyDoc.from_trajectory(
            trajectory.after(skip_ps),
            configuration_id=file.name,
            relaxed_energy_eV=relaxed_energy_eV,
            target_temperature_K=temperature_K,
            level_of_theory="that of the trajectory",
            two_phase_species=two_phase,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    content = document.model_dump(mode="json")
    return {name: content[name] for name in _CELL_KEYS}
