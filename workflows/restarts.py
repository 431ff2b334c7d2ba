"""How many workers may die before `launch` gives up, and what is said of each that did."""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass

from sse_screen.workflows.process_names import WORKER_PREFIX
from sse_screen.workflows.reaping import LARGEST_RERUNS, RunningJob

#: one more than a job may lose: a job that kills its workers is failed before its launch gives up
DEATHS_A_WORKER = LARGEST_RERUNS + 1
#: so long without a death, and earlier ones are forgotten
QUIET_S = 600.0


@dataclass
class DeathCount:
    """Deaths of workers since one finished a job, or since ten minutes passed without any.

    Attributes
    ----------
    largest : int
        So many are made good.
    n_deaths : int
        Those that count now.
    """

    largest: int
    n_deaths: int = 0
    _n_completed: int = 0
    _last_s: float = 0.0

    def add(self, n_died: int, n_completed: int, now_s: float) -> None:
        """Count deaths; a job finished since the last ones, or a quiet time, takes those away.

        Parameters
        ----------
        n_died : int
            Workers that died since the last call.
        n_completed : int
            Jobs that are completed now, whoever ran them.
        now_s : float
            Monotonic time (s).
        """
        if n_completed > self._n_completed or now_s - self._last_s > QUIET_S:
            self.n_deaths = 0
        self._n_completed, self._last_s = n_completed, now_s
        self.n_deaths += n_died

    @property
    def too_many(self) -> bool:
        """Whether to give up."""
        return self.n_deaths > self.largest


def describe_death(pid: int, status: int, jobs: list[RunningJob]) -> str:
    """Say how a worker of this machine ended and what it ran.

    Parameters
    ----------
    pid : int
        Of its process.
    status : int
        Exit status as of :mod:`subprocess`: a negative one is that of a signal.
    jobs : list of RunningJob
        Of the LaunchPad, before the job of the dead worker is given to another one.

    Returns
    -------
    str
        One sentence.
    """
    prefix = "@".join([WORKER_PREFIX, socket.gethostname(), str(pid), ""])
    ran = [f"job {job.fw_id} ({job.name})" for job in jobs if job.worker.startswith(prefix)]
    doing = f"while it ran {', '.join(ran)}" if ran else "between jobs"
    if status >= 0:
        return f"worker {pid} ended with status {status} {doing}; workers.log has its last words"
    name = signal.Signals(-status).name if -status in list(signal.Signals) else "unknown"
    hint = "; the system does so when memory runs out" if -status == signal.SIGKILL else ""
    return f"worker {pid} was killed by signal {-status} ({name}) {doing}{hint}"
