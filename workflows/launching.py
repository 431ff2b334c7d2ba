"""Start worker processes, watch them, put back what a dead one left, stop them cleanly."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

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
from sse_screen.workflows.reaping import reap, reap_twice, running_jobs
from sse_screen.workflows.restarts import DEATHS_A_WORKER, DeathCount, describe_death
from sse_screen.workflows.stopping import OUT_OF_TIME, RESERVE_S

_POLL_S = 1.0
_LOOK_FOR_LOST_S = 30.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Watch = Callable[[dict[str, int]], None]
_log = logging.getLogger(__name__)


def launch_workers(
    settings: Settings, launchpad: LaunchPad, n_workers: int, watch: Watch, campaign: str | None = None
) -> int:
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
    campaign : str, optional
        Count its jobs only for `watch`; those of others are run too.

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
        When workers keep dying: six a slot while no job is finished and ten minutes do not pass without a
        death. When the database has gone away for longer than ``database_wait_s``.
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
                _watch_over(crew, launchpad, lambda: watch(counts_by_state(launchpad, campaign)))
            finally:
                crew.stop()
                _make_ready_again(launchpad)
    watch(patiently(lambda: counts_by_state(launchpad, campaign), settings))
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
        self._deaths = DeathCount(DEATHS_A_WORKER * n_workers)
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
        with self._log_file.open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "sse_screen.workflows.worker"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops them in order
            )
        self._processes.append(started)

    @property
    def _log_file(self) -> Path:
        """What the workers write to; its folder is made when missing."""
        directory = self.settings.work_directory
        assert directory is not None  # the settings fill it in
        directory.mkdir(parents=True, exist_ok=True)
        return directory / "workers.log"

    def bury(self) -> list[subprocess.Popen[bytes]]:
        """Take out and give those that died."""
        died = [p for p in self._processes if p.poll() not in (None, 0, OUT_OF_TIME)]
        for process in died:
            self._processes.remove(process)
        return died

    def record(self, died: list[subprocess.Popen[bytes]], launchpad: LaunchPad) -> None:
        """Say of each dead worker how it ended and what it ran, here and in the log; count them."""
        jobs = running_jobs(launchpad)
        completed = launchpad.fireworks.count_documents({"state": "COMPLETED"})
        for process in died:
            said = describe_death(process.pid, process.returncode, jobs)
            with self._log_file.open("a") as log:
                log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {said}\n")
            _log.warning("%s", said)
        self._deaths.add(len(died), completed, time.monotonic())

    @property
    def alive(self) -> bool:
        """Whether any runs."""
        return any(process.poll() is None for process in self._processes)

    @property
    def out_of_time(self) -> bool:
        """Whether none runs any more and one stopped for time."""
        return not self.alive and any(process.poll() == OUT_OF_TIME for process in self._processes)

    def replace(self, n_died: int) -> None:
        """Start others, unless workers keep dying; one also when all have ended and jobs came since."""
        if self._deaths.too_many:
            check_free_space(self.settings)  # its message is the better one where that is the cause
            raise InfrastructureError(
                f"workers keep dying: {self._deaths.n_deaths} since the last finished job; the last lines "
                f"of {self._log_file} say how each ended. No finished result is lost: mend the cause and run "
                "`sse-screen launch` again"
            )
        # one that died since it was looked at is not one that found nothing to do
        all_ended_in_order = all(process.poll() == 0 for process in self._processes)
        for _ in range(n_died or int(all_ended_in_order)):
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


def _watch_over(crew: _Crew, launchpad: LaunchPad, tell: Callable[[], None]) -> None:
    looked = time.monotonic()
    died: list[subprocess.Popen[bytes]] = []
    n_missing = 0
    while not crew.out_of_time:
        died += crew.bury()
        try:
            tell()
            if died:
                crew.record(died, launchpad)
                n_missing, died = n_missing + len(died), []
            if not unfinished(launchpad):
                return
            if n_missing or time.monotonic() - looked > _LOOK_FOR_LOST_S:
                reap(launchpad)
                looked = time.monotonic()
        except Exception as error:
            if not is_away(error):
                raise
            wait_for_database(crew.settings)  # as the workers do
            continue
        crew.replace(n_missing)
        n_missing = 0
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
