"""The command line of the filters."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError

runner = CliRunner()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of prototypes with one row that cannot be read."""
    path = tmp_path / "survey.csv"
    path.write_text("prototype,band_gap_eV\nlgps,3.5\nli3n,1.1\nlicl,\no2,\nmissing,\n")
    return path


def test_json_has_kept_counts_and_reasons(table: Path) -> None:
    arguments = ["filter", str(table), "--minimum-band-gap", "2", "--exclude", "Ge", "--json"]
    document = json.loads(runner.invoke(app, arguments).stdout)
    assert document["kept"] == ["licl"]
    assert {r["name"]: r["filter"] for r in document["rejections"]} == {
        "lgps": "excluded_elements",
        "li3n": "band_gap",
        "o2": "mobile_ion",
    }
    assert [r["name"] for r in document["unreadable"]] == ["missing"]
    assert {c["filter"]: c["not_known"] for c in document["counts"]}["band_gap"] == 1


def test_table_says_what_was_refused_and_kept(table: Path) -> None:
    result = runner.invoke(app, ["filter", str(table)], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "refused o2 (mobile_ion): no mobile ion Li" in result.stdout
    assert "kept 3: lgps, li3n, licl" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mobile-ion", "Xx"], "mobile_ion = 'Xx'"),
        (["--maximum-atoms", "0"], "maximum_atoms = 0"),
        (["--minimum-mobile-fraction", "2"], "minimum_mobile_fraction = 2"),
        (["--exclude", "ge"], "'ge' is no element"),
    ],
)
def test_bad_options(table: Path, options: list[str], words: str) -> None:
    result = runner.invoke(app, ["filter", str(table), *options])
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)


def test_missing_survey(tmp_path: Path) -> None:
    result = runner.invoke(app, ["filter", str(tmp_path / "nowhere")])
    assert isinstance(result.exception, InputError)
