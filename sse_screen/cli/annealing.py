"""What `sse-screen orderings anneal` does: a scan of temperatures, kept on disk, reported in the end."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.structures.orderings import OrderingSpace
    from sse_screen.thermodynamics.lattice_energy import LatticeEnergy
    from sse_screen.thermodynamics.monte_carlo import MonteCarloRun, MonteCarloState, SwapLattice

_RECORDS = 2_000
_FROZEN_BELOW = 0.01


@dataclass
class Annealing:
    """One scan: the space of a cell, how often it is repeated, and the temperatures."""

    space: OrderingSpace
    repetitions: tuple[int, ...]
    temperatures_K: tuple[float, ...]
    seed: int
    potential: str | None
    state_file: Path | None
    runs: list[MonteCarloRun] = field(default_factory=list)

    def run(self, moves: int, equilibration: int) -> None:
        """Run all temperatures that the state file does not hold yet.

        Parameters
        ----------
        moves : int
            Recorded moves per temperature.
        equilibration : int
            Moves before them.
        """
        from rich.console import Console
        from rich.progress import track

        from sse_screen.structures.orderings import repeat_space
        from sse_screen.thermodynamics.monte_carlo import SwapLattice, scan_temperatures

        if len(self.repetitions) != 3:
            raise InputError(f"--supercell {self.repetitions}: give three numbers, such as 2,2,1")
        na, nb, nc = self.repetitions
        self.big = repeat_space(self.space, (na, nb, nc))
        self.lattice: SwapLattice = SwapLattice.of_space(self.big)
        self.key = self._key(moves, equilibration)
        energy = self._energy()
        state = self._load() or self._start(energy)
        record_every = next(n for n in range(max(1, moves // _RECORDS), moves + 1) if moves % n == 0)
        waiting = self.temperatures_K[len(self.runs) :]
        console = Console(stderr=True)
        for temperature_K in track(waiting, "temperatures", console=console, transient=True):
            self.runs += scan_temperatures(
                self.lattice,
                energy,
                state,
                [temperature_K],
                n_equilibration=equilibration,
                n_moves=moves,
                record_every=record_every,
            )
            state = self.runs[-1].final
            self._save()

    def _key(self, moves: int, equilibration: int) -> str:
        parts = [self.big.key, self.seed, self.potential, moves, equilibration, self.space.exclusion_radius_A]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _energy(self) -> LatticeEnergy:
        from sse_screen.thermodynamics.lattice_energy import calculator_energy
        from sse_screen.thermodynamics.monte_carlo import ewald_lattice_energy

        if self.potential is None:
            return ewald_lattice_energy(self.big, self.lattice)
        from sse_screen.potentials import load_calculator

        calculator = load_calculator(self.potential)
        return calculator_energy(self.big.structure, self.lattice.species, calculator)

    def _start(self, energy: LatticeEnergy) -> MonteCarloState:
        """Begin with one random ordering of the cell, repeated."""
        import numpy as np

        from sse_screen.structures.orderings import repeat_sites
        from sse_screen.thermodynamics.monte_carlo import MonteCarloState

        sets = self.space.labelled_sets(1, np.random.default_rng(self.seed))
        (ordering,) = self.space.orderings(sets, np.ones(1), [1.0])
        na, nb, nc = self.repetitions
        sites = repeat_sites(ordering.sites, (na, nb, nc))
        return MonteCarloState.start(self.lattice.contents(self.big.structure, sites), energy, self.seed)

    def _load(self) -> MonteCarloState | None:
        import numpy as np

        from sse_screen.thermodynamics.monte_carlo import MonteCarloRun, MonteCarloState

        if self.state_file is None or not self.state_file.exists():
            return None
        try:
            stored = json.loads(self.state_file.read_text(encoding="utf-8"))
            same = stored["key"] == self.key
            rows = stored["runs"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"--state {self.state_file}: cannot be read as a state ({error})") from error
        temperatures = [float(row["temperature_K"]) for row in rows]
        if not same or tuple(temperatures) != self.temperatures_K[: len(rows)]:
            raise InputError(
                f"--state {self.state_file}: it is the state of another run (crystal, numbers of ions, seed, "
                "energies, moves or earlier temperatures differ): give another file or remove it"
            )
        self.runs = [
            MonteCarloRun(
                float(row["temperature_K"]),
                np.array(row["energies_eV"]),
                MonteCarloState.from_json(row["final"]),
                row["acceptance"],
            )
            for row in rows
        ]
        return self.runs[-1].final if self.runs else None

    def _save(self) -> None:
        if self.state_file is None:
            return
        rows = [
            {
                "temperature_K": str(run.temperature_K),
                "energies_eV": run.energies_eV.tolist(),
                "final": run.final.to_json(),
                "acceptance": run.acceptance,
            }
            for run in self.runs
        ]
        new = self.state_file.with_name(self.state_file.name + ".new")
        try:
            new.write_text(json.dumps({"key": self.key, "runs": rows}), encoding="utf-8")
            os.replace(new, self.state_file)
        except OSError as error:
            raise InputError(f"--state {self.state_file}: cannot be written ({error.strerror})") from error

    def _rows(self) -> list[dict[str, Any]]:
        import math

        from sse_screen.structures.orderings import TooManyStatesError
        from sse_screen.thermodynamics.thermodynamic_integration import integrate_scan, standard_error_of_mean

        rows: list[dict[str, Any]] = [
            {
                "temperature_K": run.temperature_K if math.isfinite(run.temperature_K) else None,
                "mean_energy_eV_per_cell": float(run.energies_eV.mean()),
                "standard_error_eV_per_cell": standard_error_of_mean(run.energies_eV),
                "acceptance": run.acceptance,
            }
            for run in self.runs
        ]
        if math.isfinite(self.temperatures_K[0]) or len(self.runs) < 2:
            return rows
        try:
            integral = integrate_scan(self.runs, self.big.count_labelled())
        except TooManyStatesError as error:
            typer.echo(f"no entropies: {error}", err=True)
            return rows
        for row, entropy, spread in zip(rows, integral.entropies_k, integral.entropy_errors_k, strict=True):
            row["entropy_kB_per_cell"] = float(entropy)
            row["entropy_standard_error_kB_per_cell"] = float(spread)
        return rows

    def report(self, output: Path | None, as_json: bool) -> None:
        """Print the means of every temperature and write the last ordering.

        Parameters
        ----------
        output : Path, optional
            CIF file of the last ordering.
        as_json : bool
            Plain JSON instead of a table.
        """
        from pymatgen.io.cif import CifWriter

        from sse_screen.structures.orderings import ordered_structure

        sites = self.lattice.sites(self.runs[-1].final.contents)
        if output is not None:
            try:
                output.write_text(
                    str(CifWriter(ordered_structure(self.big.structure, sites))), encoding="utf-8"
                )
            except OSError as error:
                raise InputError(f"--output {output}: cannot be written ({error.strerror})") from error
        rows = self._rows()
        _warn(rows)
        if as_json:
            summary = {"n_sites": len(self.big.structure), "temperatures": rows, "final_sites": sites}
            typer.echo(json.dumps(summary))
        else:
            _print_table(rows)


def _warn(rows: list[dict[str, Any]]) -> None:
    """Say on stderr at which temperatures nothing moved, and which entropies cannot be."""

    def temperatures(chosen: list[dict[str, Any]]) -> str:
        """List the temperatures of some rows."""
        return ", ".join(
            "inf" if row["temperature_K"] is None else f"{row['temperature_K']:g}" for row in chosen
        )

    frozen = [row for row in rows if row["acceptance"] < _FROZEN_BELOW]
    if frozen:
        typer.echo(
            f"warning: less than 1 % of the moves were accepted at {temperatures(frozen)} K: the run is "
            "frozen, its means are those of where it froze; take higher temperatures or more --moves",
            err=True,
        )
    negative = [row for row in rows if row.get("entropy_kB_per_cell", 0.0) < 0.0]
    if negative:
        typer.echo(
            f"warning: the entropy is below zero at {temperatures(negative)} K, which cannot be: take more "
            "temperatures in between and more --moves",
            err=True,
        )


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE)
    for column in ("T (K)", "mean energy (eV/cell)", "+-", "accepted", "S (k/cell)", "+-"):
        table.add_column(column, justify="right")
    for row in rows:
        entropy = row.get("entropy_kB_per_cell")
        table.add_row(
            "inf" if row["temperature_K"] is None else f"{row['temperature_K']:g}",
            f"{row['mean_energy_eV_per_cell']:.4f}",
            f"{row['standard_error_eV_per_cell']:.4f}",
            f"{row['acceptance']:.3f}",
            "" if entropy is None else f"{entropy:.4f}",
            "" if entropy is None else f"{row['entropy_standard_error_kB_per_cell']:.4f}",
        )
    Console().print(table)
