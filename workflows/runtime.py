"""What a job needs from the machine it runs on: the database, the potential, a folder that survives it.

The folder of a calculation is also its outbox: results are written there first, so that a run whose upload
failed is uploaded, not repeated, by the next attempt.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from jobflow import CURRENT_JOB, Response

from sse_screen import __version__
from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import OUTPUTS, connect, launchpad
from sse_screen.documents.base import BlobReference, Document, PotentialIdentity
from sse_screen.dynamics.segmented_run import RunPausedError, write_durably
from sse_screen.potentials import load_calculator
from sse_screen.potentials.calculator import FastCHGNetCalculator
from sse_screen.settings import get_settings
from sse_screen.workflows.heartbeat import CURRENT
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.stopping import STOPPING, leave

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymongo.database import Database

_log = logging.getLogger(__name__)
_Output = TypeVar("_Output", bound=Document)
_CODES = ("torch", "ase", "chgnet", "pymatgen", "jobflow")
_PROGRESS_INTERVAL_S = 1.0
_WAIT_S = 1.0


class Worker:
    """One worker process's connections, opened when first used and kept for all its jobs."""

    @cached_property
    def database(self) -> Database[dict[str, Any]]:
        """The database of the settings."""
        return connect(get_settings())

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store."""
        return BlobStore(self.database)

    def folder(self, calculation_key: str) -> Path:
        """Give the folder of a calculation, made when missing.

        Parameters
        ----------
        calculation_key : str
            Idempotency key.

        Returns
        -------
        Path
            Folder below ``work_directory``.
        """
        directory = get_settings().work_directory
        assert directory is not None  # the settings fill it in
        folder = directory / "calculations" / calculation_key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finished(self, calculation_key: str) -> dict[str, Any] | None:
        """Find a finished calculation with the same key.

        Parameters
        ----------
        calculation_key : str
            Idempotency key.

        Returns
        -------
        dict or None
            ``uuid`` and ``output`` of the earliest one.
        """
        return self.database[OUTPUTS].find_one(
            {"output.calculation_key": calculation_key},
            {"_id": 0, "uuid": 1, "output": 1},
            sort=[("completed_at", 1), ("uuid", 1)],
        )


@lru_cache(maxsize=1)
def worker() -> Worker:
    """Give this process's worker.

    Returns
    -------
    Worker
        Always the same one.
    """
    return Worker()


@lru_cache(maxsize=2)
def calculator_of(name: str, weights_sha256: str, code: str = "chgnet") -> Calculator:
    """Load a potential once a process and check that it is the one that was asked for.

    Parameters
    ----------
    name : str
        Name or path of the potential.
    weights_sha256 : str
        Hash recorded at submission.
    code : str
        Code that evaluates it.

    Returns
    -------
    ase calculator
        Kept for the following jobs.

    Raises
    ------
    InputError
        When this worker has other weights under that name, or none.
    """
    asked = PotentialIdentity(name=name, code=code, code_version="", weights_sha256=weights_sha256)
    return load_calculator(name_or_file(asked, worker().blobs), device=get_settings().device)


def calculator_for(potential: PotentialIdentity) -> Calculator:
    """Load the potential of a job.

    Parameters
    ----------
    potential : PotentialIdentity
        As resolved at submission.

    Returns
    -------
    ase calculator
        Checked by hash; it refuses elements that the potential was not trained on, where they are known.
    """
    calculator = calculator_of(potential.name, potential.weights_sha256, potential.code)
    if isinstance(calculator, FastCHGNetCalculator):
        calculator.covered = None if potential.elements is None else frozenset(potential.elements)
    return calculator


def versions() -> dict[str, str]:
    """Give the versions of the codes that make a number.

    Returns
    -------
    dict
        Version by package.
    """
    return {"sse_screen": __version__} | {code: version(code) for code in _CODES}


def reporter(folder: Path, name: str) -> Callable[[int, int], None]:
    """Make a progress callback that leaves a heartbeat in the folder for whoever watches.

    Parameters
    ----------
    folder : Path
        The calculation's folder.
    name : str
        What is running, for people.

    Returns
    -------
    callable
        Takes steps done and all steps; writes ``progress.json`` at most once a second.
    """
    last = 0.0

    def report(done: int, total: int) -> None:
        """Leave a heartbeat."""
        nonlocal last
        CURRENT.report(done, total)
        now = time.time()
        if now - last >= _PROGRESS_INTERVAL_S or done == total:
            last = now
            partial = folder / "progress.json.partial"
            partial.write_text(json.dumps({"name": name, "done": done, "total": total, "time": now}))
            partial.replace(folder / "progress.json")

    return report


def once(
    calculation_key: str,
    model: type[_Output],
    compute: Callable[[Path], _Output],
    labels: dict[str, Any] | None = None,
) -> Response[Any]:
    """Run a calculation unless it is finished already, here (outbox) or in the store.

    Parameters
    ----------
    calculation_key : str
        Idempotency key.
    model : type
        Class of the output document.
    compute : callable
        Takes the folder, uploads the blobs, returns the document.
    labels : dict, optional
        Fields of the document that say for whom it is and do not fix the result: a document of another job
        is taken over with these in place of its own, and says in ``reused_from`` whose it is.

    Returns
    -------
    jobflow.Response
        Its output is the document; ``stored_data`` names the job that was reused.
    """
    reused = _reused(calculation_key, model, labels)
    if reused is not None:
        return reused
    with _only_here(calculation_key) as (folder, waited):
        reused = _reused(calculation_key, model, labels) if waited else None
        if reused is not None:
            return reused
        outbox = folder / "output.json"
        if outbox.exists():  # finished here before, but its document never reached the database
            output = model.model_validate_json(outbox.read_bytes())
            if all(worker().blobs.exists(blob.sha256) for blob in _blobs(output)):
                return Response(output=output.model_copy(update=labels or {}))
        try:
            output = compute(folder)
        except RunPausedError:
            leave_in_order()
            raise
        finally:
            STOPPING.step_ended()
        # another worker may have been given this job while this one did not move: what it has stored stays
        response = _reused(calculation_key, model, labels) or Response(output=output)
        write_durably(outbox, response.output.model_dump_json().encode())
        (folder / "progress.json").unlink(missing_ok=True)  # it runs no more, whatever step it ended at
        return response


def leave_in_order() -> None:
    """End this worker when it has to stop; its job is ready again. Outside of FireWorks nothing is done."""
    fw_id = CURRENT_JOB.job.metadata.get("fw_id") if CURRENT_JOB.job is not None else None
    if fw_id is not None:
        leave(launchpad(get_settings()), fw_id)


def _reused(
    calculation_key: str, model: type[_Output], labels: dict[str, Any] | None
) -> Response[Any] | None:
    earlier = worker().finished(calculation_key)
    if earlier is None:
        return None
    output, uuid = model.model_validate(earlier["output"]), earlier["uuid"]
    if CURRENT_JOB.job is not None and CURRENT_JOB.job.uuid == uuid:  # it was stored, and then put back
        return Response(output=output)
    _log.info("reusing %s of job %s", model.__name__, uuid)
    if labels is not None:
        output = output.model_copy(update={**labels, "reused_from": uuid})
    return Response(output=output, stored_data={"reused_from": uuid})


@contextmanager
def _only_here(calculation_key: str) -> Iterator[tuple[Path, bool]]:
    """Hold the calculation's folder for this process; tell whether another one had it first."""
    waited = False
    while True:
        folder = worker().folder(calculation_key)
        try:
            opened = (folder / "once.lock").open("w")
        except FileNotFoundError:  # swept away since it was made
            continue
        with opened as handle:
            while not _lock(handle):
                waited = True
                if STOPPING.must_stop():
                    leave_in_order()
                CURRENT.done = (CURRENT.done or 0) + 1  # to wait for another one is not to hang
                time.sleep(_WAIT_S)
            # the other one's folder may have been swept away in the meantime
            try:
                same = os.path.samestat(os.fstat(handle.fileno()), (folder / "once.lock").stat())
            except FileNotFoundError:
                same = False
            if same:
                yield folder, waited
                return


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _blobs(output: Document) -> list[BlobReference]:
    return [value for _, value in output if isinstance(value, BlobReference)]
