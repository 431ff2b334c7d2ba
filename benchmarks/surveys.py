"""Submission of a survey of 1,000 crystals: read, filtered, sized, costed, and added to the LaunchPad."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from benchmarks.comparison import Result, limited
from sse_screen.database.embedded import EmbeddedServer
from sse_screen.settings import load_settings
from sse_screen.structures.prototypes import build_prototype

KINDS = (
    *("li3n", "lif", "licl", "libr", "li2o", "li2s", "li3ps4-gamma", "li6ps5cl", "li3ocl", "li3p"),
    *("li3ycl6", "li7ps6", "li3ybr6", "li3ps4-beta", "lgps"),
)
LIMIT_S = 30.0


def run(console: Console, *, quick: bool = False) -> Result:
    """Write the crystals, submit them by the command line.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Thirty crystals instead of a thousand.

    Returns
    -------
    Result
        Seconds by the clock on the wall and of the processor.
    """
    number = 30 if quick else 1000
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as folder:
        campaign = write_survey(Path(folder), number)
        console.print(f"  {number} crystals written")
        settings = load_settings(data_directory=Path(folder) / "data")
        server = EmbeddedServer.from_settings(settings)
        server.start()
        try:
            environment = os.environ | settings.environment()
            command = [sys.executable, "-m", "sse_screen.cli", "submit", str(campaign)]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            wall_s = time.monotonic() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        finally:
            server.stop()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    what = f"submission of {number} crystals"
    return Result(
        [limited(f"{what}, wall clock", "s", wall_s, LIMIT_S), limited(f"{what}, CPU", "s", cpu_s, LIMIT_S)],
        {"wall_s": wall_s, "cpu_s": cpu_s, "n_crystals": number},
    )


def write_survey(folder: Path, number: int) -> Path:
    """Write strained copies of the library's crystals as CIF files, and the campaign.

    Parameters
    ----------
    folder : Path
        Where to write.
    number : int
        How many crystals.

    Returns
    -------
    Path
        The campaign file.
    """
    generator = np.random.default_rng(0)
    crystals = folder / "crystals"
    crystals.mkdir()
    for i in range(number):
        crystal = build_prototype(KINDS[i % len(KINDS)])
        crystal.scale_lattice(crystal.volume * (0.9 + 0.2 * generator.random()))
        crystal.to(str(crystals / f"c{i:04d}.cif"))
    promote = {"minimum_conductivity_S_per_cm": 0.1}
    tiers = [{"temperatures_K": [1000], "promote": promote}, {"temperatures_K": [800, 1000, 1200]}]
    campaign = folder / "survey.yaml"
    campaign.write_text(
        yaml.safe_dump({"name": "thousand", "survey": {"crystals": "crystals", "tiers": tiers}})
    )
    return campaign
