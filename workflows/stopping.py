"""When this worker has to stop: it was asked to (SIGTERM), or its wall time is nearly over.

A run of molecular dynamics then stops at a checkpoint and goes on elsewhere with the same numbers; the job
becomes ready again at once and nothing is counted against it.
"""

from __future__ import annotations

import os
import signal
import time

from fireworks import LaunchPad

from sse_screen.settings import Settings

#: exit status of a worker that stopped for time (EX_TEMPFAIL)
OUT_OF_TIME = 75
#: in the last so many seconds nothing is begun any more
RESERVE_S = 30.0
_INTERVALS = 3.0


class Stopping:
    """Whether to stop; one a process."""

    def __init__(self) -> None:
        self.asked = False
        self._ends = _monotonic(_slurm_ends())
        self._last = time.monotonic()
        self._longest_s = 0.0
        self._can_pause = False

    def begin(self, settings: Settings, started: float) -> None:
        """Take the limit from the settings too, not from SLURM alone, and listen for SIGTERM.

        Parameters
        ----------
        settings : Settings
            ``wall_time_s`` is used.
        started : float
            ``time.time()`` when the process started.
        """
        ends = _slurm_ends()
        if settings.wall_time_s is not None:
            ends.append(started + settings.wall_time_s)
        self._ends = _monotonic(ends)
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        if not self._can_pause:  # nothing here could be kept that is not kept already
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        self.asked = True

    @property
    def out_of_time(self) -> bool:
        """Whether less is left than a reserve and three of the longest steps seen."""
        reserve_s = max(RESERVE_S, _INTERVALS * self._longest_s)
        return self._ends is not None and time.monotonic() + reserve_s > self._ends

    def must_stop(self) -> bool:
        """Tell whether to stop now; asked again and again, it learns how long a step takes.

        Returns
        -------
        bool
            True when a stop was asked for or the time is nearly over.
        """
        now = time.monotonic()
        if self._can_pause:
            self._longest_s = max(self._longest_s, now - self._last)
        self._last, self._can_pause = now, True
        return self.asked or self.out_of_time

    def step_ended(self) -> None:
        """Tell that what asked :meth:`must_stop` is over."""
        self._can_pause, self._longest_s = False, 0.0


def _slurm_ends() -> list[float]:
    return [float(os.environ["SLURM_JOB_END_TIME"])] if "SLURM_JOB_END_TIME" in os.environ else []


def _monotonic(ends: list[float]) -> float | None:
    return time.monotonic() + min(ends) - time.time() if ends else None


#: of this process
STOPPING = Stopping()


def leave(launchpad: LaunchPad, fw_id: int) -> None:
    """Make the present job ready again and end this process.

    Parameters
    ----------
    launchpad : LaunchPad
        Where the job is.
    fw_id : int
        The job.
    """
    from sse_screen.workflows.reaping import give_up

    firework = launchpad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1})
    if firework and firework["launches"]:
        give_up(launchpad, fw_id, firework["launches"][-1], "out of time", counted=False)
    os._exit(OUT_OF_TIME)  # not by an exception: FireWorks would take it for a failure of the job
