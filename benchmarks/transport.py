"""Transport: 5000 frames of 200 atoms with 64 mobile ions, against the tools of the field.

Times are CPU times of this process with one thread. What each tool does: this platform everything
(unwrapping, displacement curves of all species, diffusivity with interval and gates, tensor, planes, axes,
charge diffusivity, density); pymatgen-analysis-diffusion structures and its analyzer; kinisi displacements
at 100 lags and its posterior; GEMDAT its trajectory, tracer diffusivity and density. Tools that are not
installed are left out and named.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console

from benchmarks.comparison import Comparison, Result, less, limited
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.transport.analysis import analyze_transport
from sse_screen.transport.density import aligned_fractional_positions, probability_density
from sse_screen.transport.site_analysis import analyse_sites
from sse_screen.transport.synthetic import as_trajectory, uncorrelated_hops, vibrations

FRAMES, IONS, FRAMEWORK = 5000, 64, 136
STEP_PS, HOP_A, EDGE_A = 0.1, 2.0, 14.0


def run(console: Console, *, quick: bool = False) -> Result:
    """Time this platform at several lengths, and the other tools at 5000 frames.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        300 frames instead of 5000, no growth.

    Returns
    -------
    Result
        CPU seconds of each route, growth with the number of frames, peak memory in MB.
    """
    length = 300 if quick else FRAMES
    details: dict[str, Any] = {"growth_s": {}}
    platform(make(300))  # compiling and imports are not what is compared
    with_jumps(make(300))
    for frames in (length,) if quick else (2500, 5000, 10000, 20000):
        details["growth_s"][str(frames)] = _timed(platform, make(frames))
    details["peak_MB_of_process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    ours = details["growth_s"][str(length)]
    trajectory = make(length)
    details["jumps_s"] = _timed(with_jumps, trajectory)
    what = f"diffusivity and density, {length} frames of {IONS + FRAMEWORK} atoms"
    comparisons = []
    for name, route in (
        ("pymatgen-analysis-diffusion", with_pymatgen),
        ("kinisi", with_kinisi),
        ("GEMDAT", with_gemdat),
    ):
        try:
            details[name] = _timed(route, trajectory)
        except ImportError as error:
            details[name] = f"not installed: {error}"
            comparisons.append(Comparison(what, "s", ours, f"{name} (not installed)"))
            continue
        comparisons.append(less(what, "s", ours, name, details[name]))
        console.print(f"  {name}: {details[name]:.2f} s, this platform {ours:.2f} s")
    comparisons.append(limited("sites and jumps of the same run besides", "s", details["jumps_s"], 2.0))
    if not quick:
        growth = details["growth_s"]["20000"] / details["growth_s"]["5000"]
        comparisons.append(limited("growth of the time from 5,000 to 20,000 frames", "1", growth, 5.0))
    return Result(comparisons, details)


def make(frames: int, seed: int = 0) -> Trajectory:
    """Return a wrapped hopping trajectory with five jumps an ion in 5000 frames."""
    generator = np.random.default_rng(seed)
    moved, _ = uncorrelated_hops(1, IONS, frames, 5 * IONS * frames / FRAMES, generator, HOP_A)
    moved = moved[0] + vibrations((frames, IONS, 3), 0.15, 3.0, generator)
    return as_trajectory(
        moved, STEP_PS, generator, framework_species=("S",) * FRAMEWORK, edge_A=EDGE_A, wrapped=True
    )


def platform(trajectory: Trajectory) -> None:
    """Do everything that the issue counts: parts 2 to 5 and the density."""
    analyze_transport([trajectory], "Li", hop_distance_A=HOP_A, temperature_K=600.0)
    mobile, framework = trajectory.indices("Li"), trajectory.indices("S")
    fractional = aligned_fractional_positions(trajectory.positions, trajectory.cells, mobile, framework)
    probability_density(fractional, np.asarray(trajectory.cells[0]))


def with_jumps(trajectory: Trajectory) -> None:
    """Find sites, visits, jumps and their network from the density alone, as ``analyse_sites`` does."""
    analyse_sites([trajectory], "Li")


def with_pymatgen(trajectory: Trajectory) -> None:
    """Build the structures and run DiffusionAnalyzer with its defaults."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    lattice = Lattice(trajectory.cells[0])
    structures = [
        Structure(lattice, trajectory.species, frame, coords_are_cartesian=True)
        for frame in trajectory.positions
    ]
    DiffusionAnalyzer.from_structures(structures, "Li", 600.0, STEP_PS * 1000, 1).get_summary_dict()


def with_kinisi(trajectory: Trajectory) -> None:
    """Parse at 100 lags and sample the posterior."""
    import scipp
    from ase import Atoms
    from kinisi.analyze import DiffusionAnalyzer

    images = [
        Atoms(trajectory.species, positions=frame, cell=cell, pbc=True)
        for frame, cell in zip(trajectory.positions, trajectory.cells, strict=True)
    ]
    lags = np.unique(np.round(np.geomspace(1, 0.7 * len(images), 100))) * STEP_PS
    found = DiffusionAnalyzer.from_ase(
        images,
        specie="Li",
        time_step=STEP_PS * scipp.Unit("ps"),
        step_skip=1 * scipp.units.dimensionless,
        dt=scipp.array(dims=["time interval"], values=lags, unit="ps"),
        progress=False,
    )
    found.diffusion(start_dt=float(lags[len(lags) // 2]) * scipp.Unit("ps"), progress=False)


def with_gemdat(trajectory: Trajectory) -> None:
    """Build the trajectory, tracer diffusivity and density."""
    from gemdat import Trajectory as GemdatTrajectory
    from gemdat.metrics import TrajectoryMetrics
    from pymatgen.core import Element

    fractional = trajectory.positions @ np.linalg.inv(trajectory.cells[0])
    found = GemdatTrajectory(
        species=[Element(symbol) for symbol in trajectory.species],
        coords=fractional,
        lattice=np.asarray(trajectory.cells[0]),
        time_step=STEP_PS * 1e-12,
        metadata={"temperature": 600.0},
    )
    mobile = found.filter("Li")
    TrajectoryMetrics(mobile).tracer_diffusivity(dimensions=3)
    mobile.to_volume(resolution=0.2)


def _timed(route: Callable[[Trajectory], None], trajectory: Trajectory) -> float:
    """Return the CPU seconds of one run."""
    start = time.process_time()
    route(trajectory)
    return time.process_time() - start
