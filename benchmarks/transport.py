"""Transport: 5000 frames of 200 atoms with 64 mobile ions, against the tools of the field.

Each route runs in a process of its own with one thread, once on a short trajectory, so that imports and
compilers are not counted, and then on the long one. Seconds are CPU seconds, memory the largest of the whole
process. What each does: this platform everything from unwrapping to density (curves of all species,
diffusivity with interval and gates, tensor, planes, axes, charge diffusivity and Haven ratio, density), its
jumps sites, visits, jumps, network and volumes besides; pymatgen-analysis-diffusion structures and its
analyzer; kinisi displacements at 100 lags and its posterior; GEMDAT its tracer diffusivity and density, its
jumps the transitions between the same sites. Tools that are not installed are named.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.comparison import Comparison, Result, less, limited
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.transport.synthetic import uncorrelated_hops, vibrations

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from rich.console import Console

FRAMES, IONS, FRAMEWORK, EDGE = 5000, 64, 136, 6
STEP_PS, HOP_A = 0.1, 2.0
WARM_UP_FRAMES = 400
PLATFORM, PLATFORM_JUMPS = "this platform", "this platform: jumps"
GROWTH = (2500, 5000, 10000, 20000)


def run(console: Console, *, quick: bool = False) -> Result:
    """Time every route at 5000 frames, and this platform at several lengths.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        400 frames instead of 5000, no growth, no bars.

    Returns
    -------
    Result
        Seconds and memory of each route, growth with the number of frames.
    """
    frames = WARM_UP_FRAMES if quick else FRAMES
    routes = {}
    for name in ROUTES:
        routes[name] = _measured(name, frames)
        console.print(f"  {name}: {routes[name]}")
    details: dict[str, Any] = {"routes": routes}
    comparisons = _against(routes, f", {frames} frames of {IONS + FRAMEWORK} atoms")
    if not quick:
        ours, jumps = routes[PLATFORM], routes[PLATFORM_JUMPS]
        growth = {length: _measured(PLATFORM, length)["seconds"] for length in GROWTH}
        details["growth_s"] = growth
        comparisons += [
            limited("diffusivity to Haven ratio and density", "s", ours["seconds"], 2.0),
            limited("largest memory of that process", "MB", ours["peak_MB"], 500.0),
            limited("sites and jumps besides", "s", jumps["seconds"], 2.0),
            limited("growth of the time from 5,000 to 20,000 frames", "1", growth[20000] / growth[5000], 5.0),
        ]
    return Result(comparisons, details)


def _against(routes: dict[str, dict[str, Any]], size: str) -> list[Comparison]:
    """Set every peer beside this platform's route to the same."""
    comparisons = []
    for name, found in routes.items():
        if name in (PLATFORM, PLATFORM_JUMPS):
            continue
        jumps = name.endswith(": jumps")
        ours = routes[PLATFORM_JUMPS if jumps else PLATFORM]["seconds"]
        what = ("sites and jumps" if jumps else "diffusivity and density") + size
        if "error" in found:
            comparisons.append(Comparison(what, "s", ours, f"{name} ({found['error']})"))
        else:
            comparisons.append(less(what, "s", ours, name, found["seconds"]))
    return comparisons


def _measured(name: str, frames: int) -> dict[str, Any]:
    """Run one route in a process of its own.

    Raises
    ------
    RuntimeError
        If this platform's own route fails; a peer that fails is reported in ``error``.
    """
    package = ROUTES[name][1]
    if package is not None and find_spec(package) is None:
        return {"error": "not installed"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.transport", name, str(frames)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
    )
    if done.returncode == 0:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    error = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if package is None:
        raise RuntimeError(f"{name}: {error}")
    return {"error": error}


def make(frames: int, seed: int = 0) -> Trajectory:
    """Return a wrapped trajectory of ions that hop between 216 sites, five jumps an ion in 5000 frames."""
    generator = np.random.default_rng(seed)
    moved, _ = uncorrelated_hops(1, IONS, frames, 5 * IONS * frames / FRAMES, generator, HOP_A)
    sites = np.array(list(np.ndindex(EDGE, EDGE, EDGE)))[generator.permutation(EDGE**3)[:IONS]]
    mobile = HOP_A * (sites + 0.25) + moved[0] + vibrations((frames, IONS, 3), 0.15, 3.0, generator)
    places = EDGE * HOP_A * generator.random((FRAMEWORK, 3))
    framework = places + vibrations((frames, FRAMEWORK, 3), 0.1, 3.0, generator)
    edge = EDGE * HOP_A
    return Trajectory(
        np.concatenate([mobile, framework], axis=1) % edge,
        np.eye(3) * edge,
        ("Li",) * IONS + ("S",) * FRAMEWORK,
        STEP_PS * np.arange(frames),
        unwrapped=False,
    )


def sites_of() -> Structure:
    """Return the 216 sites as a structure."""
    from pymatgen.core import Lattice, Structure

    sites = (np.array(list(np.ndindex(EDGE, EDGE, EDGE))) + 0.25) / EDGE
    return Structure(Lattice.cubic(EDGE * HOP_A), ["Li"] * len(sites), sites)


def platform(trajectory: Trajectory) -> None:
    """Do everything that the issue counts: parts 2 to 5 and the density."""
    from sse_screen.transport.analysis import analyze_transport
    from sse_screen.transport.density import aligned_fractional_positions, probability_density

    analyze_transport([trajectory], "Li", hop_distance_A=HOP_A, temperature_K=600.0)
    mobile, framework = trajectory.indices("Li"), trajectory.indices("S")
    fractional = aligned_fractional_positions(trajectory.positions, trajectory.cells, mobile, framework)
    probability_density(fractional, np.asarray(trajectory.cells[0]))


def platform_jumps(trajectory: Trajectory) -> None:
    """Find sites, visits, jumps, network and volumes (and the density again, which sites need)."""
    from sse_screen.transport.site_analysis import analyse_sites

    analyse_sites([trajectory], "Li", structure=sites_of())


def with_pymatgen(trajectory: Trajectory) -> None:
    """Build the structures and run DiffusionAnalyzer with its defaults."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    lattice = Lattice(trajectory.cells[0])
    structures = [
        Structure(lattice, trajectory.species, frame, coords_are_cartesian=True)
        for frame in trajectory.positions
    ]
    DiffusionAnalyzer.from_structures(structures, "Li", 600.0, round(STEP_PS * 1000), 1).get_summary_dict()


def with_kinisi(trajectory: Trajectory) -> None:
    """Parse at 100 lags and sample the posterior."""
    import scipp
    from ase import Atoms
    from kinisi.analyze import DiffusionAnalyzer

    images = [
        Atoms(trajectory.species, positions=frame, cell=cell, pbc=True)
        for frame, cell in zip(trajectory.positions, trajectory.cells, strict=True)
    ]
    lags = np.unique(np.round(np.geomspace(1, 0.7 * trajectory.n_frames, 100))) * STEP_PS
    found = DiffusionAnalyzer.from_ase(
        images,
        specie="Li",
        time_step=STEP_PS * scipp.Unit("ps"),
        step_skip=1 * scipp.units.dimensionless,
        dt=scipp.array(dims=["time interval"], values=lags, unit="ps"),
        progress=False,
    )
    found.diffusion(start_dt=float(lags[len(lags) // 2]) * scipp.Unit("ps"), progress=False)


def _gemdat(trajectory: Trajectory) -> Any:
    """Return GEMDAT's trajectory."""
    from gemdat import Trajectory as GemdatTrajectory
    from pymatgen.core import Element

    return GemdatTrajectory(
        species=[Element(symbol) for symbol in trajectory.species],
        coords=trajectory.positions @ np.linalg.inv(trajectory.cells[0]),
        lattice=np.asarray(trajectory.cells[0]),
        time_step=STEP_PS * 1e-12,
        metadata={"temperature": 600.0},
    )


def with_gemdat(trajectory: Trajectory) -> None:
    """Compute tracer diffusivity and density."""
    from gemdat.metrics import TrajectoryMetrics

    mobile = _gemdat(trajectory).filter("Li")
    TrajectoryMetrics(mobile).tracer_diffusivity(dimensions=3)
    mobile.to_volume(resolution=0.2)


def gemdat_jumps(trajectory: Trajectory) -> None:
    """Find the transitions between the same sites, and the jumps."""
    from gemdat.jumps import Jumps

    transitions = _gemdat(trajectory).transitions_between_sites(
        sites=sites_of(), floating_specie="Li", site_radius=0.9
    )
    Jumps(transitions).matrix()


ROUTES: dict[str, tuple[Callable[[Trajectory], None], str | None]] = {
    PLATFORM: (platform, None),
    PLATFORM_JUMPS: (platform_jumps, None),
    "pymatgen-analysis-diffusion": (with_pymatgen, "pymatgen.analysis.diffusion"),
    "kinisi": (with_kinisi, "kinisi"),
    "GEMDAT": (with_gemdat, "gemdat"),
    "GEMDAT: jumps": (gemdat_jumps, "gemdat"),
}


def main(name: str, frames: int) -> None:
    """Warm one route up, time it, and write seconds and peak memory as JSON."""
    route = ROUTES[name][0]
    route(make(WARM_UP_FRAMES))
    trajectory = make(frames)
    start = time.process_time()
    route(trajectory)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    sys.stdout.write(json.dumps({"seconds": round(seconds, 3), "peak_MB": round(peak, 1)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
