"""Labelled structures with chosen numbers, for the tests of datasets."""

import numpy as np

from sse_screen.training.labelled import LabelledStructure, LevelOfTheory

LEVEL = LevelOfTheory(code="ase", functional="toy", settings={"depth": 1.0})


def frame(seed, parent="p", source=None, species=("Li", "Li", "S"), energy_eV=None, forces=None, **changes):
    """A rattled anti-fluorite-like cell of three atoms."""
    rng = np.random.default_rng(seed)
    positions = np.array([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]])[: len(species)]
    fields = {
        "species": tuple(species),
        "positions": positions + rng.normal(scale=0.05, size=positions.shape),
        "cell": np.eye(3) * 4.0,
        "energy_eV": float(-3.0 * len(species) + rng.normal(scale=0.05)) if energy_eV is None else energy_eV,
        "forces_eV_per_A": rng.normal(size=positions.shape) if forces is None else forces,
        "stress_eV_per_A3": np.eye(3) * 0.01,
        "level_of_theory": LEVEL,
        "parent_configuration": parent,
        "source": source or f"outputs/{parent} frame {seed}",
    }
    return LabelledStructure(**(fields | changes))
