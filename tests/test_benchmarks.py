"""The benchmarks run with their peers, one that fails stops no other, the table says what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def run(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--output", str(tmp_path / "b.json"), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_quick_run_of_two_writes_table_and_json(tmp_path):
    done = run(tmp_path, "hulls", "orderings", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["machine"]["cores"] >= 1
    assert "numpy" in written["versions"]
    for name in ("hulls", "orderings"):
        comparisons = written["benchmarks"][name]["comparisons"]
        assert any(c["peer"] and c["ratio"] == pytest.approx(c["theirs"] / c["ours"]) for c in comparisons)
    text = (tmp_path / "b.txt").read_text()
    assert "pymatgen" in text
    assert "bsym" in text
    assert "quick run" in text


@pytest.mark.parametrize("name", ["garnets", "processes"])
def test_cheap_benchmarks_run_and_name_what_they_measured(tmp_path, name):
    done = run(tmp_path, name, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    (comparison,) = json.loads((tmp_path / "b.json").read_text())["benchmarks"][name]["comparisons"]
    assert comparison["ours"] > 0
    assert {"garnets": "configurations of 4 atoms", "processes": "of lgps by"}[name] in comparison["what"]


def test_without_a_gpu_the_benchmark_of_one_says_in_a_line_that_it_was_skipped(tmp_path, monkeypatch):
    import io

    import torch
    from rich.console import Console

    from benchmarks import garnets

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    stream = io.StringIO()
    result = garnets.run(Console(file=stream))
    assert stream.getvalue() == "  skipped: there is no GPU here\n"
    assert result.comparisons == []


def test_one_that_fails_stops_no_other(tmp_path, monkeypatch):
    from benchmarks import __main__ as program

    real = program._run_apart

    def apart(name, quick, console):
        return {"error": "boom"} if name == "api" else real(name, quick, console)

    monkeypatch.setattr(program, "_run_apart", apart)
    monkeypatch.chdir(ROOT)
    status = program._run_all(["api", "hulls"], True, tmp_path / "b.json")
    written = json.loads((tmp_path / "b.json").read_text())["benchmarks"]
    assert status == 1
    assert written["api"]["error"] == "boom"
    assert written["hulls"]["comparisons"]


def test_a_case_of_the_garnet_runs_and_is_not_run_twice(tmp_path):
    command = [sys.executable, "-m", "benchmarks.garnet", "lithium-6.75", "--quick"]
    for _ in range(2):
        done = subprocess.run(
            [*command, "--output", str(tmp_path / "g.json")], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "Li6.75La3Zr2O12" in done.stdout
    assert "800 K: D" not in done.stdout
    case = json.loads((tmp_path / "g.json").read_text())["lithium-6.75"]
    assert set(case["temperatures"]) == {"800", "1100", "1500"}
    assert case["temperatures"]["800"]["volume_A3"] == pytest.approx(12.968**3, rel=1e-4)


def test_an_unknown_name_is_told(tmp_path):
    done = run(tmp_path, "nonsense")
    assert done.returncode == 2
    assert "there are: chgnet" in done.stderr
