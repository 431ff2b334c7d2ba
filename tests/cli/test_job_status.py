"""status and reap on a real LaunchPad: who runs, what failed and why, in words and as JSON."""

import json

import pytest
from fireworks import FWAction, FWorker
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.database.stores import launchpad
from sse_screen.exceptions import InputError
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.process_names import worker_name
from sse_screen.workflows.submission import submit_plan


@pytest.fixture
def pad(database, settings_environment):
    found = launchpad(settings_environment)
    hull = {"space": ["Li", "Cl"], "entries": [{"prototype": "licl"}, {"prototype": "li"}]}
    submit_plan(plan_campaign(Campaign.model_validate({"name": "few", "hulls": [hull]})), database, found)
    return found


def run(*arguments, status=0):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, done.output
    return done.stdout


def test_dead_workers_and_both_kinds_of_failures(pad):
    pad.checkout_fw(FWorker(name=worker_name() + "0"), ".")
    firework, launch_id = pad.checkout_fw(FWorker(name=worker_name()), ".")
    trace = {"_exception": {"_stacktrace": "OSError: [Errno 28] No space left on device"}}
    pad.complete_launch(launch_id, FWAction(stored_data=trace, exit=True), "FIZZLED")
    shown = json.loads(run("status", "--json", status=1))
    assert shown["failed"] == {"scientific": 0, "infrastructure": 1}
    assert [job["health"] for job in shown["running"]] == ["dead"]
    table = run("status", status=1)
    assert "failed: 0 scientific, 1 infrastructure" in table
    looked = json.loads(run("reap", "--dry-run", "--json"))
    assert looked["done"] == []
    assert [failure["fw_id"] for failure in looked["to_rerun"]] == [firework.fw_id]
    assert "would be tried again" in run("reap", "--dry-run")
    assert len(looked["running"]) == 1
    reaped = json.loads(run("reap", "--json"))
    assert {found["done"].split(":")[0] for found in reaped["done"]} == {"made ready again"}
    assert firework.fw_id in [found["fw_id"] for found in reaped["done"]]
    assert json.loads(run("status", "--json"))["jobs"] == {"READY": 2}
    assert "running" in run("reap")


def test_rerun_says_which_failures_it_leaves(pad):
    firework, launch_id = pad.checkout_fw(FWorker(name=worker_name()), ".")
    trace = {"_exception": {"_stacktrace": "ValueError: of the science"}}
    pad.complete_launch(launch_id, FWAction(stored_data=trace, exit=True), "FIZZLED")
    assert json.loads(run("reap", "--dry-run", "--json"))["to_rerun"] == []
    left = CliRunner().invoke(app, ["rerun"])
    assert "0 jobs are ready again" in left.output
    assert "1 scientific failures are left" in left.output
    refused = CliRunner().invoke(app, ["rerun", str(firework.fw_id), "--kind", "all"])
    assert isinstance(refused.exception, InputError)
    assert "exclude each other" in str(refused.exception)
    again = CliRunner().invoke(app, ["rerun", "--kind", "scientific"])
    assert again.output == "1 jobs are ready again\n"
    assert json.loads(run("status", "--json"))["jobs"] == {"READY": 2}
    shown = " ".join(run("rerun", "--help").replace("│", " ").split())
    assert "without any, all infrastructure failures" in shown


def test_only_the_jobs_of_a_campaign(pad):
    pad.checkout_fw(FWorker(name=worker_name()), ".")
    assert len(json.loads(run("status", "--json", "--campaign", "few"))["running"]) == 1


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_campaign_that_is_not_there_is_refused(pad, more):
    refused = CliRunner().invoke(app, ["status", "--campaign", "other", *more])
    assert isinstance(refused.exception, InputError)  # main() makes it status 2
    assert "there is no such campaign; there are: few" in str(refused.exception)
    assert refused.stdout == ""


def test_no_word_is_broken_in_a_narrow_terminal(pad, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    pad.checkout_fw(FWorker(name=worker_name()), ".")
    shown = run("status")
    assert max(map(len, shown.splitlines())) <= 80
    assert worker_name() in shown
    assert "sign of life (s ago)" in shown
