"""The embedded server: private, on no TCP port, safe to start and stop in every state it can be found in."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pymongo import MongoClient

from sse_screen.database import embedded
from sse_screen.database.embedded import EmbeddedServer, find_mongod, make_private
from sse_screen.database.errors import EmbeddedServerError


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="sse-e-") as name:
        yield Path(name) / "database"


@pytest.fixture
def server(folder):
    server = EmbeddedServer(folder)
    yield server
    server.stop()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    while alive(pid):
        time.sleep(0.01)


def test_start_twice_and_stop_twice(server):
    assert not server.status().running
    first = server.start()
    assert first.running
    assert first.version.startswith("6.")
    assert server.start().pid == first.pid
    assert server.stop()
    assert not alive(first.pid)
    assert not server.stop()
    assert not server.socket_path.exists()


def test_data_outlives_the_server(server):
    for expected in (0, 1):
        client = MongoClient(server.start().uri)
        assert client["x"]["y"].count_documents({}) == expected
        client["x"]["y"].insert_one({"n": 1})
        client.close()
        server.stop()


def listening_sockets(pid):
    own = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(handle)
        except OSError:
            continue
        if target.startswith("socket:["):
            own.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        found += [line for line in lines if line.split()[9] in own]
    return found


def test_private_and_on_no_port(server):
    status = server.start()
    assert listening_sockets(status.pid) == []
    assert server.directory.stat().st_mode & 0o777 == 0o700
    assert server.socket_path.stat().st_mode & 0o077 == 0
    assert server.socket_path.parent == server.directory


def test_bounded_cache_and_no_compressors(server):
    client = MongoClient(server.start().uri)
    options = client.admin.command("getCmdLineOpts")["parsed"]
    assert options["storage"]["wiredTiger"]["engineConfig"]["cacheSizeGB"] == 0.25
    assert options["net"]["compression"]["compressors"] == "disabled"
    client.close()


def test_after_a_kill(server):
    client = MongoClient(server.start().uri)
    client["x"]["y"].insert_one({"n": 1})
    client.admin.command("fsync")
    kill(server.status().pid)
    assert server.socket_path.exists()
    assert server.pid_path.exists()
    assert not server.status().running
    assert server.start().running
    assert client["x"]["y"].count_documents({}) == 1
    client.close()


def test_number_of_a_dead_server_used_by_a_stranger(server):
    kill(server.start().pid)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        server.pid_path.write_text(str(stranger.pid))
        assert not server.stop()
        assert stranger.poll() is None
        server.pid_path.write_text(str(stranger.pid))
        assert server.start().pid != stranger.pid
    finally:
        stranger.kill()
        stranger.wait()


def test_lost_pid_file(server):
    pid = server.start().pid
    server.pid_path.unlink()
    assert server.start().pid == pid
    assert server.stop()
    assert not alive(pid)


def test_many_starts_at_once(folder):
    with ThreadPoolExecutor(6) as pool:
        pids = {status.pid for status in pool.map(lambda _: EmbeddedServer(folder).start(), range(6))}
    assert len(pids) == 1
    assert EmbeddedServer(folder).stop()


def test_restart_at_once(server):
    pids = set()
    for _ in range(3):
        pids.add(server.start().pid)
        server.stop()
    assert len(pids) == 3


def test_two_folders_two_servers(folder):
    one, two = EmbeddedServer(folder), EmbeddedServer(folder.with_name("other"))
    try:
        assert one.start().pid != two.start().pid
        one.stop()
        assert two.status().running
    finally:
        one.stop()
        two.stop()


def test_long_path_gets_a_short_socket(folder):
    server = EmbeddedServer(folder / ("long" * 30))
    assert server.socket_path.parent.parent == Path("/tmp")
    try:
        assert server.start().running
        assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700
        assert server.socket_path == EmbeddedServer(server.directory).socket_path
    finally:
        server.stop()
        server.socket_path.parent.rmdir()


def test_folder_open_to_others_is_refused(folder):
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(
        EmbeddedServerError, match=r"open to other users \(permissions 0755\); run: chmod 700"
    ):
        EmbeddedServer(folder).start()


def test_link_in_place_of_the_folder_is_refused(folder):
    folder.parent.joinpath("elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")
    with pytest.raises(EmbeddedServerError, match="must be a folder, not a link"):
        make_private(folder)


def test_folder_that_cannot_be_made(folder):
    folder.write_text("a file")
    with pytest.raises(EmbeddedServerError, match="cannot be made"):
        EmbeddedServer(folder / "below").start()


def test_foreign_folder_is_refused(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(EmbeddedServerError, match="belongs to another user"):
        make_private(folder)


def test_full_disk_is_named(folder, monkeypatch):
    monkeypatch.setattr(embedded, "MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(EmbeddedServerError, match=r"only \d+ MB free"):
        EmbeddedServer(folder).start()


def test_started_on_another_host(server):
    server.start()
    server.stop()
    server.host_path.write_text("node17")
    with pytest.raises(EmbeddedServerError, match="started on host 'node17' and not stopped there"):
        server.start()
    with pytest.raises(EmbeddedServerError, match="node17"):
        server.stop()
    server.host_path.unlink()
    assert server.start().running


def test_failing_server_quotes_its_log(server):
    server.start()
    server.stop()
    (server.database_path / "WiredTiger.turtle").write_text("nonsense")
    (server.database_path / "WiredTiger.wt").write_text("nonsense")
    with pytest.raises(EmbeddedServerError, match=r"mongod ended with status \d+: .* \(log: .*mongod\.log\)"):
        server.start()


def test_package_not_installed(monkeypatch):
    assert find_mongod().name == "mongod"
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError, match="pip install 'sse-screen\\[embedded-database\\]'"):
        find_mongod()
