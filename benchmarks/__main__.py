"""Run all benchmarks: ``python -m benchmarks [--output FILE]``."""

from __future__ import annotations

import argparse
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks import chgnet, transport

BENCHMARKS = {"chgnet": chgnet.run, "transport": transport.run}


def main() -> None:
    """Run, print tables, write everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS), help="which ones; all by default")
    parser.add_argument("--output", type=Path, default=Path("benchmarks.json"))
    options = parser.parse_args()
    console = Console()
    results = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "versions": {
            name: version(name) for name in ("torch", "chgnet", "atomate2", "ase", "numba", "numpy")
        },
        "started_at": datetime.now(UTC).isoformat(),
        **{name: BENCHMARKS[name](console) for name in options.names},
    }
    options.output.write_text(json.dumps(results, indent=1))
    console.print(f"written to {options.output}")


if __name__ == "__main__":
    main()
