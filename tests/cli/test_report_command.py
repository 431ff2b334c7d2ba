"""What a report says of a campaign: its own names, what is not done yet, the overhead of its own jobs."""

import sys
from pathlib import Path

import pytest

from sse_screen.cli.report import gather, report
from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import InputReference

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

import figure_documents as made


@pytest.fixture
def two_campaigns(database, settings_environment):
    """Give the database of a crystal that one campaign ran at 800 K, another at 1000 K by another name."""
    points = []
    for campaign, kelvin in (("other", 1000.0), ("mine", 800.0)):
        found = made.diffusivity()
        name, uuid = f"crystal of {campaign}", f"run of {campaign}"
        reference = InputReference(collection=OUTPUTS, id=uuid, content_sha256="0" * 64)
        changes = {"id": f"d-{campaign}", "temperature_K": kelvin, "inputs": [reference]}
        points.append(found.model_copy(update=changes | {"material_name": "crystal of other"}))
        output = {"kind": "molecular_dynamics", "calculation_key": uuid, "potential_time_s": 9.0}
        output |= {"material_id": found.material_id, "material_name": name}
        metadata = {"campaign": campaign}
        database[OUTPUTS].insert_one({"uuid": uuid, "index": 1, "output": output, "metadata": metadata})
    database["diffusivity"].insert_many([point.model_dump(mode="json") for point in points])
    fit = ActivationEnergyDoc.from_diffusivities(points)
    database["activation_energy"].insert_one(fit.model_dump(mode="json"))
    # as FireWorks writes them: of mine one ran undisturbed, one was interrupted, one took a result over
    jobs = [
        ("mine", "COMPLETED", "run of mine", 10.0, [], {}),
        ("mine", "COMPLETED", "run of mine", 60.0, [90], {}),
        ("mine", "COMPLETED", "run of mine", 1.0, [], {"reused_from": "run of mine"}),
        ("mine", "READY", "later", None, [], {}),
        ("mine", "READY", "later still", None, [], {}),
        ("mine", "RUNNING", "now", None, [], {}),
        ("other", "COMPLETED", "run of other", 900.0, [], {}),
        ("other", "READY", "never", None, [], {}),
    ]
    pad = launchpad(settings_environment)
    for number, (campaign, state, uuid, seconds, archived, stored) in enumerate(jobs, 1):
        spec = {"campaign": campaign, "_tasks": [{"job": {"uuid": uuid}}]}
        launches = [] if seconds is None else [number]
        pad.fireworks.insert_one(
            {
                "fw_id": number,
                "name": uuid,
                "state": state,
                "spec": spec,
                "launches": launches,
                "archived_launches": archived,
            }
        )
        if seconds is not None:
            action = {"stored_data": stored}
            pad.launches.insert_one({"launch_id": number, "runtime_secs": seconds, "action": action})
    return database


def test_a_report_shows_the_names_and_the_overhead_of_its_campaign_and_what_is_not_done(
    two_campaigns, tmp_path, capsys
):
    content = gather("mine")
    assert [found.material_name for found in content.diffusivities] == ["crystal of mine"]
    assert [found.material_name for found in content.fits] == ["crystal of mine"]
    assert (content.worker_time.n_jobs, content.worker_time.potential_s) == (1, 9.0)
    assert content.worker_time.platform_percent == pytest.approx(10.0)
    report("mine", tmp_path)
    shown = capsys.readouterr().out
    page = (tmp_path / "index.html").read_text()
    for text in (
        "3 of 6 jobs are not done yet: 2 ready, 1 running",
        "crystal of mine: the fit also uses runs of other campaigns at 1000 K",
    ):
        assert text in page
        assert text in shown
    assert "crystal of other" not in page + shown
    assert "platform overhead: 10.0 % of the time of 1 finished jobs" in shown


def test_a_report_of_everything_keeps_the_names_of_the_documents(two_campaigns):
    content = gather(None)
    assert content.shared_points == []
    assert content.unfinished.startswith("4 of 8 jobs")
    assert {found.material_name for found in content.diffusivities} == {"crystal of other"}
