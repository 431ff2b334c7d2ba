"""Potentials that are files: paths count from the file that names them, workers find the bytes by hash."""

import shutil
from pathlib import Path

import pytest
import yaml

from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import launchpad
from sse_screen.exceptions import InputError
from sse_screen.workflows.campaign import load_campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.loop_file import load_loop
from sse_screen.workflows.monitoring import counts_by_state, failures
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.potentials import store_potential
from sse_screen.workflows.submission import submit_plan

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
PARAMETERS = """
name: mine
charges: {Li: 1, O: -2}
pairs:
  - {species: [Li, O], A_eV: 632.1018, rho_A: 0.2906}
  - {species: [O, O], A_eV: 22764.30, rho_A: 0.1490, C_eV_A6: 27.89}
"""


def written(folder):
    folder.mkdir()
    (folder / "mine.yaml").write_text(PARAMETERS)
    content = {
        "name": "by-file",
        "potential": "mine.yaml",
        "molecular_dynamics": {
            "temperatures_K": [600],
            "minimum_length_A": 4,
            "protocol": {"equilibration_ps": 0.1, "production_ps": 0.2},
        },
        "materials": [{"prototype": "li2o"}],
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_jobs_run_by_a_potential_beside_the_campaign_even_when_the_file_is_gone(
    tmp_path, database, settings_environment, monkeypatch
):
    first, copy = written(tmp_path / "first"), written(tmp_path / "copy")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    pad = launchpad(settings_environment)
    plan = plan_campaign(load_campaign(first))
    submit_plan(plan, database, pad)
    assert submit_plan(plan_campaign(load_campaign(copy)), database, pad).already_there
    assert BlobStore(database).exists(plan.potential.weights_sha256)
    shutil.rmtree(first.parent)  # another machine has no such folder
    assert launch_workers(settings_environment, pad, 1, lambda _counts: None) == 0, failures(pad)
    assert counts_by_state(pad) == {"COMPLETED": 2}


def test_a_file_that_is_not_there_is_named_with_the_folder_that_was_searched(tmp_path):
    path = written(tmp_path / "first")
    (path.parent / "mine.yaml").unlink()
    with pytest.raises(InputError, match=str(path.parent / "mine.yaml")):
        plan_campaign(load_campaign(path))


def test_a_file_changed_between_check_and_submission_is_refused(tmp_path, database):
    path = written(tmp_path / "first")
    plan = plan_campaign(load_campaign(path))
    (path.parent / "mine.yaml").write_text(PARAMETERS.replace("632.1018", "632.2"))
    with pytest.raises(InputError, match="was changed meanwhile"):
        store_potential(plan.potential, BlobStore(database))


def test_the_teacher_of_a_loop_is_beside_its_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(PARAMETERS)
    path = tmp_path / "loop.yaml"
    content = yaml.safe_load((CAMPAIGNS / "li2o_loop.yaml").read_text())
    path.write_text(yaml.safe_dump(content | {"teacher": "mine.yaml"}))
    assert load_loop(path).teacher == str(tmp_path / "mine.yaml")
    path.write_text(yaml.safe_dump(content))
    assert load_loop(path).teacher == content["teacher"]
