"""Ctrl-C of the commands that run jobs: all processes end, nothing is half done, the next call goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.settings import get_settings
from sse_screen.workflows.monitoring import counts_by_state
from sse_screen.workflows.process_names import is_dead_here

CAMPAIGN = {
    "name": "interrupted",
    "molecular_dynamics": {
        "temperatures_K": [600],
        "minimum_length_A": 4.5,
        "protocol": {"equilibration_ps": 0.1, "production_ps": 1.2, "frame_interval_fs": 4.0},
    },
    "materials": [{"prototype": "licl"}],
}


@pytest.fixture
def start(tmp_path, settings_environment, monkeypatch):
    """Give a function that starts a command with a work folder of the test's own."""
    monkeypatch.setenv("SSE_SCREEN_WORK_DIRECTORY", str(tmp_path / "work"))
    (tmp_path / "interrupted.yaml").write_text(yaml.safe_dump(CAMPAIGN))

    def command(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "sse_screen.cli", *arguments],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )

    return command


@pytest.fixture
def own_server(tmp_path, settings_environment, monkeypatch):
    """Start a server that a test may stop, with a job that runs for a while."""
    monkeypatch.setenv("SSE_SCREEN_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("SSE_SCREEN_DATABASE_TIMEOUT_S", "1")
    get_settings.cache_clear()
    server = EmbeddedServer.from_settings(get_settings())
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("ended_by", ["ctrl-c", "the wait"])
def test_launch_ends_with_its_message_while_the_database_is_away(start, own_server, monkeypatch, ended_by):
    monkeypatch.setenv("SSE_SCREEN_DATABASE_WAIT_S", "600" if ended_by == "ctrl-c" else "3")
    assert start("submit", "interrupted.yaml").wait(120) == 0
    pad = launchpad(get_settings())
    process = start("launch", "--workers", "1")
    deadline = time.monotonic() + 120
    while pad.launches.find_one({"state": "RUNNING"}) is None:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    own_server.stop()
    if ended_by == "ctrl-c":
        time.sleep(4)
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said
    if ended_by == "ctrl-c":
        assert process.returncode == 130, said
        assert "stopped; finished jobs are kept" in said
    else:
        assert process.returncode == 2, said
        assert "\nerror: " in said
    assert said.count("\n") < 20, said


@pytest.mark.parametrize("command", [("launch", "--workers", "1"), ("screen", "interrupted.yaml")])
def test_ctrl_c_in_dynamics_leaves_a_state_to_go_on_from(
    start, command, tmp_path, database, settings_environment
):
    pad = launchpad(settings_environment)
    if command[0] == "launch":
        assert start("submit", "interrupted.yaml").wait(120) == 0
    process = start(*command)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("work/calculations/*/segment_*.npz"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "stopped; finished jobs are kept" in said
    assert counts_by_state(pad) == {"COMPLETED": 1, "READY": 1}
    assert pad.workflows.count_documents({"locked": True}) == 0
    assert all(is_dead_here(name) for name in pad.launches.distinct("fworker.name"))
    segments = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/calculations/*/segment_*.npz")}
    again = start(*command)
    _, said = again.communicate(timeout=180)
    assert again.returncode == 0, said
    assert counts_by_state(pad) == {"COMPLETED": 2}
    assert database[OUTPUTS].count_documents({"output.kind": "molecular_dynamics"}) == 1
    assert len(segments) >= 2
