"""Signs of life of a worker: that it lives, what it runs, how far that is. All times are the server's.

A worker's own clock may be wrong by hours; so the database writes the times, and whoever judges a worker
compares them with the database's present time only.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError

WORKERS = "workers"
SIGHTINGS = "sightings"
_INTERVAL_S = 5.0


@dataclass
class Work:
    """What this process is doing: launch (None between jobs), name, steps done and in all, if known."""

    launch_id: int | None = None
    name: str | None = None
    done: int | None = None
    total: int | None = None

    def begin(self, launch_id: int | None, name: str | None) -> None:
        """Take up a job, or none.

        Parameters
        ----------
        launch_id : int or None
            Its launch.
        name : str or None
            Its name.
        """
        self.launch_id, self.name, self.done, self.total = launch_id, name, None, None

    def report(self, done: int, total: int) -> None:
        """Tell how far the job is.

        Parameters
        ----------
        done, total : int
            Steps done, and in all.
        """
        self.done, self.total = done, total


#: of this process; a worker runs one job at a time
CURRENT = Work()


class Heartbeat:
    """Write a worker's record every few seconds, from a thread that no lost connection ends.

    Parameters
    ----------
    workers : pymongo Collection
        Where the records are.
    name : str
        Name of the worker.
    started : float
        ``time.time()`` when the process started, so that imports count as its time.
    """

    def __init__(self, workers: Collection[dict[str, Any]], name: str, started: float) -> None:
        self._workers, self._name = workers, name
        self._started = time.monotonic() - (time.time() - started)
        self._started_at = datetime.fromtimestamp(started, UTC)
        self.n_jobs = 0
        self.idle_s = 0.0

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            with contextlib.suppress(PyMongoError):
                self.write()
            time.sleep(_INTERVAL_S)

    def write(self) -> None:
        """Write the record once."""
        progress = [CURRENT.launch_id, CURRENT.done]
        record = {
            "started_at": self._started_at,
            "n_jobs": self.n_jobs,
            "idle_s": self.idle_s,
            "wall_s": time.monotonic() - self._started,
            "launch_id": CURRENT.launch_id,
            "job": CURRENT.name,
            "done": CURRENT.done,
            "total": CURRENT.total,
            "progress": progress,
        }
        same = {"$eq": ["$progress", {"$literal": progress}]}
        now = {"progressed_at": {"$cond": [same, "$progressed_at", "$$NOW"]}, "seen_at": "$$NOW"}
        literal = {key: {"$literal": value} for key, value in record.items()}
        self._workers.update_one({"_id": self._name}, [{"$set": now}, {"$set": literal}], upsert=True)


def server_time(database: Database[dict[str, Any]]) -> datetime:
    """Ask the database what time it is.

    Parameters
    ----------
    database : pymongo Database
        Any.

    Returns
    -------
    datetime
        UTC, timezone-aware.
    """
    found: datetime = database.command("hello")["localTime"]
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def unchanged_for_s(database: Database[dict[str, Any]], key: str, state: Any) -> float:
    """Tell for how long something has looked the same, by the clock of the database.

    Parameters
    ----------
    database : pymongo Database
        Remembers what was seen.
    key : str
        What is looked at.
    state : Any
        How it looks now.

    Returns
    -------
    float
        Seconds since this state was first seen; 0 the first time.
    """
    same = {"$eq": ["$state", {"$literal": state}]}
    update = {
        "since": {"$cond": [same, "$since", "$$NOW"]},
        "state": {"$literal": state},
        "seen_at": "$$NOW",
    }
    database[SIGHTINGS].update_one({"_id": key}, [{"$set": update}], upsert=True)
    found = database[SIGHTINGS].find_one({"_id": key}) or {}
    return float((found["seen_at"] - found["since"]).total_seconds()) if found else 0.0
