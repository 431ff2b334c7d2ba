"""The ``query`` command: the same answers as the API, as plain JSON or a table."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.thermodynamics.composition_space import HullEntry


@pytest.fixture
def hulls(database, settings_environment):
    potential = PotentialIdentity(name="chgnet", code="chgnet", code_version="0.4.2", weights_sha256="d" * 64)
    for cation, energy in (("Li", -4.0), ("Na", -3.5), ("K", -3.0)):
        entries = [
            HullEntry(formula=cation, energy_eV_per_atom=-1.0),
            HullEntry(formula="Cl2", energy_eV_per_atom=-1.5),
            HullEntry(formula=f"{cation}Cl", energy_eV_per_atom=energy),
        ]
        document = ConvexHullDoc.from_entries(entries, potential=potential)
        stored = {**document.model_dump(mode="json"), "built_at": document.built_at}
        database["convex_hull"].insert_one(stored)
    return settings_environment


def run(*arguments):
    return CliRunner().invoke(app, ["query", *arguments])


def test_json_is_what_the_api_gives(hulls):
    from fastapi.testclient import TestClient

    from sse_screen.api.app import create_app

    found = run("convex_hull", "--sort=-chemical_system", "--json")
    assert found.exit_code == 0, found.output
    with TestClient(create_app(hulls)) as client:
        assert json.loads(found.stdout) == client.get("/convex-hull?sort=-chemical_system").json()["data"]


@pytest.mark.parametrize(
    ("filters", "systems"),
    [
        (["formula=LiCl"], ["Cl-Li"]),
        (["elements=Na"], ["Cl-Na"]),
        (["entries.energy_eV_per_atom<=-3.4"], ["Cl-Li", "Cl-Na"]),
        (["entries.energy_eV_per_atom>=-3.6", "entries.formula=NaCl"], ["Cl-Na"]),
        (["entries.energy_eV_per_atom_min=-3.6", "entries.formula=LiCl"], []),
        (["n_entries=3", "potential=chgnet"], ["Cl-Li", "Cl-Na", "Cl-K"]),
    ],
)
def test_filters(hulls, filters, systems):
    arguments = [part for found in filters for part in ("--filter", found)]
    found = json.loads(run("convex-hull", *arguments, "--json", "--fields", "chemical_system").stdout)
    assert sorted(document["chemical_system"] for document in found) == sorted(systems)


def test_limit(hulls):
    assert len(json.loads(run("convex_hull", "--limit", "2", "--json").stdout)) == 2
    assert len(json.loads(run("convex_hull", "--limit", "0", "--json").stdout)) == 3


def test_table(hulls):
    found = run("convex_hull", "--fields", "chemical_system,n_stable")
    assert "convex_hull: 3 documents" in found.stdout
    assert "Cl-Li" in found.stdout
    assert run("convex_hull", "--filter", "formula=MgO").stdout == "nothing found\n"


def test_narrow_terminal_gets_one_line_a_field(hulls, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("convex_hull").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("chemical_system ") for line in lines) == 3


def test_nothing_stored_is_an_empty_list(database, settings_environment):
    assert json.loads(run("convex_hull", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "unknown collection 'nonsense'; there are: "),
        (["convex_hull", "--filter", "formula"], "write field=value"),
        (["convex_hull", "--filter", "colour=red"], "unknown parameter 'colour'; allowed: id"),
        (["convex_hull", "--sort", "entries"], "sort: cannot sort by 'entries'; allowed"),
        (["convex_hull", "--fields", "x"], "fields: unknown field 'x'; allowed"),
    ],
)
def test_refusals(settings_environment, arguments, message):
    command = [sys.executable, "-m", "sse_screen.cli", "query", *arguments]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert message in refused.stderr
    assert refused.stdout == ""
