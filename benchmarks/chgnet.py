"""CHGNet: molecular dynamics against atomate2 with the stock model, and batches of small cells.

Times are CPU times of this process with one thread, the compared routes in turn, so that other work on the
machine weighs on all of them alike.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from atomate2.forcefields.md import ForceFieldMDMaker
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from rich.console import Console
from rich.table import Table

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.batched import relax_together, run_dynamics_together
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.dynamics.relaxation import relax_structure
from sse_screen.potentials import load_calculator, load_engine
from sse_screen.potentials.calculator import graph_of
from sse_screen.potentials.graph import CrystalGraph
from sse_screen.potentials.matrix_product import multiply
from sse_screen.structures.prototypes import build_prototype, list_prototypes

CRYSTALS = ("lgps", "llzo-cubic", "llzo-tetragonal")
STOCK = {"@module": "chgnet.model.dynamics", "@callable": "CHGNetCalculator"}
FAST = {"@module": "sse_screen.potentials", "@callable": "load_calculator"}
TEMPERATURE_K = 600.0
WIDTH = 64


def run(console: Console) -> dict[str, Any]:
    """Run both comparisons.

    Parameters
    ----------
    console : Console
        Where tables go.

    Returns
    -------
    dict
        All figures.
    """
    torch.set_num_threads(1)
    rate, best_rate = matrix_rate(), tall_rate()
    console.print(
        f"one thread: {rate / 1e9:.0f} GFLOP/s in torch's product of large matrices, "
        f"{best_rate / 1e9:.0f} in our product of tall ones"
    )
    dynamics = [compare_dynamics(name, rate, best_rate) for name in CRYSTALS]
    console.print(_table(dynamics))
    workers = compare_workers()
    console.print(
        f"two workers make {workers['ratio']:.2f} times the steps of one "
        f"(load of the machine before: {workers['load_average']:.1f} of {workers['n_cores']} cores)"
    )
    batch = compare_batches()
    console.print(
        f"{batch['n_cells']} cells of {batch['smallest']} to {batch['largest']} atoms, relaxation to "
        f"0.08 eV/Å and {batch['md_ps']:g} ps, an hour: {batch['stock_cells_per_hour']:.0f} one at a time "
        f"with stock CHGNet, {batch['single_cells_per_hour']:.0f} with the fast one, "
        f"{batch['cells_per_hour']:.0f} in batches ({batch['ratio']:.1f}×)"
    )
    return {
        "matrix_rate_flops": rate,
        "tall_rate_flops": best_rate,
        "dynamics": dynamics,
        "workers": workers,
        "batch": batch,
    }


def _table(dynamics: list[dict[str, Any]]) -> Table:
    table = Table(title="CHGNet molecular dynamics, CPU ms a step (ratio to atomate2 with stock CHGNet)")
    for column in (
        "crystal",
        "atoms",
        "atomate2, stock",
        "atomate2, fast",
        "platform, fast",
        "evaluation",
        "floor, torch's rate",
        "floor, our rate",
    ):
        table.add_column(column)
    for d in dynamics:
        table.add_row(
            d["crystal"],
            str(d["n_atoms"]),
            f"{d['atomate2_stock_ms']:.0f}",
            f"{d['atomate2_fast_ms']:.1f} ({d['atomate2_stock_ms'] / d['atomate2_fast_ms']:.1f}×)",
            f"{d['platform_ms']:.1f} ({d['ratio']:.1f}×)",
            f"{d['evaluation_ms']:.1f}",
            f"{d['floor_ms']:.1f} ({d['evaluation_ms'] / d['floor_ms']:.2f}×)",
            f"{d['floor_at_our_rate_ms']:.1f} ({d['evaluation_ms'] / d['floor_at_our_rate_ms']:.2f}×)",
        )
    return table


def matrix_rate(size: int = 1500) -> float:
    """Measure operations per second of a single-precision matrix product."""
    a = torch.rand(size, size)
    best = np.inf
    for _ in range(4):
        start = time.process_time()
        torch.mm(a, a)
        best = min(best, time.process_time() - start)
    return 2 * size**3 / best


def tall_rate() -> float:
    """Measure operations per second of this package's product of tall and thin matrices."""
    a, b = (np.random.default_rng(0).random(shape, dtype=np.float32) for shape in ((256, 64), (64, 64)))
    out = np.empty((256, 64), dtype=np.float32)
    multiply(a, b, out)
    best = np.inf
    for _ in range(20):
        start = time.process_time()
        for _ in range(100):
            multiply(a, b, out)
        best = min(best, time.process_time() - start)
    return 100 * 2 * 256 * 64 * 64 / best


def count_operations(graph: CrystalGraph) -> float:
    """Count the multiplications and additions of all linear layers, forward and back to the inputs.

    Layers are split as in :mod:`sse_screen.potentials.chgnet_weights`, and those that feed nothing left out.
    """
    square = 2 * WIDTH * WIDTH
    edges, bonds, angles, short = 2 * graph.n_bonds, graph.n_bonds, graph.n_angles, graph.n_short
    embedding = square // 2 * (2 * bonds + short + angles)
    atom_layers = 4 * (2 * square * edges + 2 * square * bonds)
    bond_layers = 3 * (4 * square * angles + 4 * square * short)
    angle_layers = 2 * (2 * square * angles + 4 * square * short)
    return 2.0 * (embedding + atom_layers + bond_layers + angle_layers)


def compare_dynamics(name: str, rate: float, best_rate: float, rounds: int = 2) -> dict[str, Any]:
    """Time a step of molecular dynamics by three routes in turn."""
    structure = build_prototype(name)
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.rattle(0.02, seed=1)
    steps = max(4, 1000 // len(atoms))
    routes: dict[str, tuple[Callable[[int], None], int]] = {
        "atomate2_stock_ms": (lambda n: _atomate2(structure, STOCK, {}, n), steps),
        "atomate2_fast_ms": (
            lambda n: _atomate2(structure, FAST, {"name": "chgnet", "device": "cpu"}, n),
            4 * steps,
        ),
        "platform_ms": (lambda n: _platform(atoms, n), 4 * steps),
    }
    times: dict[str, list[float]] = {route: [] for route in routes}
    for _ in range(rounds):
        for route, (go, n) in routes.items():
            times[route].append((_cpu_time(go, n + 2) - _cpu_time(go, 2)) / n * 1e3)
    result = {route: median(values) for route, values in times.items()}
    engine = load_engine("chgnet", device="cpu")
    graph = graph_of(atoms, engine)
    engine.evaluate(graph)
    evaluation = median(_cpu_time(lambda _: engine.evaluate(graph), 0) for _ in range(9)) * 1e3
    building = median(_cpu_time(lambda _: graph_of(atoms, engine), 0) for _ in range(9)) * 1e3
    operations = count_operations(graph)
    return {
        "crystal": name,
        "n_atoms": len(atoms),
        "n_bonds": graph.n_bonds,
        "n_angles": graph.n_angles,
        **result,
        "ratio": result["atomate2_stock_ms"] / result["platform_ms"],
        "graph_ms": building,
        "evaluation_ms": evaluation,
        "operations": operations,
        "floor_ms": operations / rate * 1e3,
        "floor_at_our_rate_ms": operations / best_rate * 1e3,
        "largest_force_difference_eV_per_A": _force_difference(atoms),
    }


def _cpu_time(go: Callable[[int], Any], n_steps: int) -> float:
    start = time.process_time()
    go(n_steps)
    return time.process_time() - start


def _atomate2(structure: Structure, potential: dict[str, str], options: dict[str, Any], n_steps: int) -> None:
    maker = ForceFieldMDMaker(
        force_field_name=potential,  # type: ignore[arg-type]
        calculator_kwargs=options,
        ensemble="nvt",
        dynamics="langevin",
        temperature=TEMPERATURE_K,
        time_step=2.0,
        n_steps=n_steps,
        mb_velocity_seed=1,
    )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maker.make.original(maker, structure)


def _platform(atoms: Atoms, n_steps: int) -> None:
    frames = n_steps // 2
    protocol = MolecularDynamicsProtocol(
        time_step_fs=2.0, frame_interval_fs=4.0, equilibration_ps=0.004, production_ps=0.004 * (frames + 2)
    )
    with tempfile.TemporaryDirectory() as folder:
        run_molecular_dynamics(
            atoms, load_calculator("chgnet", device="cpu"), protocol, TEMPERATURE_K, 1, Path(folder)
        )


_WORKER = """
import sys, time
from pymatgen.io.ase import AseAtomsAdaptor
from sse_screen.potentials import load_calculator
from sse_screen.structures.prototypes import build_prototype
atoms = AseAtomsAdaptor.get_atoms(build_prototype(sys.argv[1]), msonable=False)
atoms.calc = load_calculator("chgnet", device="cpu")
atoms.get_forces()
print("ready", flush=True)
sys.stdin.readline()
end, n = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    atoms.rattle(1e-3, seed=n)
    atoms.get_forces()
    n += 1
print(n)
"""


def compare_workers(name: str = "llzo-cubic", seconds: float = 10.0) -> dict[str, Any]:
    """Count evaluations of one worker process and of two at once, by the clock on the wall."""
    load = os.getloadavg()[0]
    counts = []
    for n_workers in (1, 2):
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", _WORKER, name, str(seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(n_workers)
        ]
        for worker in workers:
            worker.stdout.readline()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        counts.append(sum(int(worker.communicate()[0]) for worker in workers))
    return {
        "one": counts[0],
        "two": counts[1],
        "ratio": counts[1] / max(counts[0], 1),
        "load_average": load,
        "n_cores": os.cpu_count(),
    }


def _force_difference(atoms: Atoms) -> float:
    forces = []
    for variant in ("stock", "fast"):
        crystal = atoms.copy()
        crystal.calc = load_calculator("chgnet", variant=variant, device="cpu")  # type: ignore[arg-type]
        forces.append(crystal.get_forces())
    return float(np.abs(forces[0] - forces[1]).max())


def small_cells(number: int, largest: int = 20) -> list[Atoms]:
    """Distorted cells of the library's crystals, none above ``largest`` atoms."""
    cells: list[Atoms] = []
    kinds = []
    for prototype in list_prototypes():
        structure = build_prototype(prototype.name)
        if structure.is_ordered:
            structure = structure.get_primitive_structure()
            if 4 <= len(structure) <= largest:
                kinds.append(AseAtomsAdaptor.get_atoms(structure, msonable=False))
    for k in range(number):
        atoms = kinds[k % len(kinds)].copy()
        atoms.rattle(0.06, seed=k)
        cells.append(atoms)
    return cells


def compare_batches(
    n_cells: int = 200, md_ps: float = 1.0, sample: int = 12, sample_ps: float = 0.04
) -> dict[str, Any]:
    """Cells an hour: relaxation and molecular dynamics, one at a time and in batches.

    One at a time is timed on every so many of the cells, and the dynamics on its first ``sample_ps``: steps
    cost the same all along.
    """
    cells = small_cells(n_cells)
    chosen = cells[:: max(1, n_cells // sample)]
    relaxation = RelaxationProtocol(maximum_force_eV_per_A=0.08, relax_cell=False)
    per_cell = {}
    for variant in ("stock", "fast"):
        calculator = load_calculator("chgnet", variant=variant, device="cpu")  # type: ignore[arg-type]
        start = time.process_time()
        relaxed = [relax_structure(atoms, calculator, relaxation).atoms for atoms in chosen]
        relaxing = time.process_time() - start
        start = time.process_time()
        for seed, atoms in enumerate(relaxed):
            with tempfile.TemporaryDirectory() as folder:
                run_molecular_dynamics(
                    atoms, calculator, _short(sample_ps), TEMPERATURE_K, seed, Path(folder)
                )
        moving = time.process_time() - start
        per_cell[variant] = (relaxing + moving * md_ps / sample_ps) / len(chosen)
    engine = load_engine("chgnet")
    start = time.process_time()
    done = relax_together(cells, engine, relaxation)
    relaxing = time.process_time() - start
    start = time.process_time()
    run_dynamics_together([r.atoms for r in done], engine, _short(sample_ps), TEMPERATURE_K, range(n_cells))
    moving = time.process_time() - start
    batched = (relaxing + moving * md_ps / sample_ps) / n_cells
    sizes = [len(atoms) for atoms in cells]
    return {
        "n_cells": n_cells,
        "smallest": min(sizes),
        "largest": max(sizes),
        "md_ps": md_ps,
        "device": engine.device,
        "stock_cells_per_hour": 3600 / per_cell["stock"],
        "single_cells_per_hour": 3600 / per_cell["fast"],
        "cells_per_hour": 3600 / batched,
        "ratio": per_cell["stock"] / batched,
    }


def _short(length_ps: float) -> MolecularDynamicsProtocol:
    return MolecularDynamicsProtocol(
        time_step_fs=2.0, frame_interval_fs=20.0, equilibration_ps=0.0, production_ps=length_ps
    )
