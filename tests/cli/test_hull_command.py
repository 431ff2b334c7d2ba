"""`sse-screen hull`: columns kept, refusals that name file, line, column and value."""

import csv
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError

HEADER = ["name", "formula", "energy_eV_per_atom"]
ROWS = [
    ["a", "Li", "-1.90"],
    ["b", "S", "-4.13"],
    ["c", "Li2S", "-4.00"],
    ["d", "Li2S2", "-4.00"],
    ["e", "LiS4", "-4.10"],
]


@pytest.fixture
def table(tmp_path):
    def write(rows=ROWS, header=HEADER):
        path = tmp_path / "energies.csv"
        with path.open("w", newline="") as handle:
            csv.writer(handle).writerows([header, *rows])
        return path

    return write


def run(*arguments):
    return CliRunner().invoke(app, ["hull", *map(str, arguments)])


def test_json_keeps_columns_and_adds_distances(table):
    result = run(table(), "--json")
    rows = json.loads(result.stdout)
    assert [row["name"] for row in rows] == list("abcde")
    # Li2S2 lies between Li2S (x = 1/3, -4.00) and LiS4 (x = 4/5, -4.10).
    assert [row["energy_above_hull_eV_per_atom"] for row in rows] == pytest.approx([0, 0, 0, 0.1 * 5 / 14, 0])
    assert rows[2]["formation_energy_eV_per_atom"] == pytest.approx(-4.0 - (2 * -1.9 - 4.13) / 3)
    assert rows[2]["stable"]


def test_basis_is_added_beside_the_distance_per_atom(table):
    rows = json.loads(run(table([*ROWS, ["f", "Li4S2", "-3.9"]]), "--basis", "cell", "--json").stdout)
    assert rows[-1]["energy_above_hull_eV_per_atom"] == pytest.approx(0.1)
    assert rows[-1]["energy_above_hull_eV_per_cell"] == pytest.approx(0.6)


def test_suspicious_entry_is_warned_of_and_left_out_on_request(table):
    rows = [*ROWS, ["x", "Li2S", "-9.0"]]
    warned = run(table(rows), "--json")
    assert "line 7, Li2S" in warned.stderr
    assert json.loads(warned.stdout)[2]["energy_above_hull_eV_per_atom"] == pytest.approx(5.0)
    without = json.loads(run(table(rows), "--leave-out-suspicious", "--json").stdout)
    assert without[2]["energy_above_hull_eV_per_atom"] == 0.0
    assert without[-1]["energy_above_hull_eV_per_atom"] == pytest.approx(-5.0)
    assert "below" in without[-1]["suspicious"]


def test_table_and_figures_for_people(table, tmp_path):
    result = run(table(), "--plot", tmp_path / "hull.png")
    assert result.exit_code == 0, result.output
    assert "energy above" in result.stdout
    assert (tmp_path / "hull.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("rows", "header", "options", "message"),
    [
        ([["a", "Li", "low"], ROWS[1]], HEADER, [], "line 2, column energy_eV_per_atom: 'low'"),
        ([["a", "Li", "nan"], ROWS[1]], HEADER, [], "is not a finite number"),
        ([["a", "Xx2", "-1"], ROWS[1]], HEADER, [], "Xx2"),
        (ROWS, ["name", "composition", "energy_eV_per_atom"], [], "no column 'formula'"),
        (ROWS[:1], HEADER, [], "one composition"),
        ([], HEADER, [], "at least one row"),
        ([["a", "Li"]], HEADER, [], "line 2: 2 cells under 3 columns"),
        (ROWS, HEADER, ["--end-members", "Li2S,P2S5"], "no mixture of Li2S, P2S5: Li, S, Li2S2"),
    ],
)
def test_bad_tables_are_refused_by_name(table, rows, header, options, message):
    path = table(rows, header)
    result = run(path, "--json", *options)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert str(path) in str(result.exception)


def test_mixed_levels_of_theory_exit_with_status_2(table):
    rows = [[*row, level] for row, level in zip(ROWS, ["PBE"] * 4 + ["SCAN"], strict=True)]
    path = table(rows, [*HEADER, "level_of_theory"])
    found = subprocess.run(
        [sys.executable, "-m", "sse_screen.cli", "hull", str(path), "--json"], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert "PBE: 4 entries, SCAN: 1 entries" in found.stderr
    assert "Traceback" not in found.stderr


def test_figure_of_four_components_is_refused(table, tmp_path):
    rows = [["", f, "-3"] for f in ("Li", "P", "S", "O")]
    result = run(table(rows), "--plot", tmp_path / "hull.png")
    assert "hull of 4 components" in str(result.exception)
    missing = run(table(), "--plot", tmp_path / "no" / "hull.png")
    assert "cannot be written" in str(missing.exception)


def test_missing_file():
    assert "cannot be read" in str(run("nowhere.csv").exception)


def test_a_reference_that_is_not_there_is_told(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("formula,energy_eV_per_atom\nLi2S,-4.0\nLi3PS4,-4.5\n")
    found = run(str(table), "--end-members", "Li2S,P2S5", "--json")
    assert "no entry for P2S5" in found.stderr
    assert json.loads(found.stdout)
