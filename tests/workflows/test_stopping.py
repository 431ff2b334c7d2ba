"""When a worker stops for time: its own limit, SLURM's, and long steps that need a longer reserve."""

import time

import pytest

from sse_screen.workflows import stopping
from sse_screen.workflows.stopping import Stopping


@pytest.fixture
def begin(mongo_settings, monkeypatch):
    monkeypatch.setattr(stopping.signal, "signal", lambda *_arguments: None)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)

    def make(wall_time_s=None, ago_s=0.0):
        found = Stopping()
        found.begin(
            mongo_settings.model_copy(update={"wall_time_s": wall_time_s}), started=time.time() - ago_s
        )
        return found

    return make


def test_without_a_limit_it_goes_on(begin):
    worker = begin()
    assert not worker.must_stop()
    worker.asked = True
    assert worker.must_stop()


def test_the_time_counts_from_the_start_of_the_process_and_leaves_a_reserve(begin):
    assert not begin(wall_time_s=1000).out_of_time
    assert begin(wall_time_s=1000, ago_s=980).out_of_time
    assert begin(wall_time_s=10).out_of_time


def test_the_earlier_of_two_ends_counts(begin, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time() + 5)))
    assert begin(wall_time_s=1000).out_of_time
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time() + 5000)))
    assert not begin().out_of_time
    assert begin(wall_time_s=10).out_of_time


def test_long_steps_stop_it_earlier(begin, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    worker = begin(wall_time_s=400)
    decisions = []
    for _ in range(5):
        decisions.append(worker.must_stop())
        now[0] += 60.0
    # 60 s a step: three of them must still fit in; 180 s of 400 after the start they do, after 240 s not
    assert decisions == [False, False, False, False, True]
    worker.step_ended()
    assert not worker.out_of_time  # another job may have shorter steps
