"""Faults on real processes: nothing is lost, nothing is done twice, at most one segment is repeated."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fault_tools import (
    MD,
    check_nothing_lost_nothing_twice,
    segments,
    start_worker,
    submit,
    wait_for,
)

from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.stores import OUTPUTS, connect, launchpad
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.settings import get_settings
from sse_screen.workflows import reaping
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import failures
from sse_screen.workflows.reaping import LOST, Patience, reap, running_jobs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(settings_environment, monkeypatch, tmp_path):
    """Settings with a work folder of the test's own, so that nothing is found finished."""
    monkeypatch.setenv("SSE_SCREEN_WORK_DIRECTORY", str(tmp_path / "work"))
    monkeypatch.setenv("SSE_SCREEN_MINIMUM_FREE_SPACE_GB", "0")
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def pad(database, settings):
    return launchpad(settings)


def launch(settings, pad, n_workers=1):
    return launch_workers(settings, pad, n_workers, lambda _counts: None)


KILL_IN_UPLOAD = """
from sse_screen.database.blobs import BlobStore
insert = BlobStore._insert_if_absent
def kill_after_the_first_piece(*arguments):
    insert(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
BlobStore._insert_if_absent = staticmethod(kill_after_the_first_piece)
"""
KILL_BEFORE_OUTBOX = """
import sse_screen.workflows.runtime as runtime
write = runtime.write_durably
def kill(path, content):
    if b'"molecular_dynamics"' in content:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)
runtime.write_durably = kill
"""
KILL_BEFORE_DOCUMENT = """
from maggma.stores import MongoStore
MongoStore.update = lambda *_arguments, **_options: os.kill(os.getpid(), signal.SIGKILL)
"""


def test_stops_and_kills_in_dynamics_upload_and_between_blob_and_document(pad, database, settings):
    submit(pad, database)
    worker = start_worker(settings)
    wait_for(lambda: len(segments(settings)) >= 2, process=worker)
    worker.terminate()  # SIGTERM: it stops at a checkpoint and lets the job go
    assert worker.wait(60) == 75
    job = pad.fireworks.find_one({"name": {"$regex": "run"}})
    assert job["state"] == "READY"
    assert job["spec"][LOST] == 0
    before = segments(settings)
    for done_to_it in (KILL_IN_UPLOAD, KILL_BEFORE_OUTBOX, KILL_BEFORE_DOCUMENT):
        assert start_worker(settings, done_to_it).wait(180) == -signal.SIGKILL
        assert database[OUTPUTS].count_documents(MD) == 0
        assert [found.done for found in reap(pad)] == ["made ready again: its worker is dead"]
    after = segments(settings)
    assert after.items() >= before.items()  # what was on the disk was not computed again
    assert launch(settings, pad) == 0
    check_nothing_lost_nothing_twice(pad, database)
    assert pad.fireworks.find_one({"name": {"$regex": "run"}})["spec"][LOST] == 3


def test_the_database_goes_away_during_a_run_and_its_upload(settings_environment, monkeypatch, tmp_path):
    """Ten seconds; SSE_TEST_OUTAGE_S=60 for a minute."""
    outage_s = float(os.environ.get("SSE_TEST_OUTAGE_S", "10"))
    for name, value in {
        "DATA_DIRECTORY": tmp_path,
        "WORK_DIRECTORY": tmp_path / "work",
        "DATABASE_TIMEOUT_S": 1,
        "MINIMUM_FREE_SPACE_GB": 0,
    }.items():
        monkeypatch.setenv(f"SSE_SCREEN_{name}", str(value))
    get_settings.cache_clear()
    settings = get_settings()
    server = EmbeddedServer.from_settings(settings)
    server.start()
    try:
        pad, database = launchpad(settings), connect(settings)
        submit(pad, database)
        failed = []
        launcher = threading.Thread(target=lambda: failed.append(launch(settings, pad)))
        launcher.start()
        wait_for(lambda: len(segments(settings)) >= 2)
        server.stop()
        stopped = time.monotonic()
        # the run ends while the database is away: all that is missing is the upload
        wait_for(lambda: list(settings.work_directory.glob("calculations/*/trajectory.h5")))
        before = segments(settings)
        time.sleep(max(outage_s - (time.monotonic() - stopped), 0))
        server.start()
        launcher.join(180)
        assert failed == [0], failures(pad)
        assert segments(settings) == before or not segments(settings)
        check_nothing_lost_nothing_twice(pad, database)
        assert pad.launches.count_documents({"state": "FIZZLED"}) == 0
        assert len(pad.launches.distinct("fworker.name")) == 1  # the worker outlived the outage
    finally:
        server.stop()


def test_a_full_disk_fails_the_job_and_loses_nothing(pad, database, settings):
    submit(pad, database)

    def fill_the_disk():
        (first,) = wait_for(lambda: list(segments(settings)))
        # whatever is written there, the kernel answers that no space is left
        (first.parent / "segment_00003.npz.partial").symlink_to("/dev/full")

    filler = threading.Thread(target=fill_the_disk)
    filler.start()
    assert launch(settings, pad) == 1
    filler.join()
    (failure,) = failures(pad)
    assert failure.kind == "infrastructure"
    assert "No space left" in failure.reason
    before = segments(settings)
    assert len(before) == 3
    (full,) = settings.work_directory.glob("calculations/*/segment_00003.npz.partial")
    full.unlink()
    assert launch(settings, pad) == 0  # infrastructure failures are tried again
    assert segments(settings).items() >= before.items()
    check_nothing_lost_nothing_twice(pad, database)


def test_two_workers_racing_for_the_same_calculations_do_them_once(pad, database, settings):
    submit(pad, database, "one", production_ps=0.4)
    submit(pad, database, "other", production_ps=0.4)
    assert launch(settings, pad, n_workers=2) == 0
    check_nothing_lost_nothing_twice(pad, database, n_jobs=4)
    assert pad.launches.count_documents({}) == 4  # no job was taken twice
    for kind in ("relaxation", "molecular_dynamics"):
        one, other = (found["output"] for found in database[OUTPUTS].find({"output.kind": kind}))
        own = {name: other[name] for name in ("reused_from", "inputs") if name in other}
        assert one | own == other  # measured times included: it was run once
    assert database["blobs.files"].count_documents({}) == 2


ELSEWHERE_WITH_A_WRONG_CLOCK = """
import datetime, socket, time
right = datetime.datetime
true_time = time.time
time.time = lambda: true_time() - 3 * 3600
class Anything(type):
    def __instancecheck__(cls, value):
        return isinstance(value, right)
class Wrong(right, metaclass=Anything):
    @classmethod
    def now(cls, tz=None):
        return right.fromtimestamp(time.time(), tz)
    @classmethod
    def utcnow(cls):
        return right.now(datetime.UTC).replace(tzinfo=None) - datetime.timedelta(hours=3)
datetime.datetime = Wrong
socket.gethostname = lambda: "elsewhere"
"""


def test_hung_dead_and_living_workers_are_told_apart_whatever_their_clocks_say(
    pad, database, settings, monkeypatch
):
    submit(pad, database)
    hung = start_worker(settings, "from sse_screen.workflows import heartbeat\nheartbeat._INTERVAL_S = 0.3")
    # the run, whose steps are known; the relaxation before it has others
    (job,) = wait_for(lambda: [j for j in running_jobs(pad) if j.done and j.total == 650], process=hung)
    assert job.health == "running"
    hung.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(reaping, "_SECOND_LOOK_S", 0.5)
    patience = Patience(slow_after_s=1.0, hung_after_s=7.0)
    wait_for(lambda: [j.health for j in running_jobs(pad, patience)] == ["slow"])
    wait_for(lambda: [j.health for j in running_jobs(pad, patience)] == ["hung"])
    assert reap(pad, patience) == []  # once is not enough
    found = wait_for(lambda: reap(pad, patience))
    assert [job.done for job in found] == ["made ready again: its worker is hung"]
    assert hung.wait(10) == -signal.SIGKILL

    worker = start_worker(settings, ELSEWHERE_WITH_A_WRONG_CLOCK)
    n_segments = len(segments(settings))
    wait_for(lambda: len(segments(settings)) > n_segments, process=worker)
    (job,) = running_jobs(pad)
    assert job.worker.startswith("sse-screen@elsewhere@")
    assert job.health == "running"  # though its FireWorks times are three hours old
    assert reap(pad) == []
    worker.kill()
    assert [job.health for job in running_jobs(pad)] == ["running"]  # elsewhere: nobody can know yet
    monkeypatch.setattr(reaping, "_OWN_HEARTBEAT_LIMIT_S", 7.0)
    monkeypatch.setattr(reaping, "_SECOND_LOOK_S", 0.5)
    wait_for(lambda: [j.health for j in running_jobs(pad)] == ["dead"])
    wait_for(lambda: reap(pad))
    assert launch(settings, pad) == 0
    check_nothing_lost_nothing_twice(pad, database)


ELSEWHERE = """
import socket
from sse_screen.workflows import heartbeat
socket.gethostname = lambda: "elsewhere"
heartbeat._INTERVAL_S = 0.3
"""


def test_a_worker_elsewhere_that_was_replaced_and_comes_back_changes_no_result(
    pad, database, settings, monkeypatch, tmp_path
):
    """Two machines: each has a work folder of its own, and none can kill the other's worker."""
    there = settings.model_copy(update={"work_directory": tmp_path / "elsewhere"})
    submit(pad, database)
    late = start_worker(there, ELSEWHERE)
    try:
        wait_for(lambda: len(segments(there)) >= 2 and any(j.done for j in running_jobs(pad)), process=late)
        late.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(reaping, "_SECOND_LOOK_S", 0.5)
        found = wait_for(lambda: reap(pad, Patience(slow_after_s=1.0, hung_after_s=2.0)))
        assert [job.done for job in found] == ["made ready again: its worker is hung"]
        assert launch(settings, pad) == 0
        stored = {document["uuid"]: document["output"] for document in database[OUTPUTS].find()}
        assert not list(there.work_directory.glob("calculations/*/trajectory.h5"))
        late.send_signal(signal.SIGCONT)
        assert late.wait(180) == 0  # it finishes its run, and finds nothing else to do
    finally:
        late.kill()
    assert list(there.work_directory.glob("calculations/*/trajectory.h5"))
    assert {document["uuid"]: document["output"] for document in database[OUTPUTS].find()} == stored
    check_nothing_lost_nothing_twice(pad, database)


RUN = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from springs import crystal
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
atoms, springs = crystal()
steps = MolecularDynamicsProtocol(
    equilibration_ps=0.5, production_ps=6.0, frame_interval_fs=10.0
)
pace = lambda done, total: time.sleep(float(sys.argv[3]))
run_molecular_dynamics(atoms, springs, steps, 300.0, 5, Path(sys.argv[1]), pace)
"""


def test_a_run_in_five_killed_segments_equals_the_unbroken_one(tmp_path):
    def start(folder, pace_s):
        helpers = str(ROOT / "tests" / "dynamics")
        return subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / folder), helpers, str(pace_s)])

    for kill in range(5):
        process = start("broken", 0.004)
        wait_for(lambda n=kill: len(list(tmp_path.glob("broken/segment_*"))) > 2 * n, process=process)
        process.kill()
        process.wait()
        assert not (tmp_path / "broken" / "trajectory.h5").exists()
    for folder in ("broken", "whole"):
        assert start(folder, 0.0).wait(180) == 0
    paths = [sorted((tmp_path / folder).glob("segment_*")) for folder in ("broken", "whole")]
    assert len(paths[0]) == len(paths[1]) == 13
    for one, other in zip(*paths, strict=True):
        a, b = Trajectory.load(one), Trajectory.load(other)
        assert np.array_equal(a.positions, b.positions)
        assert np.array_equal(a.potential_energies_eV, b.potential_energies_eV)
        assert np.array_equal(a.temperatures_K, b.temperatures_K)
