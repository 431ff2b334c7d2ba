"""The build command: order, output, exit status."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sse_screen.builders.pipeline import BUILDERS, select_builders
from sse_screen.cli.main import app
from sse_screen.database.served import served_collections
from sse_screen.exceptions import InputError

BATCH = {
    "kind": "configuration_batch",
    "calculation_key": "k",
    "parent_id": "p",
    "parent_name": "parent",
    "occupancy_class": "4a = S2Cl2",
    "formula": "LiCl",
    "chemical_system": "Cl-Li",
    "elements": ["Cl", "Li"],
    "n_atoms": 4,
    "n_labelled_total": 2,
    "n_unique_total": 2,
    "sampled": False,
    "temperatures_K": [300.0],
    "potential": {"name": "x", "code": "chgnet", "code_version": "1", "weights_sha256": "c" * 64},
    "protocol": {"relax_cell": True},
    "structures": {"sha256": "a" * 64, "size_bytes": 1},
    "configurations": [
        {
            "configuration_id": name,
            "degeneracy": 1,
            "weight": 1.0,
            "energy_eV_per_cell": energy,
            "maximum_force_eV_per_A": 0.01,
            "converged": True,
        }
        for name, energy in (("a", -8.0), ("b", -7.9))
    ],
}


def run(*arguments):
    return CliRunner().invoke(app, ["build", *arguments])


def test_every_served_collection_has_a_builder_and_sources_come_first():
    names = [builder.document.collection for builder in BUILDERS]
    assert sorted(names) == sorted(served_collections())
    for position, builder in enumerate(BUILDERS):
        assert builder.source == "outputs" or builder.source in names[:position]


def test_selection_keeps_the_order_and_takes_dashes():
    selected = select_builders(["activation-energy", "diffusivity"])
    assert [builder.document.collection for builder in selected] == ["diffusivity", "activation_energy"]
    assert select_builders([]) == select_builders() == list(BUILDERS)
    with pytest.raises(InputError, match="'difusivity'; there are: diffusivity, activation_energy"):
        select_builders(["difusivity"])


@pytest.mark.parametrize("builder", BUILDERS)
def test_builders_survive_json(builder):
    from monty.json import MontyDecoder

    copy = MontyDecoder().decode(builder({"confidence": 0.9}).to_json())
    assert type(copy) is builder
    assert copy.parameters == {"confidence": 0.9}


def test_build_prints_what_it_did(settings_environment, database):
    database.outputs.insert_one({"uuid": "u", "index": 1, "output": BATCH})
    result = run("--json")
    assert result.exit_code == 0, result.output
    rows = {row["collection"]: row for row in json.loads(result.stdout)}
    assert list(rows) == [builder.document.collection for builder in BUILDERS]
    assert rows["configurational_free_energy"]["built"] == 2
    assert rows["configuration"]["built"] == 2
    assert rows["diffusivity"]["groups"] == 0
    result = run()
    assert result.exit_code == 0
    assert "configurational_free_energy" in result.stdout


def test_exit_status_tells_of_failures(settings_environment, database):
    broken = BATCH | {"configurations": []}
    database.outputs.insert_one({"uuid": "u", "index": 1, "output": broken})
    for processes in ("1", "2"):
        result = run("configurational-free-energy", "--json", "--processes", processes)
        assert result.exit_code == 1
        row = json.loads(result.stdout)[0]
        assert (row["built"], row["failed"]) == (0, 2)
        assert "FreeEnergyError" in next(iter(row["failures"].values()))
        assert "configurational_free_energy_failures" not in result.stdout
        assert "FreeEnergyError" in result.stderr
    database.outputs.update_one({}, {"$set": {"output": BATCH}})
    assert run().exit_code == 0


def test_the_documented_builder_file_is_right():
    from monty.json import MontyDecoder

    text = (Path(__file__).parents[2] / "docs" / "builders.md").read_text()
    builder = MontyDecoder().decode(text.split("```json\n")[1].split("```")[0])
    assert (type(builder), builder.parameters) == (BUILDERS[0], {"confidence": 0.9})
