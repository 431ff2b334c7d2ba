"""The command line of the library of crystals."""

import json
from pathlib import Path

import pytest
from pymatgen.core import Structure
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError
from sse_screen.structures.prototypes import list_prototypes

runner = CliRunner()


def test_json_lists_the_library() -> None:
    result = runner.invoke(app, ["prototypes", "--json"])
    assert result.exit_code == 0
    assert [row["name"] for row in json.loads(result.stdout)] == [p.name for p in list_prototypes()]


def test_json_of_one_has_its_sites_and_source() -> None:
    row = json.loads(runner.invoke(app, ["prototypes", "li3n", "--json"]).stdout)
    assert row["formula"] == "Li3N"
    assert row["is_ordered"] is True
    assert [site["multiplicity"] for site in row["sites"]] == [1, 2, 1]


def test_table_names_every_prototype() -> None:
    result = runner.invoke(app, ["prototypes"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert all(p.name in result.stdout for p in list_prototypes())


def test_one_is_shown_with_its_notes() -> None:
    result = runner.invoke(app, ["prototypes", "li6ps5cl-disordered"], env={"COLUMNS": "200"})
    assert "S 0.5, Cl 0.5" in result.stdout
    assert "F-43m (216)" in result.stdout


def test_written_cif_is_the_crystal(tmp_path: Path) -> None:
    target = tmp_path / "lgps.cif"
    assert runner.invoke(app, ["prototypes", "lgps", "--write", str(target)]).exit_code == 0
    assert Structure.from_file(target).composition.formula == "Li20 Ge2 P4 S24"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prototypes", "nope"], "not known"),
        (["prototypes", "--write", "x.cif"], "say which prototype"),
        (["prototypes", "li3n", "--write", "/nowhere/x.cif"], "cannot be written"),
    ],
)
def test_bad_input_has_a_plain_message(arguments: list[str], words: str) -> None:
    result = runner.invoke(app, arguments)
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)
