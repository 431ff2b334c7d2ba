"""Submission whole or not at all; workers killed in the middle; nothing twice. Real CHGNet, real MongoDB."""

import json
import os
import signal
import threading
import time

import pytest

from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import counts_by_state, failures, put_back_lost_runs
from sse_screen.workflows.outbox import sweep
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import CAMPAIGNS, submit_plan


def plan(**changes):
    content = {
        "name": "small",
        "molecular_dynamics": {
            "temperatures_K": [900],
            "minimum_length_A": 4.5,
            "protocol": {"equilibration_ps": 0.2, "production_ps": 3.0},
        },
        "materials": [{"prototype": "li6ps5cl"}],
        "hulls": [{"space": ["Li", "Cl"], "entries": [{"prototype": "licl"}]}],
        "orderings": [{"prototype": "li6ps5cl-disordered", "maximum_configurations": 2}],
    }
    return plan_campaign(Campaign.model_validate(content | changes))


@pytest.fixture
def pad(database, settings_environment):
    return launchpad(settings_environment)


def test_a_campaign_is_added_once_and_without_a_password(pad, database):
    small = plan()
    first = submit_plan(small, database, pad)
    again = submit_plan(plan(), database, pad)
    assert (first.n_workflows, first.n_jobs, first.already_there) == (3, 4, False)
    assert again.already_there
    assert counts_by_state(pad) == {"READY": 3, "WAITING": 1}
    text = json.dumps([list(pad.fireworks.find()), list(pad.workflows.find())], default=str)
    assert "mongodb://" not in text
    assert "JobStore" not in text


def test_a_submission_cut_in_the_middle_is_made_whole(pad, database, monkeypatch):
    insert = pad.fireworks.insert_many

    class Cut:
        def __getattr__(self, name):
            return getattr(type(pad).fireworks, name, None) or getattr(original, name)

        def insert_many(self, documents):
            insert(list(documents)[:2])
            raise ConnectionError("the network went away")

    original = pad.fireworks
    pad.fireworks = Cut()
    with pytest.raises(ConnectionError):
        submit_plan(plan(), database, pad)
    pad.fireworks = original
    assert database[CAMPAIGNS].find_one()["state"] == "submitting"
    submit_plan(plan(), database, pad)
    assert sum(counts_by_state(pad).values()) == 4
    assert pad.workflows.count_documents({}) == 3


def _kill_the_worker_in_the_middle_of_dynamics(pad, settings):
    """SIGKILL the worker that has just reported from a run; give its launch."""
    calculations = settings.work_directory / "calculations"
    earlier = set(calculations.glob("*/checkpoint.pickle"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        running = set(calculations.glob("*/checkpoint.pickle")) - earlier
        launch = pad.launches.find_one({"state": "RUNNING"})
        if running and launch:
            os.kill(int(launch["fworker"]["name"].split("@")[2]), signal.SIGKILL)
            return
        time.sleep(0.05)
    raise AssertionError("no run started in time")


def test_a_killed_worker_costs_one_segment_and_no_result(pad, database, settings_environment):
    submit_plan(plan(), database, pad)
    killer = threading.Thread(
        target=_kill_the_worker_in_the_middle_of_dynamics, args=(pad, settings_environment)
    )
    killer.start()
    seen = []
    failed = launch_workers(settings_environment, pad, 1, seen.append)
    killer.join()
    assert failed == 0, failures(pad)
    assert counts_by_state(pad) == {"COMPLETED": 4}
    keys = [d["output"]["calculation_key"] for d in database[OUTPUTS].find()]
    assert len(keys) == len(set(keys)) == 4
    names = {launch["fworker"]["name"] for launch in pad.launches.find()}
    assert len(names) == 2  # the killed worker and its successor
    swept = sweep(database, settings_environment.work_directory)
    assert swept.removed >= 4
    assert not {*keys} & {f.name for f in (settings_environment.work_directory / "calculations").glob("*")}
    # the same calculations in another campaign: nothing is computed again
    started = time.monotonic()
    submit_plan(plan(name="same-again"), database, pad)
    launch_workers(settings_environment, pad, 1, seen.append)
    assert time.monotonic() - started < 60
    reused = list(database[OUTPUTS].find({"metadata.campaign": "same-again"}))
    assert len(reused) == 4
    assert {d["output"]["calculation_key"] for d in reused} == set(keys)
    names = [
        d["stored_data"]["reused_from"]
        for d in pad.launches.aggregate(
            [{"$match": {"action.stored_data.reused_from": {"$exists": True}}}, {"$replaceWith": "$action"}]
        )
    ]
    assert len(names) == 4


def test_a_scientific_failure_keeps_its_reason_and_stops_nothing_else(pad, database, settings_environment):
    small = plan(orderings=[], hulls=[])
    run = small.flows[0].jobs[1]
    run.function_args = run.function_args[:2]  # no temperature, no seed: the job must fail
    submit_plan(small, database, pad)
    failed = launch_workers(settings_environment, pad, 1, lambda _counts: None)
    assert failed == 1
    (failure,) = failures(pad)
    assert failure.kind == "scientific"
    assert "temperature_K" in failure.reason


def test_a_living_worker_is_left_alone(pad, database):
    from fireworks import FWorker

    from sse_screen.workflows.worker import worker_name

    submit_plan(plan(), database, pad)
    pad.checkout_fw(FWorker(name=worker_name()), ".")
    assert put_back_lost_runs(pad) == []
    pad.launches.update_many({}, {"$set": {"fworker.name": worker_name() + "0"}})
    assert len(put_back_lost_runs(pad)) == 1
    assert counts_by_state(pad)["READY"] == 3
