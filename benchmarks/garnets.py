"""Orderings of a garnet of 192 atoms on one GPU: configurations a day, against a published study on a V100.

Each configuration is relaxed at fixed cell to 0.08 eV/Å and run twice for 6 ps at constant energy with steps
of 1 fs. A batch is relaxed whole; the first 0.1 ps of its dynamics are run and scaled. Without a GPU the
benchmark is skipped; a quick run takes a small crystal and whatever device there is.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor
from rich.console import Console

from benchmarks.comparison import Comparison, Result, more
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.batched import relax_together, run_dynamics_together
from sse_screen.dynamics.relaxation import RelaxationResult
from sse_screen.potentials import load_engine
from sse_screen.structures.prototypes import build_prototype

SECONDS_PER_DAY = 86400.0
PUBLISHED_S = 450.0  # one relaxation and two runs on one V100: 65,958 configurations in about 344 GPU-days
RUNS, RUN_PS = 2, 6.0
TEMPERATURE_K = 300.0
PEER = "published: 450 s a configuration on one V100"


def run(console: Console, *, quick: bool = False) -> Result:
    """Count configurations a GPU-day.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Two copies of a small crystal and 10 steps, on the processor when there is no GPU.

    Returns
    -------
    Result
        Configurations a GPU-day; empty when skipped.
    """
    if not torch.cuda.is_available() and not quick:
        reason = "there is no GPU here"
        console.print(f"  skipped: {reason}")
        return Result([], {"skipped": reason})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = {"name": "li3n", "n_cells": 2, "part_ps": 0.01} if quick else {}
    found = configurations_per_day(device, **sizes)
    ours = SECONDS_PER_DAY / found["seconds_per_configuration"]
    what = (
        f"configurations of {found['n_atoms']} atoms a day on {found['processor']}: relaxation and "
        f"{RUNS} runs of {RUN_PS:g} ps (run: {found['n_cells']} cells, {found['part_ps']:g} ps; "
        "the rest is scaled)"
    )
    console.print(f"  {what}: {ours:.0f}")
    if quick:  # another crystal, and perhaps another kind of device: no comparison
        return Result([Comparison(what, "1/day", ours)], found)
    return Result([more(what, "1/day", ours, PEER, SECONDS_PER_DAY / PUBLISHED_S)], found)


def configurations_per_day(
    device: str, name: str = "llzo-tetragonal", n_cells: int = 42, part_ps: float = 0.1
) -> dict[str, Any]:
    """Time a batch of distorted copies of a crystal, by the clock on the wall."""
    crystal = AseAtomsAdaptor.get_atoms(build_prototype(name), msonable=False)
    cells = [_rattled(crystal, seed) for seed in range(n_cells)]
    engine = load_engine("chgnet", device=device)
    short = RelaxationProtocol(maximum_force_eV_per_A=0.08, relax_cell=False, maximum_steps=1)
    relax_together(cells, engine, short)  # compiles, and fills what is kept between evaluations
    start = time.perf_counter()
    protocol = RelaxationProtocol(maximum_force_eV_per_A=0.08, relax_cell=False)
    done = relax_together(cells, engine, protocol)
    relaxing_s = time.perf_counter() - start
    relaxed = [result.atoms for result in done if isinstance(result, RelaxationResult)]
    steps = MolecularDynamicsProtocol(
        ensemble="nve",
        time_step_fs=1.0,
        frame_interval_fs=5.0,
        equilibration_ps=0.0,
        production_ps=part_ps,
        store_velocities=True,
    )
    start = time.perf_counter()
    run_dynamics_together(relaxed, engine, steps, TEMPERATURE_K, range(len(relaxed)))
    moving_s = time.perf_counter() - start
    whole_s = relaxing_s + moving_s * RUNS * RUN_PS / part_ps
    return {
        "processor": torch.cuda.get_device_name() if device == "cuda" else "the processor",
        "crystal": name,
        "n_atoms": len(crystal),
        "n_cells": n_cells,
        "n_relaxed": len(relaxed),
        "part_ps": part_ps,
        "relaxing_s": relaxing_s,
        "moving_s": moving_s,
        "seconds_per_configuration": whole_s / n_cells,
    }


def _rattled(crystal: Atoms, seed: int) -> Atoms:
    atoms = crystal.copy()
    atoms.rattle(0.06, seed=seed)
    return atoms
