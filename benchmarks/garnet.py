"""Cubic LLZO with classical potentials: what moves D and E_a, one thing at a time, beside published figures.

``python -m benchmarks.garnet [CASE ...] [--quick] [--output FILE]`` runs the cases that the file does not
hold yet, one after the other in this process with one thread, and prints the table. Each case is the cell of
192 atoms, lithium on its sites at random, relaxed at fixed cell, then run at the same three temperatures. The
first case is as long as PRODUCTION_PS says, the others are shorter.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor
from rich.console import Console
from rich.table import Table

from sse_screen.documents.base import Quantity
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.dynamics.relaxation import relax_structure
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials.classical import ClassicalPotential, load_classical
from sse_screen.potentials.classical_calculator import ClassicalCalculator
from sse_screen.structures.ordering import order_structure
from sse_screen.structures.prototypes import build_prototype
from sse_screen.transport.arrhenius import ArrheniusFit, ArrheniusPoint, fit_arrhenius
from sse_screen.transport.diffusivity import estimate_diffusivity
from sse_screen.transport.jumps import site_occupancies
from sse_screen.transport.site_analysis import analyse_sites

PARENT = "llzo-cubic-disordered"
SOURCED, UNSOURCED = "garnet-bush-woodley", "garnet-buckingham"
OXYGEN_PAIRS, FRAMEWORK_PAIRS = ("Li-O", "O-O"), ("La-O", "Zr-O")
PRODUCTION_PS = {800: 200.0, 1100: 100.0, 1500: 60.0}
EQUILIBRATION_PS = 20.0
PUBLISHED_D_CM2_PER_S, PUBLISHED_EA_EV, PUBLISHED_AT_K = 2.88e-5, 0.29, 1100  # Grieder 2024
_SITES_OF_LITHIUM = 56


@dataclass(frozen=True)
class Case:
    """What is changed, everything else being the sourced potential at the experimental volume.

    Attributes
    ----------
    what : str
        In words.
    potential : str
        Name in the library.
    pairs_of_the_other : tuple of str
        Pairs whose numbers are taken from the other of the two potentials.
    volume : float
        Relative to the experimental one.
    lithium : int
        Ions in the cell; oxygen's charge makes up for missing ones.
    charges : float
        Relative to the formal ones, all alike.
    ensemble : str
        ``npt`` is at 1 bar, shape fixed.
    time_step_fs : float
        Time step.
    seed : int
        Of arrangement, velocities and thermostat.
    length : float
        Relative to ``PRODUCTION_PS`` and ``EQUILIBRATION_PS``.
    """

    what: str
    potential: str = SOURCED
    pairs_of_the_other: tuple[str, ...] = ()
    volume: float = 1.0
    lithium: int = _SITES_OF_LITHIUM
    charges: float = 1.0
    ensemble: Literal["nvt", "npt"] = "nvt"
    time_step_fs: float = 2.0
    seed: int = 1
    length: float = 0.35


CASES = {
    "sourced": Case("garnet-bush-woodley", length=1.0),
    "unsourced": Case("garnet-buckingham", UNSOURCED),
    "lithium-6.75": Case("Li6.75La3Zr2O12, oxygen's charge -1.979", lithium=54),
    "volume": Case("107 % of the volume", volume=1.07),
    "charges": Case("charges 0.9 of the formal ones", charges=0.9),
    "pressure": Case("at 1 bar", ensemble="npt"),
    "framework": Case("La-O and Zr-O of garnet-buckingham", pairs_of_the_other=FRAMEWORK_PAIRS),
    "oxygen": Case("Li-O and O-O of garnet-buckingham", pairs_of_the_other=OXYGEN_PAIRS),
    "arrangement": Case("another random arrangement and seed", seed=2),
    "time-step": Case("1 fs instead of 2", time_step_fs=1.0),
}


def potential_of(case: Case) -> ClassicalPotential:
    """Give the potential of a case.

    Parameters
    ----------
    case : Case
        The case.

    Returns
    -------
    ClassicalPotential
        Neutral for the cell of the case.
    """
    chosen = load_classical(case.potential).model_dump()
    other = load_classical(SOURCED if case.potential == UNSOURCED else UNSOURCED).model_dump()
    foreign = [pair for pair in other["pairs"] if "-".join(pair["species"]) in case.pairs_of_the_other]
    kept = [pair for pair in chosen["pairs"] if "-".join(pair["species"]) not in case.pairs_of_the_other]
    missing = _SITES_OF_LITHIUM - case.lithium
    formal = chosen["charges"] | {"O": chosen["charges"]["O"] + missing / 96}
    charges = {element: case.charges * charge for element, charge in formal.items()}
    return ClassicalPotential.model_validate(chosen | {"pairs": [*kept, *foreign], "charges": charges})


def crystal_of(case: Case, calculator: ClassicalCalculator) -> Atoms:
    """Give the relaxed starting crystal of a case.

    Parameters
    ----------
    case : Case
        The case.
    calculator : ClassicalCalculator
        Its potential.

    Returns
    -------
    ase.Atoms
        One conventional cell.
    """
    structure = order_structure(build_prototype(PARENT), "random", seed=case.seed)
    structure.remove_oxidation_states()
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    lithium = [atom.index for atom in atoms if atom.symbol == "Li"]
    missing = len(lithium) - case.lithium
    del atoms[np.random.default_rng(case.seed).permutation(lithium)[:missing].tolist()]
    atoms.set_cell(atoms.cell[:] * case.volume ** (1 / 3), scale_atoms=True)
    protocol = RelaxationProtocol(maximum_force_eV_per_A=0.05, relax_cell=False)
    return relax_structure(atoms, calculator, protocol).atoms


def measure(console: Console, case: Case, temperatures_K: list[int], length: float) -> dict[str, Any]:
    """Run a case.

    Parameters
    ----------
    console : Console
        Where progress goes.
    case : Case
        The case.
    temperatures_K : list of int
        Of ``PRODUCTION_PS``.
    length : float
        Of the runs, relative to the common ones.

    Returns
    -------
    dict
        Diffusivities with intervals by temperature, activation energy, occupancies, volumes, speed.
    """
    potential = potential_of(case)
    calculator = ClassicalCalculator(potential)
    atoms = crystal_of(case, calculator)
    stress = atoms.copy()
    stress.calc = calculator
    pressure_GPa = -float(np.mean(stress.get_stress()[:3])) * 160.21766
    found: dict[str, Any] = {"what": case.what, "pressure_of_the_relaxed_cell_GPa": pressure_GPa}
    found["potential_sha256"] = potential.parameters_sha256
    temperatures: dict[str, Any] = {}
    for temperature_K in temperatures_K:
        production_ps = length * PRODUCTION_PS[temperature_K]
        protocol = MolecularDynamicsProtocol(
            ensemble=case.ensemble,
            time_step_fs=case.time_step_fs,
            equilibration_ps=length * EQUILIBRATION_PS,
            production_ps=production_ps,
            frame_interval_fs=40.0,
        )
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            result = run_molecular_dynamics(
                atoms, calculator, protocol, float(temperature_K), case.seed, Path(folder)
            )
            seconds = time.process_time() - started
            trajectory = read_trajectory_file(result.trajectory_file, protocol.n_equilibration_frames)
        nanoseconds = protocol.n_steps * case.time_step_fs * 1e-6
        temperatures[str(temperature_K)] = _transport(trajectory) | {
            "production_ps": production_ps,
            "mean_temperature_K": result.mean_temperature_K,
            "volume_A3": result.mean_volume_A3,
            "ns_per_cpu_day": nanoseconds / seconds * 86400,
        }
        run = temperatures[str(temperature_K)]
        judged, slope = (_interval(run[name], 1e5) for name in ("diffusivity", "slope"))
        console.print(f"  {temperature_K} K: D {judged}, slope {slope} 1e-5 cm²/s", markup=False)
    found["temperatures"] = temperatures
    return found


def _transport(trajectory: Trajectory) -> dict[str, Any]:
    """Give diffusivity, framework and occupancies of one run."""
    judged = estimate_diffusivity([trajectory], "Li")
    framework = judged.framework_mean_squared_displacement
    analysis = analyse_sites([trajectory], "Li", structure=build_prototype(PARENT))
    occupancies = site_occupancies(analysis.visits, len(analysis.sites), analysis.n_frames)
    by_type: dict[str, float] = {}
    for name, occupancy in zip(analysis.sites.types, occupancies, strict=True):
        by_type[name] = by_type.get(name, 0.0) + float(occupancy)
    return {
        "diffusivity": judged.tracer_diffusivity.model_dump(mode="json"),
        "slope": judged.estimate.model_dump(mode="json"),
        "framework_msd_A2": {symbol: curve.values_A2[-1] for symbol, curve in framework.items()},
        "lithium_by_site_type": by_type,
    }


def activation(case: dict[str, Any]) -> ArrheniusFit | None:
    """Fit the activation energy of what :func:`measure` found.

    Parameters
    ----------
    case : dict
        One case.

    Returns
    -------
    ArrheniusFit or None
        None when no run gave a number.
    """
    points = [
        ArrheniusPoint.from_quantity(float(temperature), Quantity.model_validate(run["diffusivity"]))
        for temperature, run in case["temperatures"].items()
    ]
    kept = [point for point in points if point is not None]
    return fit_arrhenius(kept) if kept else None


def table_of(cases: dict[str, Any]) -> Table:
    """Draw up what was found.

    Parameters
    ----------
    cases : dict
        As the output file holds them.

    Returns
    -------
    rich.table.Table
        One row a case.
    """
    temperatures = list(dict.fromkeys(t for case in cases.values() for t in case["temperatures"]))
    columns = ["case", *(f"D({t} K), 1e-5 cm²/s" for t in temperatures), "E_a, eV", "GPa"]
    table = Table(
        *columns, title=f"published: D({PUBLISHED_AT_K} K) 2.88, E_a {PUBLISHED_EA_EV} (Grieder 2024)"
    )
    for case in cases.values():
        cells = [case["what"]]
        for temperature in temperatures:
            run = case["temperatures"].get(temperature)
            cells.append("" if run is None else _interval(run["diffusivity"], 1e5))
        fit = activation(case)
        energy = {} if fit is None else fit.activation_energy.model_dump()
        table.add_row(*cells, _interval(energy, 1.0), f"{case['pressure_of_the_relaxed_cell_GPa']:.1f}")
    return table


def _interval(quantity: dict[str, Any], scale: float) -> str:
    value, lower, upper = (quantity.get(name) for name in ("value", "lower", "upper"))
    if value is not None and lower is not None and upper is not None:
        return f"{value * scale:.3g} ({lower * scale:.3g} … {upper * scale:.3g})"
    if lower is not None and upper is not None and quantity.get("verdict") == "unresolved":
        return f"{lower * scale:.3g} … {upper * scale:.3g}"
    return f"< {upper * scale:.3g}" if upper is not None else "–"


def main() -> int:
    """Run the cases asked for, print the table, write the file.

    Returns
    -------
    int
        0.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.garnet", description=__doc__)
    listed = "; ".join(f"{name}: {case.what}" for name, case in CASES.items())
    parser.add_argument("cases", nargs="*", help=f"all by default ({listed})")
    every = list(PRODUCTION_PS)
    parser.add_argument("--temperatures", type=int, nargs="+", choices=every, default=every, help="in K")
    parser.add_argument("--quick", action="store_true", help="1 ps a run: does it run, not what it gives")
    parser.add_argument("--output", type=Path, default=Path("garnet.json"))
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(CASES)}")
    console = Console(width=150)
    found: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
    for name in options.cases or list(CASES):
        if name in found:
            continue
        console.print(f"{name}: {CASES[name].what}", markup=False)
        case = CASES[name]
        found[name] = measure(console, case, options.temperatures, 0.005 if options.quick else case.length)
        options.output.write_text(json.dumps(found, indent=1) + "\n")  # what is there is kept
    console.print(table_of(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
