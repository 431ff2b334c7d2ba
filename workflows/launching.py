"""Start worker processes, watch them, put back what a dead one left, stop them cleanly."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fireworks import LaunchPad

from sse_screen.database.waiting import is_away, patiently, wait_for_database
from sse_screen.exceptions import InfrastructureError, InputError
from sse_screen.settings import Settings, check_free_space
from sse_screen.workflows.monitoring import (
    counts_by_state,
    failed_launches,
    rerun_infrastructure_failures,
    unfinished,
)
from sse_screen.workflows.reaping import reap, reap_twice
from sse_screen.workflows.stopping import OUT_OF_TIME, RESERVE_S

_POLL_S = 1.0
_LOOK_FOR_LOST_S = 30.0
_RESTARTS_A_WORKER = 3
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Watch = Callable[[dict[str, int]], None]
_log = logging.getLogger(__name__)


def launch_workers(settings: Settings, launchpad: LaunchPad, n_workers: int, watch: Watch) -> int:
    """Run workers until no job is ready or running, or the time is over.

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
        Number of jobs that failed meanwhile; earlier failures do not count. Jobs left unfinished when it
        returns are so for lack of time.

    Raises
    ------
    InputError
        When the wall time is not longer than the reserve in which workers begin nothing any more.
    InfrastructureError
        When workers keep dying, or the database has gone away for longer than ``database_wait_s``.
    """
    if settings.wall_time_s is not None and settings.wall_time_s <= RESERVE_S:
        raise InputError(
            f"a wall time of {settings.wall_time_s:g} s: workers begin nothing in the last {RESERVE_S:g} s, "
            "so no job would ever run; give more (--wall-time, SSE_SCREEN_WALL_TIME_S)"
        )
    earlier = patiently(lambda: _put_right(launchpad), settings)
    if patiently(lambda: unfinished(launchpad), settings):
        with _crew(settings, n_workers) as crew:
            try:
                _watch_over(crew, launchpad, watch)
            finally:
                crew.stop()
                _make_ready_again(launchpad)
    watch(patiently(lambda: counts_by_state(launchpad), settings))
    return len(patiently(lambda: failed_launches(launchpad), settings) - earlier)


def _put_right(launchpad: LaunchPad) -> set[tuple[int, ...]]:
    """Put right what earlier workers left; give the failures that stay."""
    reap_twice(launchpad)
    rerun_infrastructure_failures(launchpad)
    return failed_launches(launchpad)


def _make_ready_again(launchpad: LaunchPad) -> None:
    """Put back the jobs of workers that were stopped, unless the database is away."""
    # it may be why this ends: an error here would hide the one that says so
    try:
        reap(launchpad, stopped_in_order=True)
    except Exception as error:
        if not is_away(error):
            raise
        _log.warning(
            "the database is away: the next `sse-screen launch` or `reap` makes the jobs ready again"
        )


class _Crew:
    """The worker processes: those that die are replaced, those that stop for time are not."""

    def __init__(self, settings: Settings, n_workers: int) -> None:
        self.settings = settings
        self._restarts = _RESTARTS_A_WORKER * n_workers
        self._started = time.monotonic()
        self._processes: list[subprocess.Popen[bytes]] = []
        for _ in range(n_workers):
            self._start()

    def _start(self) -> None:
        settings = self.settings
        if settings.wall_time_s is not None:
            left_s = settings.wall_time_s - (time.monotonic() - self._started)
            settings = settings.model_copy(update={"wall_time_s": max(left_s, 1.0)})
        environment = os.environ | settings.environment() | dict.fromkeys(_THREADS, "1")
        directory = settings.work_directory
        assert directory is not None  # the settings fill it in
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "workers.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "sse_screen.workflows.worker"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops them in order
            )
        self._processes.append(started)

    def bury(self) -> int:
        """Take out and count those that died."""
        died = [p for p in self._processes if p.poll() not in (None, 0, OUT_OF_TIME)]
        for process in died:
            self._processes.remove(process)
        return len(died)

    @property
    def alive(self) -> bool:
        """Whether any runs."""
        return any(process.poll() is None for process in self._processes)

    @property
    def out_of_time(self) -> bool:
        """Whether none runs any more and one stopped for time."""
        return not self.alive and any(process.poll() == OUT_OF_TIME for process in self._processes)

    def replace(self, n_died: int) -> None:
        """Start others, unless workers keep dying."""
        missing = n_died or (0 if self.alive else 1)
        if missing and self._restarts < missing:
            check_free_space(self.settings)  # its message is the better one where that is the cause
            raise InfrastructureError(
                f"workers keep dying; the last lines of {self.settings.work_directory}/workers.log say why. "
                "No finished result is lost: mend the cause and run `sse-screen launch` again"
            )
        self._restarts -= missing
        for _ in range(missing):
            self._start()

    def stop(self) -> None:
        """End all: in order first, by force those that do not."""
        _stop(self._processes)


@contextmanager
def _crew(settings: Settings, n_workers: int) -> Iterator[_Crew]:
    crew = _Crew(settings, n_workers)
    try:
        yield crew
    finally:
        crew.stop()


def _watch_over(crew: _Crew, launchpad: LaunchPad, watch: Watch) -> None:
    looked = time.monotonic()
    n_died = 0
    while not crew.out_of_time:
        n_died += crew.bury()
        try:
            watch(counts_by_state(launchpad))
            if not unfinished(launchpad):
                return
            if n_died or time.monotonic() - looked > _LOOK_FOR_LOST_S:
                reap(launchpad)
                looked = time.monotonic()
        except Exception as error:
            if not is_away(error):
                raise
            wait_for_database(crew.settings)  # as the workers do
            continue
        crew.replace(n_died)
        n_died = 0
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
