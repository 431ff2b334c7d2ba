"""Many small cells: relaxation and molecular dynamics in batches, against the stock route one at a time.

CPU times of this process with one thread; where our engine runs on a GPU, times by the clock on the wall, and
the peers run on that GPU too. Ours relaxes all cells and runs the first fifth of the dynamics of
all, which is scaled. The stock route, and ours one at a time, are timed on a part of the cells and the first
steps of their dynamics, and scaled. ``compare_batches(own_ps=1.0)`` runs ours whole.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor
from rich.console import Console

from benchmarks.comparison import Result, more
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.batched import relax_together, run_dynamics_together
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.dynamics.relaxation import relax_structure
from sse_screen.potentials import load_calculator, load_engine
from sse_screen.structures.prototypes import build_prototype, list_prototypes

TEMPERATURE_K = 600.0


def run(console: Console, *, quick: bool = False) -> Result:
    """Count cells an hour.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Four cells instead of 200.

    Returns
    -------
    Result
        Cells an hour of three routes.
    """
    torch.set_num_threads(1)
    found = compare_batches(4, sample=2) if quick else compare_batches()
    console.print(
        f"{found['n_cells']} cells of {found['smallest']} to {found['largest']} atoms, relaxation to "
        f"0.08 eV/Å and {found['md_ps']:g} ps, an hour: {found['stock_cells_per_hour']:.0f} one at a time "
        f"with stock CHGNet, {found['single_cells_per_hour']:.0f} with the fast one, "
        f"{found['cells_per_hour']:.0f} in batches ({found['ratio']:.1f}×)"
    )
    what = (
        f"{found['n_cells']} cells of ≤ 20 atoms, relaxation and {found['md_ps']:g} ps (run: by us all cells "
        f"and {found['own_ps']:g} ps, by peers {found['sample']} and {found['sample_ps']:g} ps; the rest "
        f"is scaled; all on {found['device']})"
    )
    ours, unit = found["cells_per_hour"], "cells/h"
    stock, single = found["stock_cells_per_hour"], found["single_cells_per_hour"]
    return Result(
        [
            more(what, unit, ours, "stock CHGNet, one at a time", stock, 3.0),
            more(what, unit, ours, "fast CHGNet, one at a time", single),
        ],
        found,
    )


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
    n_cells: int = 200,
    md_ps: float = 1.0,
    own_ps: float = 0.2,
    sample: int = 12,
    sample_ps: float = 0.04,
) -> dict[str, Any]:
    """Cells an hour: relaxation and molecular dynamics, one at a time and in batches.

    One at a time is timed on every so many of the cells, and the dynamics on its first ``sample_ps``; batches
    on all cells and the first ``own_ps``.
    """
    cells = small_cells(n_cells)
    chosen = cells[:: max(1, n_cells // sample)]
    relaxation = RelaxationProtocol(maximum_force_eV_per_A=0.08, relax_cell=False)
    engine = load_engine("chgnet")
    clock = clock_for(engine.device)
    one_at_a_time = {
        variant: _one_at_a_time(variant, engine.device, chosen, relaxation, md_ps, sample_ps)
        for variant in ("stock", "fast")
    }
    start = clock()
    done = relax_together(cells, engine, relaxation)
    relaxing = clock() - start
    start = clock()
    run_dynamics_together([r.atoms for r in done], engine, _short(own_ps), TEMPERATURE_K, range(n_cells))
    moving = clock() - start
    batched = (relaxing + moving * md_ps / own_ps) / n_cells
    sizes = [len(atoms) for atoms in cells]
    return {
        "n_cells": n_cells,
        "smallest": min(sizes),
        "largest": max(sizes),
        "md_ps": md_ps,
        "own_ps": own_ps,
        "sample": len(chosen),
        "sample_ps": sample_ps,
        "relaxing_s": relaxing,
        "moving_s": moving,
        "device": engine.device,
        "stock_cells_per_hour": 3600 / one_at_a_time["stock"],
        "single_cells_per_hour": 3600 / one_at_a_time["fast"],
        "cells_per_hour": 3600 / batched,
        "ratio": one_at_a_time["stock"] / batched,
    }


def clock_for(device: str) -> Callable[[], float]:
    """Give the clock that tells what work on a device takes: a processor waits while a GPU computes."""
    return time.process_time if device == "cpu" else time.perf_counter


def _one_at_a_time(
    variant: str,
    device: str,
    cells: list[Atoms],
    relaxation: RelaxationProtocol,
    md_ps: float,
    sample_ps: float,
) -> float:
    """Give the seconds a cell, its dynamics scaled from their first part."""
    calculator = load_calculator("chgnet", variant=variant, device=device)  # type: ignore[arg-type]
    clock = clock_for(device)
    start = clock()
    relaxed = [relax_structure(atoms, calculator, relaxation).atoms for atoms in cells]
    relaxing = clock() - start
    start = clock()
    for seed, atoms in enumerate(relaxed):
        with tempfile.TemporaryDirectory() as folder:
            run_molecular_dynamics(atoms, calculator, _short(sample_ps), TEMPERATURE_K, seed, Path(folder))
    moving = clock() - start
    return (relaxing + moving * md_ps / sample_ps) / len(cells)


def _short(length_ps: float) -> MolecularDynamicsProtocol:
    return MolecularDynamicsProtocol(
        time_step_fs=2.0, frame_interval_fs=20.0, equilibration_ps=0.0, production_ps=length_ps
    )
