"""Start worker processes, watch them, put back what a dead one left, stop them cleanly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fireworks import LaunchPad

from sse_screen.exceptions import InfrastructureError
from sse_screen.settings import Settings
from sse_screen.workflows.monitoring import counts_by_state, put_back_lost_runs, unfinished

_POLL_S = 1.0
_LOOK_FOR_LOST_S = 30.0
_RESTARTS_A_WORKER = 3
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Watch = Callable[[dict[str, int]], None]


def launch_workers(settings: Settings, launchpad: LaunchPad, n_workers: int, watch: Watch) -> int:
    """Run workers until no job is ready or running.

    Parameters
    ----------
    settings : Settings
        Handed on to the workers by environment variables.
    launchpad : LaunchPad
        Where the jobs are.
    n_workers : int
        Processes, one thread each.
    watch : callable
        Called about once a second with the counts by state.

    Returns
    -------
    int
        Number of jobs that ended failed.

    Raises
    ------
    InfrastructureError
        When workers keep dying.
    """
    put_back_lost_runs(launchpad)
    if not unfinished(launchpad):
        watch(counts_by_state(launchpad))
        return counts_by_state(launchpad).get("FIZZLED", 0)
    with _processes(settings, n_workers) as processes:
        try:
            _watch_over(settings, launchpad, processes, watch)
        finally:
            _stop(processes)
            put_back_lost_runs(launchpad, stopped_in_order=True)
    counts = counts_by_state(launchpad)
    watch(counts)
    return counts.get("FIZZLED", 0)


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    environment = os.environ | settings.environment() | dict.fromkeys(_THREADS, "1")
    directory = settings.work_directory
    assert directory is not None  # the settings fill it in
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "workers.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sse_screen.workflows.worker"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops them in order
        )


@contextmanager
def _processes(settings: Settings, n_workers: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(_start(settings) for _ in range(n_workers))
        yield processes
    finally:
        _stop(processes)


def _watch_over(
    settings: Settings, launchpad: LaunchPad, processes: list[subprocess.Popen[bytes]], watch: Watch
) -> None:
    restarts = _RESTARTS_A_WORKER * len(processes)
    looked = time.monotonic()
    while True:
        counts = counts_by_state(launchpad)
        watch(counts)
        died = [p for p in processes if p.poll() not in (None, 0)]
        if not unfinished(launchpad):
            return
        for process in died:
            processes.remove(process)
        if died or time.monotonic() - looked > _LOOK_FOR_LOST_S:
            put_back_lost_runs(launchpad)
            looked = time.monotonic()
        alive = [p for p in processes if p.poll() is None]
        missing = len(died) + (1 if not alive and not died else 0)
        if missing and restarts < missing:
            raise InfrastructureError(
                f"workers keep dying; the last lines of {settings.work_directory}/workers.log say why. "
                "No finished result is lost: mend the cause and run `sse-screen launch` again"
            )
        restarts -= missing
        processes.extend(_start(settings) for _ in range(missing))
        time.sleep(_POLL_S)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
