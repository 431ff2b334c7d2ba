"""A worker process: takes jobs from the LaunchPad, one at a time, until there is nothing left to do.

It is a plain FireWorks worker that lives long (imports cost seconds), runs one thread, tells by its name what
process it is, writes down how its time was spent, and waits for a database that has gone away.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sse_screen.workflows.heartbeat import CURRENT, WORKERS, Heartbeat
from sse_screen.workflows.process_names import worker_name
from sse_screen.workflows.stopping import OUT_OF_TIME, STOPPING

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from sse_screen.settings import Settings

_POLL_S = 0.5
_PING_S = 30


def work(started: float) -> int:
    """Run jobs until none is ready, running or waiting, or the time is over.

    Parameters
    ----------
    started : float
        ``time.time()`` when the process started, so that imports count as worker time.

    Returns
    -------
    int
        Exit status: 0, or 75 when it stopped for time.
    """
    from fireworks import FWorker

    from sse_screen.database.stores import connect, launchpad
    from sse_screen.database.waiting import is_away, wait_for_database
    from sse_screen.settings import check_free_space, get_settings
    from sse_screen.workflows.monitoring import unfinished
    from sse_screen.workflows.patience import PatientLaunchPad

    settings = get_settings()
    _prepare(settings)
    name = worker_name()
    STOPPING.begin(settings, started)
    pad, fworker = launchpad(settings, PatientLaunchPad), FWorker(name=name)
    beat = Heartbeat(connect(settings)[WORKERS], name, started)
    beat.start()
    while not (STOPPING.asked or STOPPING.out_of_time):
        try:
            # a full disk fails every job that is tried on it: better none is
            check_free_space(settings)
            if _run_one(pad, fworker):
                beat.n_jobs += 1
                continue
            if not unfinished(pad):
                break
        except Exception as error:
            if not is_away(error):
                raise
            wait_for_database(settings)
            _let_go(pad, name)
        time.sleep(_POLL_S)
        beat.idle_s += _POLL_S
    beat.write()
    return OUT_OF_TIME if STOPPING.out_of_time else 0


def _prepare(settings: Settings) -> None:
    import jobflow
    from fireworks.core import rocket

    from sse_screen.database.stores import job_store
    from sse_screen.workflows.patience import make_jobs_patient

    jobflow.SETTINGS.JOB_STORE = job_store(settings)
    rocket.PING_TIME_SECS = _PING_S
    make_jobs_patient(settings)
    assert settings.work_directory is not None  # the settings fill it in
    folder = settings.work_directory / "workers" / worker_name()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)


def _run_one(pad: LaunchPad, fworker: Any) -> bool:
    from fireworks.core.rocket_launcher import launch_rocket

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return bool(launch_rocket(pad, fworker, strm_lvl="ERROR"))
    finally:
        CURRENT.begin(None, None)


def _let_go(pad: LaunchPad, name: str) -> None:
    """Make ready again what the database holds this worker to be running: it is between jobs."""
    from sse_screen.workflows.reaping import give_up

    for launch in pad.launches.find({"state": "RUNNING", "fworker.name": name}, {"launch_id": 1, "fw_id": 1}):
        give_up(pad, launch["fw_id"], launch["launch_id"], "back without it", counted=False)


def main(prepare: Callable[[], None] | None = None) -> None:
    """Run as ``python -m sse_screen.workflows.worker``.

    Parameters
    ----------
    prepare : callable, optional
        Called first, for programs that are a worker with something added.
    """
    started = time.time()
    import torch

    torch.set_num_threads(1)
    if prepare is not None:
        prepare()
    sys.exit(work(started))


if __name__ == "__main__":
    main()
