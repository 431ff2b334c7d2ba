"""Nothing twice: names, charges and composition spaces do not make another calculation. Real dynamics."""

import json

import pytest
from typer.testing import CliRunner

from sse_screen.builders.diffusivity import DiffusivityBuilder
from sse_screen.builders.run import run_builder
from sse_screen.cli.main import app
from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import failures
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan


def campaign(name, material, charge_number, space):
    content = {
        "name": name,
        "potential": "licl-fumi-tosi",
        "molecular_dynamics": {
            "temperatures_K": [600],
            "minimum_length_A": 4,
            "protocol": {"equilibration_ps": 0.1, "production_ps": 0.4},
        },
        "materials": [{"prototype": "licl", "name": material, "charge_number": charge_number}],
        "hulls": [{"space": space, "entries": [{"prototype": "licl"}]}],
    }
    return Campaign.model_validate(content)


@pytest.fixture
def renamed(database, settings_environment):
    """Two campaigns of one crystal under two names."""
    pad = launchpad(settings_environment)
    for content in (
        campaign("first", "first-name", 1, ["Li", "Cl"]),
        campaign("second", "second-name", 2, ["Li", "Cl", "O"]),
    ):
        submit_plan(plan_campaign(content), database, pad)
        assert launch_workers(settings_environment, pad, 1, lambda _counts: None) == 0, failures(pad)
    return database


def outputs_of(database, name, kind):
    query = {"metadata.campaign": name, "output.kind": kind}
    return list(database[OUTPUTS].find(query).sort("completed_at", 1))


def test_a_renamed_crystal_is_run_once_and_each_output_has_its_own_names(renamed):
    (first,), (second,) = (outputs_of(renamed, name, "molecular_dynamics") for name in ("first", "second"))
    assert first["output"]["calculation_key"] == second["output"]["calculation_key"]
    assert (first["output"]["reused_from"], second["output"]["reused_from"]) == (None, first["uuid"])
    assert second["output"]["trajectory"] == first["output"]["trajectory"]
    assert (second["output"]["material_name"], second["output"]["charge_number"]) == ("second-name", 2)
    relaxed = [d["output"] for d in outputs_of(renamed, "second", "relaxation")]
    assert {d["composition_spaces"][0] for d in relaxed} == {"Cl-Li-O"}
    assert {d["material_name"] for d in relaxed} == {"second-name", "licl"}
    assert all(d["reused_from"] for d in relaxed)
    (own,) = (d for d in relaxed if d["material_name"] == "second-name")
    uuids = [d["uuid"] for d in outputs_of(renamed, "second", "relaxation") if d["output"] == own]
    assert second["output"]["inputs"] == uuids


def test_the_status_says_how_many_results_were_taken_over(renamed):
    reused = {}
    for name in ("first", "second"):
        found = CliRunner().invoke(app, ["status", "--campaign", name, "--json"])
        reused[name] = json.loads(found.stdout)["reused"]
    assert reused == {"first": 1, "second": 3}  # in the first, the entry of the hull is the material
    shown = CliRunner().invoke(app, ["status", "--campaign", "second"]).stdout
    assert "taken over from earlier jobs: 3" in shown


def test_a_run_taken_over_is_no_replica(renamed):
    assert run_builder(DiffusivityBuilder()).built == 1
    (document,) = renamed.diffusivity.find()
    assert document["n_replicas"] == 1
