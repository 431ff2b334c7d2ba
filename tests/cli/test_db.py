"""The ``db`` commands, run as a user runs them."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.settings import get_settings


@pytest.fixture(autouse=True)
def _fresh_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("SSE_SCREEN_DATA_DIRECTORY", str(tmp_path / "d"))
    monkeypatch.delenv("SSE_SCREEN_DATABASE_URI", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def run(*arguments):
    return CliRunner().invoke(app, ["db", *arguments])


def test_start_status_stop():
    assert run("status").exit_code == 3
    try:
        started = json.loads(run("start", "--json").stdout)
        assert started["running"]
        found = run("status", "--json")
        assert found.exit_code == 0
        assert json.loads(found.stdout)["pid"] == started["pid"]
        assert "running: MongoDB 6" in run("start").stdout
        assert run("indexes", "--verify").stdout == "all indexes are there\n"
    finally:
        stopped = run("stop")
    assert stopped.stdout == "stopped\n"
    assert json.loads(run("stop", "--json").stdout) == {"stopped": False}
    assert "start it with: sse-screen db start" in run("status").stdout


def test_indexes(monkeypatch, database, mongo_settings):
    from sse_screen.database.stores import database_uri

    monkeypatch.setenv("SSE_SCREEN_DATABASE_URI", database_uri(mongo_settings))
    monkeypatch.setenv("SSE_SCREEN_DATABASE_NAME", database.name)
    get_settings.cache_clear()
    missing = run("indexes", "--verify", "--json")
    assert missing.exit_code == 3
    created = json.loads(run("indexes", "--json").stdout)["created"]
    assert created == json.loads(missing.stdout)["missing"]
    assert any(name.startswith("outputs.") for name in created)
    assert run("indexes").stdout == "all indexes are there\n"
    assert run("indexes", "--verify").exit_code == 0


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "sse_screen.cli", "db", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_with_a_server_of_ones_own(monkeypatch, mongo_settings):
    from sse_screen.database.stores import database_uri

    monkeypatch.setenv("SSE_SCREEN_DATABASE_URI", database_uri(mongo_settings))
    get_settings.cache_clear()
    assert json.loads(run("status", "--json").stdout)["running"]
    refused = command("start")
    assert refused.returncode == 2
    assert "unset it (SSE_SCREEN_DATABASE_URI)" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_unreachable_server(monkeypatch):
    monkeypatch.setenv("SSE_SCREEN_DATABASE_URI", "mongodb://u:hunter2@127.0.0.1:1/")
    monkeypatch.setenv("SSE_SCREEN_DATABASE_TIMEOUT_S", "0.5")
    refused = command("status")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: database at 127.0.0.1:1 does not answer")
    assert "hunter2" not in refused.stderr + refused.stdout
