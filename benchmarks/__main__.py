"""Run all benchmarks with their peers: ``python -m benchmarks [NAME ...] [--quick] [--output FILE]``.

Each runs in a process of its own, so that one that fails, or lacks its peer, stops no other.
Writes a table as text and everything as JSON, with machine and versions.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHMARKS = {
    "chgnet": "molecular dynamics with CHGNet, against atomate2 and the arithmetic floor",
    "batches": "many small cells, against the stock route one at a time",
    "garnets": "orderings of 192-atom garnets on a GPU, against a published figure; skipped without a GPU",
    "processes": "two worker processes against one",
    "workers": "worker processes through the whole platform",
    "transport": "diffusivity and jumps, against pymatgen-analysis-diffusion, kinisi, GEMDAT",
    "orderings": "orderings of disordered crystals, against bsym",
    "disorder": "submission and builders of 70,000 orderings",
    "hulls": "convex hulls, against pymatgen",
    "api": "answer times of the API at 100,000 documents",
    "builds": "builders that have nothing to do, at 20,000 runs",
    "surveys": "submission of a survey of 1,000 crystals",
}
_PACKAGES = (
    *("torch", "chgnet", "atomate2", "ase", "numba", "numpy", "scipy", "pymatgen", "pymongo", "fastapi"),
    *("pymatgen-analysis-diffusion", "kinisi", "gemdat", "bsym"),
)


def main() -> int:
    """Run, print the table, write text and JSON.

    Returns
    -------
    int
        1 when a benchmark failed or a bar was missed.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    listed = "; ".join(f"{name}: {text}" for name, text in BENCHMARKS.items())
    parser.add_argument("names", nargs="*", help=f"which ones; all by default ({listed})")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run, not how fast it is")
    parser.add_argument("--output", type=Path, default=Path("benchmarks.json"), help="and the same as .txt")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    if options.here:
        _run_here(options.names[0], options.quick, options.output)
        return 0
    names = options.names or [name for name in BENCHMARKS if _is_there(name)]
    return _run_all(names, options.quick, options.output)


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f"benchmarks.{name}") is not None


def _run_here(name: str, quick: bool, output: Path) -> None:
    console = Console(stderr=True)
    result = importlib.import_module(f"benchmarks.{name}").run(console, quick=quick)
    output.write_text(json.dumps(asdict(result)))


def _run_all(names: list[str], quick: bool, output: Path) -> int:
    console = Console()
    results: dict[str, Any] = {"quick": quick, "machine": _machine(), "versions": _versions()}
    results["started_at"] = datetime.now(UTC).isoformat()
    found: dict[str, Any] = {}
    for number, name in enumerate(names, start=1):
        console.print(f"[{number} of {len(names)}] {name}: {BENCHMARKS[name]}", markup=False)
        started = time.monotonic()
        found[name] = _run_apart(name, quick, console)
        found[name]["seconds"] = time.monotonic() - started
        ending = "failed: " + found[name]["error"] if "error" in found[name] else "done"
        console.print(f"  {ending} after {found[name]['seconds']:.0f} s", markup=False)
        results["benchmarks"] = found
        output.write_text(json.dumps(results, indent=1) + "\n")  # what is there is kept, whatever comes
    table = _table(found, quick)
    Console(width=max(console.width, 120)).print(table)
    with output.with_suffix(".txt").open("w") as stream:
        text = Console(file=stream, width=150)
        text.print(", ".join(f"{key} {value}" for key, value in results["machine"].items()))
        text.print(", ".join(f"{key} {value}" for key, value in results["versions"].items()))
        text.print(table)
    console.print(f"written to {output} and {output.with_suffix('.txt')}")
    missed = [c["what"] for r in found.values() for c in r.get("comparisons", []) if c["met"] is False]
    failed = [name for name, result in found.items() if "error" in result]
    return 1 if failed or (missed and not quick) else 0


def _run_apart(name: str, quick: bool, console: Console) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as folder:
        output = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks", name, "--here", "--output", str(output)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if quick:
            command.append("--quick")
        lines = []
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:  # shown as it comes, and kept for the case of a failure
                console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)
                lines.append(line.rstrip())
        if process.returncode == 0 and output.exists():
            return dict(json.loads(output.read_text()))
        # an exception's own line stands at the margin, what it adds does not
        at_margin = [line for line in lines if line and not line.startswith(" ")] or [
            "it ended without a word"
        ]
        return {"error": at_margin[-1], "output": lines[-40:]}


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_GB": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _table(found: dict[str, Any], quick: bool) -> Table:
    table = Table(
        title="quick run: the figures mean nothing" if quick else "benchmarks", title_justify="left"
    )
    for column in ("benchmark", "what", "ours", "theirs", "unit", "peer", "ratio", "bar", "met"):
        table.add_column(column, overflow="fold")
    for name, result in found.items():
        if "error" in result:
            table.add_row(name, f"failed: {result['error']}", *[""] * 7)
        if "skipped" in result.get("details", {}):
            table.add_row(name, f"skipped: {result['details']['skipped']}", *[""] * 7)
        for c in result.get("comparisons", []):
            theirs = "" if c["theirs"] is None else f"{c['theirs']:.4g}"
            ratio = "" if c["ratio"] is None else f"{c['ratio']:.2f}×"
            met = {None: "", True: "yes", False: "NO"}[c["met"]]
            table.add_row(
                name, c["what"], f"{c['ours']:.4g}", theirs, c["unit"], c["peer"], ratio, c["bar"], met
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
