"""Time and memory of counting and enumerating the orderings of cubic Li7La3Zr2O12.

Run `python benchmarks/orderings.py` from the root of the repository; it prints one row for every ratio
24d:96h of the published study and their sum, and ends with status 1 when a number is wrong or a bar missed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

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


def main() -> int:
    """Run all rows and return the exit status."""
    crystal = build_prototype("llzo-cubic-disordered")
    lines = ["24d:96h   labelled     unique    count/s  enumerate/s"]
    total_s, ok = 0.0, True
    for ratio, expected in EXPECTED.items():
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
        total_s += enumerated_s
        ok &= expected == (labelled, unique) == (numbers.labelled, numbers.unique)
        ok &= enumerated_s < BARS_s.get(ratio, TOTAL_BAR_s)
        name = f"{ratio[0]}:{ratio[1]}"
        lines.append(f"{name:8s}{labelled:11d}{unique:11d}{counted_s:11.2f}{enumerated_s:13.2f}")
    memory_MB = _peak_memory_MB()
    ok &= total_s < TOTAL_BAR_s and memory_MB < MEMORY_BAR_MB
    lines.append(f"all six: {total_s:.2f} s, {memory_MB:.0f} MB at most; {'passed' if ok else 'FAILED'}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if ok else 1


def _peak_memory_MB() -> float:
    """Give this program's own peak; getrusage would count the process that started it as well."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    sys.exit(main())
