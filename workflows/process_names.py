"""Names by which a process is known for good, and whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

WORKER_PREFIX = "sse-screen"


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
