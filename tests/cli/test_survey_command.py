"""Surveys by the command line: what submission says, what status shows, what candidates come out."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.structures.prototypes import build_prototype

runner = CliRunner()


@pytest.fixture
def campaign(tmp_path, database, settings_environment):
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    for name in ("li3n", "licl", "ycl3"):
        build_prototype(name).to(str(crystals / f"{name}.cif"))
    (crystals / "torn.cif").write_text("data_torn")
    promote = {"minimum_conductivity_S_per_cm": 0.1}
    tiers = [{"temperatures_K": [1000], "promote": promote}, {"temperatures_K": [700, 850, 1000]}]
    path = tmp_path / "many.yaml"
    content = {"crystals": "crystals", "tiers": tiers, "minimum_length_A": 3.5, "budget_core_hours": 5.0}
    path.write_text(yaml.safe_dump({"name": "many", "survey": content}))
    return path


def run(*arguments, status=0):
    done = runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert done.exit_code == status, done.output
    return done


def test_a_survey_from_its_file_to_its_candidates(campaign, database):
    shown = run("submit", campaign, "--dry-run").stderr
    assert "refused ycl3.cif (mobile_ion): no mobile ion Li" in shown
    assert "refused torn.cif (readable)" in shown
    assert "2 of 4 crystals accepted; budget: 5 core hours" in shown
    assert "nothing was" in shown
    assert database.fireworks.count_documents({}) == 0

    assert "added 3 workflows with 5 jobs" in run("submit", campaign).stderr
    assert "nothing added" in run("submit", campaign).stderr
    (tier,) = json.loads(run("status", "--json").stdout)["surveys"]["many"]
    assert (tier["tier"], tier["entered"], tier["on their way"]) == (1, 2, 2)
    assert "survey many" in run("status").stdout
    narrow = runner.invoke(app, ["status"], env={"COLUMNS": "80"}).stdout
    assert max(map(len, narrow.splitlines())) <= 80
    assert "core hours" in narrow


def test_a_folder_that_is_not_there_is_told(campaign):
    from sse_screen.exceptions import InputError

    content = yaml.safe_load(campaign.read_text())
    content["survey"]["crystals"] = "nowhere"
    campaign.write_text(yaml.safe_dump(content))
    done = runner.invoke(app, ["submit", str(campaign), "--dry-run"])
    assert isinstance(done.exception, InputError)
    assert "nowhere: there is no such folder or table" in str(done.exception)
