"""The local outbox: folders of calculations, removed only when their result is in the database."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo.database import Database

from sse_screen.database.stores import OUTPUTS


@dataclass(frozen=True)
class Swept:
    """Folders of calculations: removed, finished but not yet stored, unfinished."""

    removed: int
    not_stored: int
    unfinished: int


def _remove(folder: Path) -> int:
    """Remove a folder unless a job holds it; one that another sweep has removed counts as removed."""
    try:
        handle = (folder / "once.lock").open("a")
    except FileNotFoundError:
        return 1
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        shutil.rmtree(folder, ignore_errors=True)
    return 1


def sweep(database: Database[dict[str, Any]], work_directory: Path) -> Swept:
    """Remove the folders whose results are stored.

    Parameters
    ----------
    database : pymongo Database
        Holds the outputs.
    work_directory : Path
        From the settings.

    Returns
    -------
    Swept
        Numbers of folders. A finished one that is not stored is uploaded, not computed again, when its job is
        run again (``sse-screen rerun``); an unfinished one goes on from its checkpoint.
    """
    finished, unfinished = [], 0
    for folder in (work_directory / "calculations").glob("*"):
        if (folder / "output.json").exists():
            finished.append(folder)
        else:
            unfinished += 1
    removed = 0
    for start in range(0, len(finished), 1000):
        some = finished[start : start + 1000]
        query = {"output.calculation_key": {"$in": [folder.name for folder in some]}}
        stored = set(database[OUTPUTS].distinct("output.calculation_key", query))
        for folder in some:
            if folder.name in stored:
                removed += _remove(folder)
    return Swept(removed, len(finished) - removed, unfinished)
