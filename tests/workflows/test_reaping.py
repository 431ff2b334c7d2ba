"""Locks, half-written states, the cap of reruns, kinds of failures: on a real LaunchPad, without any run."""

import time

import pytest
from fault_tools import submit
from fireworks import FWAction, FWorker
from fireworks.core.launchpad import WFLock

from sse_screen.database.stores import launchpad
from sse_screen.exceptions import InfrastructureError
from sse_screen.workflows import reaping
from sse_screen.workflows.heartbeat import CURRENT, WORKERS, Heartbeat, unchanged_for_s
from sse_screen.workflows.monitoring import (
    counts_by_state,
    failures,
    rerun_infrastructure_failures,
    rerun_jobs,
)
from sse_screen.workflows.process_names import worker_name
from sse_screen.workflows.reaping import LARGEST_RERUNS, Patience, reap, reap_twice, running_jobs

DEAD = worker_name() + "0"


@pytest.fixture
def pad(database, settings_environment, monkeypatch):
    found = launchpad(settings_environment)
    submit(found, database)
    monkeypatch.setattr(reaping, "_SECOND_LOOK_S", 0.0)
    monkeypatch.setattr(reaping, "_LOCK_WITHOUT_HOLDER_S", 0.0)
    return found


def fail(pad, trace):
    """Let the ready job fail as FireWorks notes it."""

    firework, launch_id = pad.checkout_fw(FWorker(name=worker_name()), ".")
    action = FWAction(stored_data={"_exception": {"_stacktrace": trace}}, exit=True)
    pad.complete_launch(launch_id, action, "FIZZLED")
    return firework.fw_id


def test_a_lock_is_opened_only_when_nobody_can_hold_it(pad):
    pad.workflows.update_many({}, {"$set": {"locked": True}})
    pad.launches.insert_one({"launch_id": 99, "fw_id": 1, "state": "COMPLETED", "fworker": {"name": DEAD}})
    pad.launches.insert_one(
        {"launch_id": 98, "fw_id": 2, "state": "COMPLETED", "fworker": {"name": worker_name()}}
    )
    assert reap(pad) == []  # this process lives
    assert pad.workflows.count_documents({"locked": True}) == 1
    pad.launches.delete_one({"launch_id": 98})
    assert len(reap(pad)) == 1
    assert pad.workflows.count_documents({"locked": True}) == 0
    assert reap(pad) == []


def test_a_lock_that_no_update_can_take_so_long_is_opened_beside_a_living_worker(pad, monkeypatch):
    pad.workflows.update_many({}, {"$set": {"locked": True}})
    pad.launches.insert_one(
        {"launch_id": 98, "fw_id": 2, "state": "COMPLETED", "fworker": {"name": worker_name()}}
    )
    monkeypatch.setattr(reaping, "_LOCK_S", 0.0)
    assert len(reap(pad)) == 1


def test_a_job_taken_by_a_worker_killed_before_its_launch_was_written_is_ready_again(pad):
    pad.fireworks.update_one({"state": "READY"}, {"$set": {"state": "RESERVED"}})
    assert counts_by_state(pad) == {"RESERVED": 1, "WAITING": 1}
    assert [found.done for found in reap(pad)] == ["brought up to date: its worker died between two writes"]
    assert counts_by_state(pad) == {"READY": 1, "WAITING": 1}


def test_a_job_whose_launch_ended_but_which_was_not_told_is_brought_up_to_date(pad):
    _, launch_id = pad.checkout_fw(FWorker(name=worker_name()), ".")
    ended = {"state": "COMPLETED", "action": FWAction().to_dict()}
    pad.launches.update_one({"launch_id": launch_id}, {"$set": ended})
    assert counts_by_state(pad) == {"RUNNING": 1, "WAITING": 1}
    reap(pad)
    assert counts_by_state(pad) == {"COMPLETED": 1, "READY": 1}


def test_what_a_worker_given_up_wrongly_reports_later_changes_nothing(pad):
    _, launch_id = pad.checkout_fw(FWorker(name=DEAD), ".")
    assert len(reap(pad)) == 1
    again, _ = pad.checkout_fw(FWorker(name=worker_name()), ".")
    pad.complete_launch(launch_id, None, "FIZZLED")
    assert pad.fireworks.find_one({"fw_id": again.fw_id})["state"] == "RUNNING"
    assert reap(pad) == []


@pytest.mark.parametrize(
    ("trace", "kind"),
    [
        ("OSError: [Errno 28] No space left on device", "infrastructure"),
        ("pymongo.errors.AutoReconnect: connection closed", "infrastructure"),
        ("MemoryError", "infrastructure"),
        ("", "infrastructure"),
        ("sse_screen.dynamics.segmented_run.DynamicsError: the run exploded at 3 ps", "scientific"),
        ("sse_screen.workflows.survey.RunsNotOverError: 3 runs are not over", "infrastructure"),
        ("sse_screen.database.errors.BlobCorruptError: blob 12", "infrastructure"),
        ("PermissionError: [Errno 13] Permission denied: '/scratch'", "infrastructure"),
        ("sse_screen.exceptions.InputError: crystal.cif: OSError while reading", "scientific"),
        ("ValueError: something in the science", "scientific"),
    ],
)
def test_failures_of_the_machine_are_tried_again_and_those_of_the_science_not(pad, trace, kind):
    fw_id = fail(pad, trace)
    assert [failure.kind for failure in failures(pad)] == [kind]
    assert rerun_infrastructure_failures(pad) == ([fw_id] if kind == "infrastructure" else [])


@pytest.fixture
def locked_beside_a_dead_worker(database, settings_environment):
    """A worker killed while it updated its workflow; all times are those of real use."""
    found = launchpad(settings_environment)
    submit(found, database)
    found.checkout_fw(FWorker(name=DEAD), ".")
    found.workflows.update_many({}, {"$set": {"locked": True}})
    return found


def test_a_lock_beside_a_dead_worker_holds_nothing_up(locked_beside_a_dead_worker):
    started = time.monotonic()
    assert reap(locked_beside_a_dead_worker) == []  # the lock may have been taken a moment ago
    assert time.monotonic() - started < 5
    assert counts_by_state(locked_beside_a_dead_worker) == {"RUNNING": 1, "WAITING": 1}
    done = [found.done for found in reap_twice(locked_beside_a_dead_worker)]
    assert time.monotonic() - started < 30
    assert "opened: nobody holds it" in done[0]
    assert done[1:] == ["made ready again: its worker is dead"]
    assert counts_by_state(locked_beside_a_dead_worker) == {"READY": 1, "WAITING": 1}


def test_a_lock_taken_at_the_last_moment_leaves_the_job_for_the_next_pass(
    locked_beside_a_dead_worker, monkeypatch
):
    monkeypatch.setattr(WFLock.__init__, "__defaults__", (0.1, False))
    monkeypatch.setattr(reaping, "is_locked", lambda *_: False)
    assert reap(locked_beside_a_dead_worker) == []


def test_failed_jobs_of_a_locked_workflow_are_left(pad):
    fw_id = fail(pad, "OSError: the disk")
    pad.workflows.update_many({}, {"$set": {"locked": True}})
    assert rerun_infrastructure_failures(pad) == []
    with pytest.raises(InfrastructureError, match="locked"):
        rerun_jobs(pad, [fw_id])


def test_a_machine_that_keeps_failing_is_given_up(pad):
    for _ in range(LARGEST_RERUNS):
        fail(pad, "OSError: the disk")
        assert len(rerun_infrastructure_failures(pad)) == 1
    fail(pad, "OSError: the disk")
    assert rerun_infrastructure_failures(pad) == []
    assert counts_by_state(pad)["FIZZLED"] == 1


def test_progress_is_timed_by_the_database(pad, database, monkeypatch):
    _, launch_id = pad.checkout_fw(FWorker(name=worker_name()), ".")
    beat = Heartbeat(database[WORKERS], worker_name(), 0.0)
    try:
        CURRENT.begin(launch_id, "a run")
        CURRENT.report(10, 100)
        beat.write()
        first = database[WORKERS].find_one()
        beat.write()
        second = database[WORKERS].find_one()
        assert second["progressed_at"] == first["progressed_at"]
        assert second["seen_at"] > first["seen_at"]
        (job,) = running_jobs(pad, Patience(slow_after_s=3600, hung_after_s=7200))
        assert (job.health, job.done, job.total) == ("running", 10, 100)
        assert [j.health for j in running_jobs(pad, Patience(0.0, 3600))] == ["slow"]
        assert [j.health for j in running_jobs(pad, Patience(0.0, 0.0))] == ["hung"]
        CURRENT.report(11, 100)
        beat.write()
        assert database[WORKERS].find_one()["progressed_at"] > first["progressed_at"]
        # a job that never reports gets more time
        CURRENT.begin(launch_id, "one long calculation")
        beat.write()
        database[WORKERS].update_one({}, [{"$set": {"progressed_at": {"$subtract": ["$$NOW", 20_000]}}}])
        assert [j.health for j in running_jobs(pad, Patience(1.0, 10.0))] == ["slow"]
        assert [j.health for j in running_jobs(pad, Patience(1.0, 2.0))] == ["hung"]
    finally:
        CURRENT.begin(None, None)


def test_how_long_something_looked_the_same(database):
    assert unchanged_for_s(database, "it", ["$a", 1]) == 0.0
    first = unchanged_for_s(database, "it", ["$a", 1])
    assert 0 <= first <= unchanged_for_s(database, "it", ["$a", 1])
    assert unchanged_for_s(database, "it", ["$a", 2]) == 0.0


def test_after_an_outage_silent_workers_get_the_time_to_be_heard(pad, database, monkeypatch):
    """Longer silence than allowed because nobody could hear: the next sign of life saves the worker."""
    monkeypatch.setattr(reaping, "_SECOND_LOOK_S", 0.05)
    elsewhere = "sse-screen@elsewhere@7@8"
    pad.checkout_fw(FWorker(name=elsewhere), ".")
    long_ago = [{"$set": {"seen_at": {"$subtract": ["$$NOW", 4_000_000]}}}]
    database[WORKERS].update_one({"_id": elsewhere}, long_ago, upsert=True)
    assert [job.health for job in running_jobs(pad)] == ["dead"]
    assert reap(pad) == []
    database[WORKERS].update_one({"_id": elsewhere}, [{"$set": {"seen_at": "$$NOW"}}])
    time.sleep(0.1)
    assert reap(pad) == []
    assert [job.health for job in running_jobs(pad)] == ["running"]
    database[WORKERS].update_one({"_id": elsewhere}, long_ago)
    assert reap(pad) == []
    time.sleep(0.1)
    assert len(reap(pad)) == 1


def test_two_that_reap_at_once_give_a_job_up_once(pad):
    pad.checkout_fw(FWorker(name=DEAD), ".")
    launch_id = pad.launches.find_one({"state": "RUNNING"})["launch_id"]
    assert reaping._claimed(pad, launch_id)
    assert not reaping._claimed(pad, launch_id)
    assert reap(pad) == []
