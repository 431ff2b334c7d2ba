"""FireWorks and jobflow made to wait for a database that has gone away, instead of failing the job.

A job that fails because of the database would let jobs start that accept failed parents; so it is not failed
but done again when the database is back, which costs little: its calculation is found in the outbox.
"""

from __future__ import annotations

import contextlib
from typing import Any

from fireworks import LaunchPad
from jobflow.managers.fireworks import JobFiretask
from pymongo.errors import PyMongoError

from sse_screen.database.waiting import patiently
from sse_screen.settings import Settings, get_settings
from sse_screen.workflows.heartbeat import CURRENT


class PatientLaunchPad(LaunchPad):
    """A LaunchPad that survives a lost connection: it reports the end of a job until it is heard."""

    def checkout_fw(self, *args: Any, **kwargs: Any) -> Any:
        """See FireWorks; the worker's record names the job."""
        firework, launch_id = super().checkout_fw(*args, **kwargs)
        if firework is not None:
            CURRENT.begin(launch_id, firework.name)
        return firework, launch_id

    def ping_launch(self, *args: Any, **kwargs: Any) -> None:
        """See FireWorks; a sign of life that is not heard does no harm."""
        with contextlib.suppress(PyMongoError):
            super().ping_launch(*args, **kwargs)

    def complete_launch(self, *args: Any, **kwargs: Any) -> Any:
        """See FireWorks."""
        return patiently(lambda: LaunchPad.complete_launch(self, *args, **kwargs), get_settings())


def make_jobs_patient(settings: Settings) -> None:
    """Let every job of this process wait for the database and then run again.

    Parameters
    ----------
    settings : Settings
        ``database_wait_s`` says how long.
    """
    run_task = JobFiretask.run_task

    def run_patiently(self: JobFiretask, fw_spec: dict[str, Any]) -> Any:
        """See FireWorks; it waits for the database and runs again."""
        return patiently(lambda: run_task(self, fw_spec), settings)  # type: ignore[no-untyped-call]

    JobFiretask.run_task = run_patiently  # type: ignore[method-assign]
