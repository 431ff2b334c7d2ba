"""A worker process: takes jobs from the LaunchPad, one at a time, until there is nothing left to do.

It is a plain FireWorks worker that lives long (imports cost seconds), runs one thread, tells by its name what
process it is, and writes down how its time was spent.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WORKER_PREFIX = "sse-screen"
WORKERS = "workers"
_POLL_S = 0.5
_PING_S = 30
_WRITE_DOWN_S = 5.0


def process_start_time(pid: int) -> int | None:
    """Give the start time of a process, which with its pid names it for good.

    Parameters
    ----------
    pid : int
        Process id on this machine.

    Returns
    -------
    int or None
        Kernel ticks since boot; None when there is no such process (or it is a zombie).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def worker_name() -> str:
    """Name this process: host, pid and start time.

    Returns
    -------
    str
        Such as ``sse-screen@node1@4711@123456``.
    """
    pid = os.getpid()
    return "@".join([WORKER_PREFIX, socket.gethostname(), str(pid), str(process_start_time(pid))])


def is_dead_here(name: str) -> bool:
    """Tell whether a name of :func:`worker_name` is that of a process of this machine that has ended.

    Parameters
    ----------
    name : str
        Name of a process.

    Returns
    -------
    bool
        False for a living process, for one of another machine and for other names.
    """
    parts = name.split("@")
    if len(parts) != 4 or parts[0] != WORKER_PREFIX or parts[1] != socket.gethostname():
        return False
    return str(process_start_time(int(parts[2]))) != parts[3]


def work(settings_started: float) -> int:
    """Run jobs until none is ready, running or waiting.

    Parameters
    ----------
    settings_started : float
        ``time.time()`` when the process started, so that imports count as worker time.

    Returns
    -------
    int
        Number of jobs run.
    """
    import jobflow
    from fireworks import FWorker
    from fireworks.core import rocket
    from fireworks.core.rocket_launcher import launch_rocket
    from pymongo.errors import PyMongoError

    from sse_screen.database.stores import connect, job_store, launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.monitoring import unfinished

    settings = get_settings()
    jobflow.SETTINGS.JOB_STORE = job_store(settings)
    rocket.PING_TIME_SECS = _PING_S
    name = worker_name()
    directory = settings.work_directory
    assert directory is not None  # the settings fill it in
    folder = directory / "workers" / name
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    pad, fworker = launchpad(settings), FWorker(name=name)
    record: dict[str, Any] = {"_id": name, "started_at": datetime.now(UTC), "n_jobs": 0, "idle_s": 0.0}
    workers = connect(settings)[WORKERS]

    def write_down() -> None:
        while True:  # also while a job runs, so that a killed worker's time is known
            record["wall_s"] = time.time() - settings_started
            with contextlib.suppress(PyMongoError):
                workers.replace_one({"_id": name}, dict(record), upsert=True)
            time.sleep(_WRITE_DOWN_S)

    threading.Thread(target=write_down, daemon=True).start()
    while True:
        with contextlib.redirect_stdout(io.StringIO()):
            ran = launch_rocket(pad, fworker, strm_lvl="ERROR")
        if ran:
            record["n_jobs"] += 1
        elif not unfinished(pad):
            break
        else:
            time.sleep(_POLL_S)
            record["idle_s"] += _POLL_S
    record["wall_s"] = time.time() - settings_started
    workers.replace_one({"_id": name}, dict(record), upsert=True)
    return int(record["n_jobs"])


def main() -> None:
    """Run as ``python -m sse_screen.workflows.worker``."""
    started = time.time()
    import torch

    torch.set_num_threads(1)
    work(started)
    sys.exit(0)


if __name__ == "__main__":
    main()
