"""Worker processes through the whole platform: throughput of two, memory of long runs, stored trajectories.

Throughput is steps a second by the clock on the wall, from the first run's start to the last one's end, of
real jobs: FireWorks, outbox, upload and document included. Memory is the largest of a process that does
nothing but one run. All with CHGNet and one thread a process, on a database of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from fireworks import LaunchPad
from rich.console import Console

from benchmarks.comparison import Result, limited, more
from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.stores import connect, launchpad
from sse_screen.dynamics.trajectory import Trajectory, concatenate
from sse_screen.dynamics.trajectory_file import read_trajectory_file, stored_size, trajectory_blocks
from sse_screen.settings import Settings, get_settings, load_settings
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan

_RUN = """
import json, resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from pymatgen.io.ase import AseAtomsAdaptor
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.potentials import load_calculator
from sse_screen.structures.prototypes import build_prototype
name, n_steps, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
atoms = AseAtomsAdaptor.get_atoms(build_prototype(name), msonable=False)
steps = MolecularDynamicsProtocol(equilibration_ps=0.2, production_ps=n_steps * 0.002 - 0.2)
result = run_molecular_dynamics(atoms, load_calculator("chgnet", device="cpu"), steps, 900.0, 1, folder)
assert result.n_steps == n_steps
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(console: Console, *, quick: bool = False) -> Result:
    """Measure throughput, memory and storage.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Small crystals and few steps: does it run.

    Returns
    -------
    Result
        Ratio of two workers to one, of memory at many steps to few, and what a stored trajectory takes.
    """
    result = Result()
    _throughput(result, console, quick)
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as folder:
        _memory(result, console, Path(folder), quick)
        _storage(result, console, Path(folder), quick)
    return result


def _throughput(result: Result, console: Console, quick: bool) -> None:
    name, production_ps, n_runs = ("li3n", 0.2, 4) if quick else ("lgps", 0.6, 8)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as folder:
        settings = load_settings(data_directory=Path(folder), minimum_free_space_gb=0)
        server = EmbeddedServer.from_settings(settings)
        server.start()
        os.environ.update(settings.environment())
        get_settings.cache_clear()
        try:
            _steps_per_second(
                settings, name, 0.1, 1, 1, seed=1
            )  # relaxes the crystal, which counts in neither
            one, one_going = _steps_per_second(settings, name, production_ps, n_runs, 1, seed=2)
            console.print(f"  one worker: {one:.1f} steps/s")
            two, two_going = _steps_per_second(settings, name, production_ps, n_runs, 2, seed=3)
            console.print(f"  two workers: {two:.1f} steps/s; load of the machine before: {load:.1f}")
        finally:
            server.stop()
    what = f"steps of {name} by two workers, platform included (load before: {load:.1f})"
    result.comparisons.append(more(what, "1/s", two, "one worker", one, None if quick else 1.8))
    # a worker's first run holds imports, weights and kernels too: as many for eight runs as for four
    result.comparisons.append(
        more("the same after each worker's first run", "1/s", two_going, "one worker", one_going)
    )
    figures = {"one": one, "two": two, "one_going": one_going, "two_going": two_going}
    result.details["workers"] = figures | {"load_average": load, "runs": n_runs}


def _steps_per_second(
    settings: Settings, name: str, production_ps: float, n_runs: int, n_workers: int, seed: int
) -> tuple[float, float]:
    """Give the steps a second of all, and those of workers that have their first run behind them."""
    dynamics: dict[str, Any] = {
        "temperatures_K": [900],
        "replicas": n_runs,
        "minimum_length_A": 3.0,
        "protocol": {"equilibration_ps": 0.1, "production_ps": production_ps},
    }
    content = {
        "name": f"seed-{seed}",
        "seed": seed,
        "molecular_dynamics": dynamics,
        "materials": [{"prototype": name}],
    }
    pad, database = launchpad(settings), connect(settings)
    submit_plan(plan_campaign(Campaign.model_validate(content)), database, pad)
    if launch_workers(settings, pad, n_workers, lambda _counts: None):
        raise RuntimeError("a run of the benchmark failed")
    query = {"metadata.campaign": f"seed-{seed}", "output.kind": "molecular_dynamics"}
    steps = sum(found["output"]["n_steps"] for found in database.outputs.find(query))
    database.client.close()
    runs = _runs(pad, f"seed-{seed}")
    ends = [end for worker in runs.values() for end in worker]
    whole_s = (max(end for _, end in ends) - min(start for start, _ in ends)).total_seconds()
    going = 0.0
    for worker in runs.values():
        first, last = min(end for _, end in worker), max(end for _, end in worker)
        going += (len(worker) - 1) / max((last - first).total_seconds(), 1e-9)
    return steps / whole_s, going * steps / n_runs


def _runs(pad: LaunchPad, campaign: str) -> dict[str, list[tuple[datetime, datetime]]]:
    """Start and end of each worker's runs."""
    jobs = pad.fireworks.find({"spec.campaign": campaign, "name": {"$regex": " run "}}, {"launches": 1})
    ids = [launch for job in jobs for launch in job["launches"]]
    runs: dict[str, list[tuple[datetime, datetime]]] = {}
    for launch in pad.launches.find({"launch_id": {"$in": ids}}):
        history = {state["state"]: state["created_on"] for state in launch["state_history"]}
        start, end = (datetime.fromisoformat(str(history[state])) for state in ("RUNNING", "COMPLETED"))
        runs.setdefault(launch["fworker"]["name"], []).append((start, end))
    return runs


def _memory(result: Result, console: Console, folder: Path, quick: bool) -> None:
    peaks = {}
    for n_steps in (200, 400) if quick else (1_000, 20_000):
        arguments = [sys.executable, "-c", _RUN, "li3n", str(n_steps), str(folder / str(n_steps))]
        ran = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
        peaks[n_steps] = int(ran.stdout) / 1024
        console.print(f"  memory after {n_steps} steps: {peaks[n_steps]:.1f} MB")
    few, many = peaks.values()
    long, short = max(peaks), min(peaks)
    what = f"memory at {long:,} steps over that at {short:,}"
    result.comparisons.append(limited(what, "", many / few, 1.05))
    result.details["memory_MB"] = peaks


def _storage(result: Result, console: Console, folder: Path, quick: bool) -> None:
    name, n_steps = ("li3n", 600) if quick else ("lgps", 4_000)
    subprocess.run(
        [sys.executable, "-c", _RUN, name, str(n_steps), str(folder / "stored")],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    path = folder / "stored" / "trajectory.h5"
    exact = concatenate([Trajectory.load(part) for part in sorted(path.parent.glob("segment_*.npz"))])
    size, stored = stored_size(path), read_trajectory_file(path)
    deviation = max(
        abs(_displacement(stored, lag) / _displacement(exact, lag) - 1) for lag in (1, 10, len(exact) // 2)
    )
    whole, streamed, part = _reading_times(path)
    speed = size.n_frames * size.n_atoms / whole
    console.print(
        f"  stored: {size.bytes_per_atom_and_frame:.2f} bytes an atom and frame, {speed:.3g}/s read"
    )
    per_atom = f"stored bytes an atom and frame, error ≤ {size.tolerance_A:g} Å"
    result.comparisons += [
        limited(per_atom, "byte", size.bytes_per_atom_and_frame, 6.0),
        limited("change of the mean squared displacement", "%", 100 * deviation, 0.1),
    ]
    result.details["storage"] = {
        "atoms": size.n_atoms,
        "frames": size.n_frames,
        "bytes_per_atom_and_frame": size.bytes_per_atom_and_frame,
        "atoms_and_frames_per_second_read_whole": speed,
        "atoms_and_frames_per_second_streamed": size.n_frames * size.n_atoms / streamed,
        "seconds_for_64_frames_in_the_middle": part,
    }


def _displacement(trajectory: Trajectory, lag: int) -> float:
    moved = trajectory.positions[lag:] - trajectory.positions[:-lag]
    return float(np.mean(np.sum(moved**2, axis=2)))


def _reading_times(path: Path) -> tuple[float, float, float]:
    """Seconds for the whole, for the whole in blocks, and for a chunk in the middle; best of five."""
    middle = stored_size(path).n_frames // 2

    def stream() -> None:
        """Read all, one block in memory at a time."""
        for _ in trajectory_blocks(path):
            pass

    tasks = (
        lambda: read_trajectory_file(path),
        stream,
        lambda: read_trajectory_file(path, middle, middle + 64),
    )
    best = []
    for task in tasks:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - started)
        best.append(min(seconds))
    return best[0], best[1], best[2]
