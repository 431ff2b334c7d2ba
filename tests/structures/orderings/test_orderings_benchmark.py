"""The bars of time and memory, held by the benchmark script in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_all_six_ratios_within_15_s_and_300_MB() -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "orderings.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
