"""Orderings of disordered crystals: all ratios 24d:96h of cubic LLZO, and bsym where it can follow."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from pymatgen.core import Structure
from rich.console import Console

from benchmarks.comparison import Comparison, Result, less, limited, peak_memory_MB
from sse_screen.structures.orderings import OrderingSpace
from sse_screen.structures.prototypes import build_prototype

EXPECTED = {
    (13, 43): (1_056, 11),
    (12, 44): (426_024, 4_493),
    (11, 45): (6_344_640, 66_090),
    (10, 46): (35_417_088, 369_436),
    (9, 47): (86_900_736, 905_216),
    (8, 48): (80_019_456, 835_190),
}
BARS_s = {(12, 44): 2.0, (11, 45): 1.0}
TOTAL_BAR_s = 15.0
MEMORY_BAR_MB = 300.0


def run(console: Console, *, quick: bool = False) -> Result:
    """Count and enumerate every ratio of the published study, then set a smaller case against bsym.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Two ratios, and fewer ions for bsym.

    Returns
    -------
    Result
        Seconds, peak memory, and whether every number is the expected one.
    """
    crystal = build_prototype("llzo-cubic-disordered")
    comparisons: list[Comparison] = []
    rows: list[dict[str, Any]] = []
    for ratio, expected in list(EXPECTED.items())[: 2 if quick else None]:
        row = _one_ratio(crystal, ratio)
        rows.append(row)
        if (row["labelled"], row["unique"]) != expected:
            raise RuntimeError(f"24d:96h = {ratio}: {row}, expected {expected}")
        name = f"LLZO 24d:96h = {ratio[0]}:{ratio[1]}, {row['unique']} orderings"
        console.print(f"  {name}: {row['enumerated_s']:.2f} s")
        if ratio in BARS_s:
            comparisons.append(limited(name, "s", row["enumerated_s"], BARS_s[ratio]))
    if not quick:
        total_s = sum(row["enumerated_s"] for row in rows)
        comparisons.append(limited("all six ratios, 2,180,436 orderings", "s", total_s, TOTAL_BAR_s))
    memory_MB = peak_memory_MB()
    comparisons.append(limited("peak memory of the process", "MB", memory_MB, MEMORY_BAR_MB))
    ions = 2 if quick else 4
    ours_s, bsym_s, unique = against_bsym(crystal, ions)
    comparisons.append(less(f"{ions} ions on 24d of LLZO, {unique} orderings", "s", ours_s, "bsym", bsym_s))
    return Result(comparisons, {"ratios": rows, "bsym_s": bsym_s, "ours_s": ours_s, "peak_MB": memory_MB})


def _one_ratio(crystal: Structure, ratio: tuple[int, int]) -> dict[str, Any]:
    begin = time.perf_counter()
    space = OrderingSpace(crystal, dict(zip(("24d", "96h"), ratio, strict=True)), 2.0)
    numbers = space.count()
    counted_s = time.perf_counter() - begin
    begin = time.perf_counter()
    unique = labelled = 0
    for sets, degeneracies in space.enumerate_sets():
        unique += len(sets)
        labelled += int(degeneracies.sum())
    enumerated_s = time.perf_counter() - begin
    if (labelled, unique) != (numbers.labelled, numbers.unique):
        raise RuntimeError(f"24d:96h = {ratio}: {unique} enumerated, {numbers.unique} counted")
    return {
        "ratio": ratio,
        "labelled": labelled,
        "unique": unique,
        "counted_s": counted_s,
        "enumerated_s": enumerated_s,
    }


def against_bsym(crystal: Structure, ions: int) -> tuple[float, float, int]:
    """Enumerate some ions on the 24d sites, which bsym can do in reasonable time, and compare degeneracies.

    Parameters
    ----------
    crystal : Structure
        Disordered cubic LLZO.
    ions : int
        Lithium ions on the 24 sites.

    Returns
    -------
    ours_s, bsym_s, unique : float, float, int
        CPU seconds of both, and the orderings that both found.
    """
    from bsym.interface.pymatgen import unique_structure_substitutions

    start = time.process_time()
    space = OrderingSpace(crystal, {"24d": ions, "96h": 0}, check_charge=False)
    own = Counter(ordering.degeneracy for ordering in space.enumerate())
    ours_s = time.process_time() - start
    sites = next(pool.sites for pool in space.pools if pool.label == "24d")
    keep = [i for i, site in enumerate(crystal) if site.is_ordered or i in sites]
    species = ["Xe" if i in sites else crystal[i].specie for i in keep]
    marked = Structure(crystal.lattice, species, crystal.frac_coords[keep])
    start = time.process_time()
    found = unique_structure_substitutions(marked, "Xe", {"Li": ions, "He": 24 - ions}, atol=1e-3)
    bsym_s = time.process_time() - start
    theirs = Counter(f.number_of_equivalent_configurations for f in found)
    if own != theirs:
        raise RuntimeError(f"bsym finds other orderings: {theirs}, we {own}")
    return ours_s, bsym_s, sum(own.values())
