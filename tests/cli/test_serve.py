"""The ``serve`` command: a real server on a real port, and what it refuses."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from sse_screen.cli.serve import is_loopback


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sse_screen.cli", "serve", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url):
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_serves_until_it_is_told_to_stop(settings_environment, database):
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "sse_screen.cli", "serve", "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert fetch(f"http://127.0.0.1:{port}/health")["status"] == "ok"
        assert fetch(f"http://127.0.0.1:{port}/convex-hull")["data"] == []
    finally:
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=20)
    assert "indexes are missing; run 'sse-screen db indexes'" in log
    assert "Traceback" not in log


def test_a_port_in_use_is_refused(settings_environment, database):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = command("--port", str(port))
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: cannot listen on 127.0.0.1 port {port}: address already in use; choose another by --port "
        "(SSE_SCREEN_API_PORT) or --host (SSE_SCREEN_API_HOST)\n"
    )


def test_outside_address_wants_a_key(settings_environment):
    refused = command("--host", "0.0.0.0")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: api_host '0.0.0.0' can be reached from outside; set api_key")


def test_no_database(tmp_path):
    refused = command(SSE_SCREEN_DATA_DIRECTORY=str(tmp_path), SSE_SCREEN_DATABASE_TIMEOUT_S="0.3")
    assert refused.returncode == 2
    assert "run 'sse-screen db start'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_openapi_file(tmp_path):
    path = tmp_path / "openapi.json"
    assert command("--openapi", str(path)).returncode == 0
    assert json.loads(path.read_text())["info"]["title"] == "sse-screen"
    refused = command("--openapi", str(tmp_path / "absent" / "x.json"))
    assert refused.returncode == 2
    assert "cannot be written" in refused.stderr


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("[::1]", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("node1", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host, expected):
    assert is_loopback(host) is expected
