"""Evaluations of one worker process and of two at once, by the clock on the wall."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from rich.console import Console

from benchmarks.comparison import Result, more

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


def run(console: Console, *, quick: bool = False) -> Result:
    """Compare two processes with one.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        One second each instead of ten.

    Returns
    -------
    Result
        Evaluations a second, and the load of the machine before, which explains a low ratio.
    """
    name = "lgps" if quick else "llzo-cubic"
    found = compare_workers(name, 1.0 if quick else 10.0)
    seconds, load = found["seconds"], found["load_average"]
    console.print(f"  load of the machine before: {load:.1f} of {found['n_cores']} cores")
    one, two = found["one"] / seconds, found["two"] / seconds
    what = f"evaluations of {name} by two processes (load before: {load:.1f})"
    return Result([more(what, "1/s", two, "one process", one, 1.8)], found)


def compare_workers(name: str, seconds: float) -> dict[str, Any]:
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
        "seconds": seconds,
    }
