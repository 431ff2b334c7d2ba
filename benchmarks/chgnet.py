"""CHGNet: molecular dynamics against atomate2 with the stock model, and against the arithmetic floor.

Times are CPU times of this process with one thread, the compared routes in turn, so that other work on the
machine weighs on all of them alike.
"""

from __future__ import annotations

import contextlib
import io
import os
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
from ase.calculators.calculator import Calculator
from atomate2.forcefields.md import ForceFieldMDMaker
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Result, less, limited
from benchmarks.double_stock import double_evaluator
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.potentials import load_calculator, load_engine
from sse_screen.potentials.calculator import graph_of
from sse_screen.potentials.graph import CrystalGraph
from sse_screen.potentials.matrix_product import multiply
from sse_screen.structures.prototypes import build_prototype

CRYSTALS = ("lgps", "llzo-cubic", "llzo-tetragonal")
STOCK = {"@module": "chgnet.model.dynamics", "@callable": "CHGNetCalculator"}
FAST = {"@module": "sse_screen.potentials", "@callable": "load_calculator"}
TEMPERATURE_K = 600.0
WIDTH = 64


def run(console: Console, *, quick: bool = False) -> Result:
    """Compare a step of molecular dynamics at 50, 96 and 192 atoms.

    Parameters
    ----------
    console : Console
        Where tables go.
    quick : bool
        The smallest crystal only, one round.

    Returns
    -------
    Result
        CPU ms a step by three routes, ratios to atomate2 and to the arithmetic floor, largest difference of
        the forces.
    """
    torch.set_num_threads(1)
    rate, best_rate = matrix_rate(), tall_rate()
    console.print(
        f"one thread: {rate / 1e9:.0f} GFLOP/s in torch's product of large matrices, "
        f"{best_rate / 1e9:.0f} in our product of tall ones"
    )
    names, rounds = (CRYSTALS[:1], 1) if quick else (CRYSTALS, 2)
    dynamics = []
    for name in names:
        dynamics.append(compare_dynamics(name, rate, best_rate, rounds, quick=quick))
        console.print(f"  {name}: {dynamics[-1]['ratio']:.1f} times as many steps as atomate2")
    console.print(_table(dynamics))
    comparisons = []
    for d in dynamics:
        size = f"{d['n_atoms']} atoms"
        stock = d["atomate2_stock_ms"]
        comparisons.append(
            less(f"MD step, {size}", "ms", d["platform_ms"], "atomate2, stock CHGNet", stock, 2.3)
        )
        peer = "atomate2 with ours as calculator"
        comparisons.append(less(f"MD step, {size}", "ms", d["platform_ms"], peer, d["atomate2_fast_ms"]))
        for stock_precision, difference in d["largest_force_difference_eV_per_A"].items():
            what = f"force difference to stock in {stock_precision} precision, {size}"
            comparisons.append(limited(what, "eV/Å", difference, 3e-5))
        above = d["evaluation_ms"] / d["floor_ms"]
        comparisons.append(limited(f"evaluation over arithmetic floor, {size}", "1", above, 2.0))
    details = {"matrix_rate_flops": rate, "tall_rate_flops": best_rate, "dynamics": dynamics}
    return Result(comparisons, details)


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


def compare_dynamics(
    name: str, rate: float, best_rate: float, rounds: int = 2, *, quick: bool = False
) -> dict[str, Any]:
    """Time a step of molecular dynamics by three routes in turn."""
    structure = build_prototype(name)
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.rattle(0.02, seed=1)
    steps = 2 if quick else max(4, 1000 // len(atoms))
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
        "largest_force_difference_eV_per_A": _force_differences(atoms),
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


def _force_differences(atoms: Atoms) -> dict[str, float]:
    """Return how far our forces are from the stock model's, in double precision and as it is used."""
    ours = _forces(load_calculator("chgnet", device="cpu"), atoms)
    stock = {
        "double": double_evaluator("chgnet", _forces)(atoms),
        "single": _forces(load_calculator("chgnet", variant="stock", device="cpu"), atoms),
    }
    return {precision: float(np.abs(forces - ours).max()) for precision, forces in stock.items()}


def _forces(calculator: Calculator, atoms: Atoms) -> NDArray[np.float64]:
    crystal = atoms.copy()
    crystal.calc = calculator
    return np.asarray(crystal.get_forces(), dtype=np.float64)
