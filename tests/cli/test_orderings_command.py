"""`sse-screen orderings` as a user runs it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError

runner = CliRunner()


def run(*arguments: str) -> Any:
    result = runner.invoke(app, ["orderings", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_count_as_json() -> None:
    assert run("count", "li6ps5cl-disordered", "--json") == {"labelled": 36, "unique": 2}


def test_count_of_a_file(tmp_path: Path) -> None:
    from pymatgen.io.cif import CifWriter

    from sse_screen.structures.prototypes import build_prototype

    file = tmp_path / "argyrodite.cif"
    file.write_text(str(CifWriter(build_prototype("li6ps5cl-disordered"))))
    assert run("count", str(file), "--occupancy", "4a=S1Cl3,4d=S3Cl1", "--json") == {
        "labelled": 16,
        "unique": 1,
    }


def test_enumerate_and_sample_agree() -> None:
    listed = run("enumerate", "li6ps5cl-disordered", "--occupancy", "4a+4d=S4Cl4", "--json")
    assert (listed["labelled"], listed["unique"], len(listed["orderings"])) == (70, 6, 6)
    drawn = run(
        "sample",
        "li6ps5cl-disordered",
        "--occupancy",
        "4a+4d=S4Cl4",
        "--samples",
        "40",
        "--seed",
        "1",
        "--json",
    )
    degeneracies = {row["id"]: row["degeneracy"] for row in listed["orderings"]}
    assert all(degeneracies[row["id"]] == row["degeneracy"] for row in drawn["orderings"])
    assert sum(row["weight"] for row in drawn["orderings"]) == pytest.approx(70)


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_enumerate_to_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    summary = run("enumerate", "li6ps5cl-disordered", "--output", str(file), "--json")
    assert summary == {"labelled": 36, "unique": 2, "written": 2, "output": str(file)}
    text = gzip.decompress(file.read_bytes()).decode() if name.endswith("gz") else file.read_text()
    header, *rows = [json.loads(line) for line in text.splitlines()]
    assert (header["unique"], len(rows), sum(row["degeneracy"] for row in rows)) == (2, 2, 36)
    assert set(rows[0]["sites"]) == {"S", "Cl"}


def test_table_for_people() -> None:
    result = runner.invoke(app, ["orderings", "enumerate", "li6ps5cl-disordered"], catch_exceptions=False)
    assert "36 labelled, 2 unique orderings" in result.stdout


def test_bad_input_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.cif"
    broken.write_text("nonsense")
    for arguments, message in [
        (["count", "nowhere.cif"], "no such file"),
        (["count", str(broken)], "cannot be read as a crystal"),
    ]:
        with pytest.raises(InputError, match=message):
            runner.invoke(app, ["orderings", *arguments], catch_exceptions=False)


def test_bad_input_ends_with_a_message_and_status_2() -> None:
    command = [sys.executable, "-m", "sse_screen.cli", "orderings", "enumerate", "li6ps5cl-disordered"]
    done = subprocess.run([*command, "--limit", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: 2 unique orderings (36 labelled) are beyond the limit of 1")
    assert "Traceback" not in done.stderr


def test_ewald_ranking_and_merging() -> None:
    pooled = ("li6ps5cl-disordered", "--occupancy", "4a+4d=S4Cl4")
    ranked = run("enumerate", *pooled, "--lowest-ewald", "2", "--json")["orderings"]
    energies = [row["ewald_energy_eV_per_cell"] for row in ranked]
    assert len(energies) == 2
    assert energies == sorted(energies)
    every = run("enumerate", *pooled, "--ewald", "--json")["orderings"]
    assert min(row["ewald_energy_eV_per_cell"] for row in every) == energies[0]
    merged = run("enumerate", *pooled, "--merge-equal-distances", "--json")["orderings"]
    assert len(merged) <= 6
    assert sum(row["degeneracy"] for row in merged) == 70


ANNEAL = ("anneal", "li6ps5cl-disordered", "--occupancy", "4a+4d=S4Cl4", "--moves", "400")
ANNEAL += ("--equilibration", "100", "--seed", "3", "--json")


def test_annealing_gives_entropies_and_goes_on_from_its_state(tmp_path: Path) -> None:
    """The scan in two runs over a state file is the scan in one."""
    from math import log

    whole = run(*ANNEAL, "--temperatures-K", "inf,40000,20000,5000")
    rows = whole["temperatures"]
    assert rows[0]["temperature_K"] is None
    assert rows[0]["entropy_kB_per_cell"] == pytest.approx(log(70))
    assert rows[-1]["mean_energy_eV_per_cell"] <= rows[0]["mean_energy_eV_per_cell"]
    assert 0 <= rows[-1]["entropy_kB_per_cell"] < log(70)
    state = str(tmp_path / "state.json")
    run(*ANNEAL, "--temperatures-K", "inf,40000", "--state", state)
    assert run(*ANNEAL, "--temperatures-K", "inf,40000,20000,5000", "--state", state) == whole
    other = [*ANNEAL, "--temperatures-K", "30000,1000", "--state", state]
    with pytest.raises(InputError, match="state of another run"):
        runner.invoke(app, ["orderings", *other], catch_exceptions=False)


def test_annealing_a_supercell_writes_a_crystal(tmp_path: Path) -> None:
    from pymatgen.core import Structure

    file = tmp_path / "last.cif"
    found = run(*ANNEAL, "--temperatures-K", "20000", "--supercell", "2,1,1", "--output", str(file))
    assert found["n_sites"] == 104
    assert {name: len(sites) for name, sites in found["final_sites"].items()} == {"S": 8, "Cl": 8}
    crystal = Structure.from_file(file)
    assert crystal.is_ordered
    assert crystal.composition.reduced_formula == "Li6PS5Cl"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperatures-K", "hot"], "give numbers"),
        (["--temperatures-K", "300", "--supercell", "2,2"], "three numbers"),
        (["--temperatures-K", "-5"], "above zero"),
    ],
)
def test_annealing_refuses_nonsense(arguments: list[str], message: str) -> None:
    command = ["orderings", "anneal", "li6ps5cl-disordered", "--seed", "1", *arguments]
    with pytest.raises(InputError, match=message):
        runner.invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize("energies", [["--ewald"], ["--lowest-ewald", "2"]])
def test_merged_orderings_have_no_energies(energies: list[str]) -> None:
    """Distances among the ordered sites leave out the fixed ions, on which the energies depend."""
    command = ["orderings", "enumerate", "li6ps5cl-disordered", "--merge-equal-distances", *energies]
    with pytest.raises(InputError, match="cannot go with --ewald or --lowest-ewald"):
        runner.invoke(app, command, catch_exceptions=False)


def test_a_frozen_scan_and_its_entropies_are_warned_of() -> None:
    def warnings(temperatures: str) -> str:
        command = ["orderings", *ANNEAL, "--temperatures-K", temperatures]
        return runner.invoke(app, command, catch_exceptions=False).stderr

    frozen = warnings("inf,20000,10,5")
    assert "less than 1 % of the moves were accepted at 20000, 10, 5 K" in frozen
    assert "the entropy is below zero at 20000, 10, 5 K" in frozen
    assert "warning" not in warnings("inf,200000")


def test_annealing_with_too_wide_exclusions_names_the_distances() -> None:
    crowded = ["llzo-cubic-disordered", "--occupancy", "24d=12,96h=44", "--exclusion-radius", "5"]
    command = ["orderings", "anneal", *crowded, "--temperatures-K", "1000", "--seed", "1"]
    with pytest.raises(InputError, match=r"no ordering has .* radius of 5.0 Å"):
        runner.invoke(app, command, catch_exceptions=False)
