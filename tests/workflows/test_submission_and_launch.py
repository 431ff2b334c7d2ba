"""Submission whole or not at all; workers killed in the middle; nothing twice. Real CHGNet, real MongoDB."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fireworks import FWAction, FWorker

from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.exceptions import InfrastructureError, InputError
from sse_screen.structures.prototypes import build_prototype
from sse_screen.workflows import launching, submission
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import counts_by_state, failed_launches, failures, rerun_jobs
from sse_screen.workflows.outbox import sweep
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.process_names import worker_name
from sse_screen.workflows.reaping import reap
from sse_screen.workflows.restarts import DeathCount
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
            return getattr(original, name)

        def insert_many(self, documents):
            insert(list(documents)[:2])
            raise ConnectionError("the network went away")

    original = pad.fireworks
    pad.fireworks = Cut()
    with pytest.raises(ConnectionError):
        submit_plan(plan(), database, pad)
    pad.fireworks = original
    assert database[CAMPAIGNS].count_documents({}) == 0  # nothing half-submitted is left
    assert pad.workflows.count_documents({}) == 0
    submit_plan(plan(), database, pad)
    assert sum(counts_by_state(pad).values()) == 4
    assert pad.workflows.count_documents({}) == 3


def _kill_the_worker_in_the_middle_of_dynamics(pad, settings):
    """SIGKILL the worker that has just reported from a run; give its launch."""
    calculations = settings.work_directory / "calculations"
    earlier = set(calculations.glob("*/checkpoint.npz"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        running = set(calculations.glob("*/checkpoint.npz")) - earlier
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
    log = (settings_environment.work_directory / "workers.log").read_text()
    assert re.search(
        r"UTC: worker \d+ was killed by signal 9 \(SIGKILL\) while it ran job \d+ \(li6ps5cl", log
    )
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


@pytest.fixture
def kill_workers(monkeypatch):
    """Give what kills the worker that runs at each look of a launch, so many times; and their pids."""
    started, killed = [], []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(launching.subprocess, "Popen", Recorded)

    def prepare(n_kills):
        def watch(_counts):
            if len(killed) < n_kills and started[-1].pid not in killed:
                killed.append(started[-1].pid)
                started[-1].kill()

        return watch, killed

    return prepare


def test_more_kills_than_three_do_not_end_a_launch_and_each_is_told(
    pad, database, settings_environment, caplog, kill_workers
):
    submit_plan(plan(materials=[], orderings=[]), database, pad)
    watch, killed = kill_workers(5)
    assert launch_workers(settings_environment, pad, 1, watch) == 0
    assert counts_by_state(pad) == {"COMPLETED": 1}
    assert len(killed) == 5
    log = (settings_environment.work_directory / "workers.log").read_text()
    for pid in killed:
        assert f"worker {pid} was killed by signal 9 (SIGKILL) between jobs" in log
        assert f"worker {pid} was killed by signal 9" in caplog.text


def test_workers_that_keep_dying_end_a_launch(pad, database, settings_environment, kill_workers):
    submit_plan(plan(materials=[], orderings=[]), database, pad)
    watch, killed = kill_workers(100)
    with pytest.raises(InfrastructureError, match=r"keep dying: 7 since the last finished job.*workers.log"):
        launch_workers(settings_environment, pad, 1, watch)
    assert len(killed) == 7
    assert counts_by_state(pad) == {"READY": 1}


def test_deaths_are_forgotten_after_a_finished_job_and_after_a_quiet_time():
    count = DeathCount(largest=2)
    count.add(2, n_completed=5, now_s=1000.0)
    assert not count.too_many
    count.add(1, n_completed=6, now_s=1001.0)  # a job was finished
    count.add(1, n_completed=6, now_s=1002.0)
    assert not count.too_many
    count.add(1, n_completed=6, now_s=1602.5)  # ten minutes without a death
    count.add(1, n_completed=6, now_s=1603.0)
    assert not count.too_many
    count.add(1, n_completed=6, now_s=2203.0)
    assert count.too_many


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
    submit_plan(plan(), database, pad)
    pad.checkout_fw(FWorker(name=worker_name()), ".")
    assert reap(pad) == []
    pad.launches.update_many({}, {"$set": {"fworker.name": worker_name() + "0"}})
    assert len(reap(pad)) == 1
    assert counts_by_state(pad)["READY"] == 3


def test_two_submissions_at_once_add_everything_once(pad, database):
    small = plan()
    submit_plan(small, database, pad)
    record = database[CAMPAIGNS].find_one()
    database[CAMPAIGNS].update_one({}, {"$set": {"state": "submitting", "owner": worker_name()}})
    with pytest.raises(InputError, match="submitting it now"):
        submit_plan(plan(), database, pad)
    # a submission whose process was killed is made whole by the next one
    database[CAMPAIGNS].update_one({"_id": record["_id"]}, {"$set": {"owner": worker_name() + "0"}})
    submit_plan(plan(), database, pad)
    assert pad.workflows.count_documents({}) == 3
    assert sum(counts_by_state(pad).values()) == 4


def test_a_submission_killed_on_another_machine_blocks_its_campaign_for_five_minutes(pad, database):
    submit_plan(plan(), database, pad)
    killed = {"state": "submitting", "owner": "sse-screen@elsewhere@7@1234"}
    database[CAMPAIGNS].update_one({}, {"$set": killed, "$unset": {"seen_at": ""}})
    for silent_s in (None, 200):  # it left no sign of life, and an old one
        if silent_s is not None:
            seen = [{"$set": {"seen_at": {"$subtract": ["$$NOW", 1000 * silent_s]}}}]
            database[CAMPAIGNS].update_one({}, seen)
        with pytest.raises(InputError, match="the same command takes the campaign over in "):
            submit_plan(plan(), database, pad)
    database[CAMPAIGNS].update_one({}, [{"$set": {"seen_at": {"$subtract": ["$$NOW", 301_000]}}}])
    assert not submit_plan(plan(), database, pad).already_there
    assert database[CAMPAIGNS].find_one()["owner"] == worker_name()
    assert pad.workflows.count_documents({}) == 3
    assert sum(counts_by_state(pad).values()) == 4


def test_a_submission_that_was_taken_over_adds_nothing_and_removes_nothing(pad, database, monkeypatch):
    small = plan(orderings=[], hulls=[])
    ready_flows = small.ready_flows

    def taken_over_meanwhile(put):
        flows = ready_flows(put)
        database[CAMPAIGNS].update_one({}, {"$set": {"owner": "sse-screen@elsewhere@7@1234"}})
        return flows

    monkeypatch.setattr(type(small), "ready_flows", lambda _self, put: taken_over_meanwhile(put))
    with pytest.raises(InputError, match="took it over"):
        submit_plan(small, database, pad)
    assert pad.workflows.count_documents({}) == 0
    assert database[CAMPAIGNS].find_one()["owner"] == "sse-screen@elsewhere@7@1234"


def test_a_submission_at_work_gives_signs_of_life(pad, database, monkeypatch):
    monkeypatch.setattr(submission, "_SIGN_OF_LIFE_S", 0.05)
    small = plan(orderings=[], hulls=[])
    ready_flows = small.ready_flows
    seen = []

    def slowly(put):
        for _ in range(2):
            time.sleep(0.5)
            seen.append(database[CAMPAIGNS].find_one()["seen_at"])
        return ready_flows(put)

    monkeypatch.setattr(type(small), "ready_flows", lambda _self, put: slowly(put))
    submit_plan(small, database, pad)
    assert seen[1] > seen[0]
    assert database[CAMPAIGNS].find_one()["state"] == "submitted"


def test_sweeps_at_once_remove_every_folder(database, tmp_path):
    keys = [f"k{number:03d}" for number in range(200)]
    for key in keys:
        folder = tmp_path / "calculations" / key
        folder.mkdir(parents=True)
        for name in ("output.json", "segment_1", "segment_2"):
            (folder / name).write_text("{}")
    database[OUTPUTS].insert_many([{"uuid": key, "output": {"calculation_key": key}} for key in keys])
    with ThreadPoolExecutor(4) as pool:
        swept = list(pool.map(lambda _: sweep(database, tmp_path), range(4)))
    assert sum(found.removed for found in swept) >= 200
    assert list((tmp_path / "calculations").glob("*")) == []


def test_a_wall_time_within_the_reserve_is_refused(pad, settings_environment):
    with pytest.raises(InputError, match="last 30 s"):
        launch_workers(settings_environment.model_copy(update={"wall_time_s": 30.0}), pad, 1, print)


def test_failures_from_before_a_launch_do_not_count(pad, database, settings_environment):
    submit_plan(plan(materials=[], orderings=[]), database, pad)
    for name in ("a", "b"):
        _, launch_id = pad.checkout_fw(FWorker(name=worker_name()), ".")
        trace = {"_exception": {"_stacktrace": f"ValueError: {name}"}}
        pad.complete_launch(launch_id, FWAction(stored_data=trace, exit=True), "FIZZLED")
        (fw_id,) = [failure.fw_id for failure in failures(pad)]
        assert launch_workers(settings_environment, pad, 1, lambda _counts: None) == 0
        before = failed_launches(pad)
        rerun_jobs(pad, [fw_id])
    assert failed_launches(pad) - before == set()


def test_a_changed_crystal_in_the_same_file_is_another_campaign(pad, database, tmp_path):
    path = tmp_path / "mine.cif"
    crystal = build_prototype("licl")

    def hull():
        return plan(
            orderings=[], materials=[], hulls=[{"space": ["Li", "Cl"], "entries": [{"file": str(path)}]}]
        )

    crystal.to(str(path))
    submit_plan(hull(), database, pad)
    crystal.scale_lattice(crystal.volume * 1.1)
    crystal.to(str(path))
    assert not submit_plan(hull(), database, pad).already_there
    assert submit_plan(hull(), database, pad).already_there


def _give_up_on(pad, name, seconds_ago):
    """Make the running launch that of a silent worker elsewhere."""
    silent = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    change = {"fworker.name": name, "state_history.$[].updated_on": silent}
    pad.launches.update_many({"state": "RUNNING"}, {"$set": change})


@pytest.mark.parametrize(
    ("name", "limit_s"), [("sse-screen@elsewhere@7@8", 300), ("a plain rlaunch", 4 * 3600)]
)
def test_a_silent_worker_elsewhere_is_given_up_after_its_time(pad, database, name, limit_s, monkeypatch):
    from sse_screen.workflows import reaping

    monkeypatch.setattr(reaping, "_SECOND_LOOK_S", 0.0)

    submit_plan(plan(), database, pad)
    pad.checkout_fw(FWorker(name=name), ".")
    _give_up_on(pad, name, 0.8 * limit_s)
    assert reap(pad) == []
    _give_up_on(pad, name, 1.2 * limit_s)
    assert len(reap(pad)) == 1


def test_stops_on_purpose_do_not_count_and_deaths_do(pad, database):
    submit_plan(plan(materials=[], orderings=[]), database, pad)

    def die(*, in_order):
        firework, _ = pad.checkout_fw(FWorker(name=worker_name()), ".")
        pad.launches.update_many({"state": "RUNNING"}, {"$set": {"fworker.name": worker_name() + "0"}})
        reap(pad, stopped_in_order=in_order)
        return firework.fw_id

    for _ in range(8):
        fw_id = die(in_order=True)
    assert counts_by_state(pad) == {"READY": 1}
    for _ in range(6):
        die(in_order=False)
    assert counts_by_state(pad) == {"FIZZLED": 1}
    rerun_jobs(pad, [fw_id])
    assert die(in_order=False) == fw_id
    assert counts_by_state(pad) == {"READY": 1}
    with pytest.raises(InputError, match="not a failed job"):
        rerun_jobs(pad, [fw_id])


def test_a_campaign_that_grows_keeps_the_runs_it_has():
    few = {"temperatures_K": [700, 900], "minimum_length_A": 4.5}
    more = {"temperatures_K": [700, 800, 900], "minimum_length_A": 4.5}

    def runs(dynamics, materials):
        made = plan(molecular_dynamics=dynamics, materials=[{"prototype": m} for m in materials])
        jobs = [job for flow in made.flows for job in flow.jobs if len(job.function_args) > 3]
        return {(j.function_args[1]["material_name"], *j.function_args[2:4]) for j in jobs}

    assert runs(few, ["li3n"]) < runs(more, ["lif", "li3n"])
