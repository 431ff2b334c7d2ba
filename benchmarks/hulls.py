"""Energies above the hull of many phases, against pymatgen's PhaseDiagram; CPU seconds of this process."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from rich.console import Console

from benchmarks.comparison import Comparison, Result, less, limited
from sse_screen.thermodynamics.hull import energies_above_hull, lower_hull

ELEMENTS = ("Li", "P", "S", "Cl", "Ge", "O")
SIZES = ((3, 1000), (4, 1000), (5, 1000))


def run(console: Console, *, quick: bool = False) -> Result:
    """Compare systems of several elements.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Forty phases instead of a thousand.

    Returns
    -------
    Result
        Seconds of both and the largest difference of the energies.
    """
    comparisons: list[Comparison] = []
    details: dict[str, Any] = {}
    for n_elements, n_entries in SIZES:
        n_entries = 40 if quick else n_entries
        amounts, energies = random_system(n_elements, n_entries)
        fractions = amounts / amounts.sum(axis=1, keepdims=True)
        energies_above_hull(fractions, energies, lower_hull(fractions, energies))  # imports
        start = time.process_time()
        ours = energies_above_hull(fractions, energies, lower_hull(fractions, energies))
        middle = time.process_time()
        theirs = with_pymatgen(amounts, energies)
        end = time.process_time()
        what = f"{n_entries} phases of {n_elements} elements"
        difference = float(np.abs(ours - theirs).max())
        comparisons.append(less(what, "s", middle - start, "pymatgen", end - middle))
        comparisons.append(limited(f"{what}: largest difference", "eV/atom", difference, 1e-9))
        console.print(f"  {what}: {middle - start:.3f} s, pymatgen {end - middle:.2f} s")
        details[what] = {"ours_s": middle - start, "pymatgen_s": end - middle, "difference": difference}
    return Result(comparisons, details)


def random_system(n_elements: int, n_entries: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw compositions with the elements among them, and formation energies that favour mixing."""
    generator = np.random.default_rng(n_elements)
    amounts = np.concatenate(
        [np.eye(n_elements, dtype=np.int64), generator.integers(0, 9, (n_entries, n_elements)) + 0]
    )
    amounts = amounts[amounts.sum(axis=1) > 0][:n_entries]
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    energies = -3.0 * (1 - (fractions**2).sum(axis=1)) + generator.normal(0, 0.05, len(amounts))
    energies[:n_elements] = 0.0
    return amounts, energies


def with_pymatgen(amounts: NDArray[np.int64], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Build the phase diagram and ask for every entry."""
    entries = [
        PDEntry(
            Composition({el: int(n) for el, n in zip(ELEMENTS, row, strict=False) if n}), energy * row.sum()
        )
        for row, energy in zip(amounts, energies, strict=True)
    ]
    diagram = PhaseDiagram(entries)
    return np.array([diagram.get_e_above_hull(entry) for entry in entries])
