"""From a campaign file to the ranking, the API and the report, with everything real and short."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

ROOT = Path(__file__).parents[2]
CAMPAIGN = {
    "name": "end-to-end",
    "molecular_dynamics": {
        "temperatures_K": [1000, 1300],
        "minimum_length_A": 4.5,
        "protocol": {"equilibration_ps": 0.2, "production_ps": 1.0},
    },
    "materials": [{"prototype": "li6ps5cl"}],
    "hulls": [{"space": ["Li", "O"], "entries": [{"prototype": n} for n in ("li", "li2o", "o2")]}],
    "orderings": [
        {
            "prototype": "li6ps5cl-disordered",
            "occupancy": {"4a+4d": {"S": 4, "Cl": 4}},
            "temperatures_K": [300, 1000],
            "maximum_configurations": 3,
        }
    ],
}
COLLECTIONS = ("diffusivity", "activation_energy", "convex_hull", "configurational_free_energy")


@pytest.fixture
def run(tmp_path, database, settings_environment):
    def command(*arguments, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "sse_screen.cli", *arguments],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return command


def test_screen_and_what_can_be_asked_afterwards(run, tmp_path, settings_environment):
    from sse_screen.api.app import create_app

    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(CAMPAIGN))
    shown = run("screen", str(path), "--report-folder", "page")
    assert "li6ps5cl" in shown
    assert "platform overhead" in shown
    client = TestClient(create_app(settings_environment))
    page = (tmp_path / "page" / "index.html").read_text()
    numbers = 0
    for collection in COLLECTIONS:
        listed = json.loads(run("query", collection, "--json"))
        served = client.get("/" + collection.replace("_", "-")).json()["data"]
        assert {d["id"] for d in listed} == {d["id"] for d in served}
        assert listed
        for document in listed:
            (same,) = [d for d in served if d["id"] == document["id"]]
            assert document == same
            assert document["id"] in page
            assert client.get(f"/provenance/{document['id']}").status_code == 200
            numbers += 1
    assert numbers == 2 + 1 + 1 + 2 * 2  # free energies at two temperatures in two conventions
    for name in re.findall(r'src="(figures/[^"]+)"', page):
        assert (tmp_path / "page" / name).stat().st_size > 1000
    # again: nothing is run, nothing is built
    run("screen", str(path), "--report-folder", "page")
    rebuilt = json.loads(run("build", "--json"))
    assert sum(row["built"] for row in rebuilt) == 0
    assert json.loads(run("status", "--json"))["jobs"] == {"COMPLETED": 7}


def test_a_report_of_nothing_is_a_clear_message(run):
    assert run("report", "--campaign", "nobody", status=2) == ""


def test_plain_fireworks_runs_a_job_with_the_files_written_for_it(run, tmp_path, database):
    names = {line.rsplit("/", 1)[-1] for line in run("fireworks-config", "fw").splitlines()}
    assert {"my_launchpad.yaml", "my_fworker.yaml", "my_qadapter.yaml", "jobflow.yaml"} <= names
    for path in (tmp_path / "fw").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    campaign = {"name": "plain", "hulls": [{"space": ["Li", "Cl"], "entries": [{"prototype": "licl"}]}]}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(campaign))
    run("submit", "plain.yaml")
    adapter = yaml.safe_load((tmp_path / "fw" / "my_qadapter.yaml").read_text())
    exported = adapter["pre_rocket"].split("; ", 1)[1]  # what a batch script sets before it runs rlaunch
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    launch = (
        f"{exported}; {sys.executable} -m fireworks.scripts.rlaunch_run -l {tmp_path}/fw/my_launchpad.yaml"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SSE_SCREEN_")}
    done = subprocess.run(
        ["bash", "-c", f"{launch} -w {tmp_path}/fw/my_fworker.yaml singleshot"],
        cwd=elsewhere,
        env=clean | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert database["outputs"].find_one()["output"]["formula"] == "LiCl", done.stdout
