"""JSON of pymatgen's DiffusionAnalyzer."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from sse_screen.dynamics.readers.frames import ReaderError, ReadOptions, steps_between_frames, time_step
from sse_screen.dynamics.trajectory import Trajectory


def read(path: Path, options: ReadOptions) -> Trajectory:
    """Read the displacements that a DiffusionAnalyzer stored, with its time step and temperature.

    Positions are those of the stored structure plus the displacements, which have no drift left in them.

    Raises
    ------
    ReaderError
        If it is not such a file.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        content = json.load(file)
    if not isinstance(content, dict) or "displacements" not in content or "structure" not in content:
        raise ReaderError(f"{path}: no displacements and structure; not JSON of a DiffusionAnalyzer")
    structure = content["structure"]
    cell = np.array(structure["lattice"]["matrix"], dtype=float)
    fractional = np.array([site["abc"] for site in structure["sites"]], dtype=float)
    displacements = np.array(content["displacements"], dtype=float).transpose(1, 0, 2)
    n_frames = len(displacements)
    notes: list[str] = []
    step_fs = time_step(options, path, float(content["time_step"]), notes)
    step_fs *= steps_between_frames(options, path, float(content["step_skip"]), notes)
    cells: Any = cell
    if content.get("lattices") is not None and len(content["lattices"]) == n_frames:
        cells = np.array(content["lattices"], dtype=float)
    temperature = float(content["temperature"]) if content.get("temperature") else None
    trajectory = Trajectory(
        positions=fractional @ cell + displacements,
        cells=cells,
        species=tuple(_element(site) for site in structure["sites"]),
        times_ps=np.arange(n_frames) * step_fs / 1000,
        unwrapped=True,
        temperatures_K=None if temperature is None else np.full(n_frames, temperature),
        notes=tuple(notes),
    )
    return trajectory[options.start : options.stop : options.stride]


def _element(site: dict[str, Any]) -> str:
    """Return the element of a site without its oxidation state."""
    found = re.match(r"[A-Z][a-z]?", str(site["species"][0]["element"]))
    return found.group() if found else "X"
