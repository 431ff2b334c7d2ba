"""Kind and reason of failures: of exceptions really raised, and of traces as other packages leave them."""

import subprocess
import traceback

import pydantic
import pytest
from pymongo.errors import AutoReconnect

from sse_screen.database.errors import BlobCorruptError, BlobNotFoundError, EmbeddedServerError
from sse_screen.dynamics.molecular_dynamics import FolderBusyError
from sse_screen.dynamics.segmented_run import DynamicsError, RunPausedError
from sse_screen.exceptions import InputError
from sse_screen.training.errors import TrainingDivergedError
from sse_screen.workflows.failure_kinds import told_by
from sse_screen.workflows.survey import RunsNotOverError


def trace_of(error):
    try:
        raise error
    except type(error):
        return traceback.format_exc()


@pytest.mark.parametrize(
    "error",
    [
        RunsNotOverError("runs"),
        BlobNotFoundError("blob"),
        BlobCorruptError("blob"),
        EmbeddedServerError("server"),
        RunPausedError("paused"),
        FolderBusyError("busy"),
        AutoReconnect("gone"),
        PermissionError(13, "Permission denied", "/scratch"),
        FileNotFoundError(2, "No such file or directory", "/scratch"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("timed out"),
        BlockingIOError(11, "Resource temporarily unavailable"),
        MemoryError(),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_machine_failed(error):
    kind, reason = told_by(trace_of(error))
    assert kind == "infrastructure"
    assert type(error).__name__ in reason
    assert str(error) in reason


@pytest.mark.parametrize(
    "error",
    [
        InputError("crystal.cif: OSError while reading"),
        DynamicsError("MemoryError: of the words only"),
        TrainingDivergedError("the loss is infinite"),
        ValueError("first line\n\nOSError: No space left on device"),
        subprocess.CalledProcessError(1, "vasp"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_science_failed(error):
    assert told_by(trace_of(error))[0] == "scientific"


def test_the_whole_message_is_the_reason():
    class Energies(pydantic.BaseModel):
        energy: pydantic.FiniteFloat

    try:
        Energies(energy=float("inf"))
    except pydantic.ValidationError:
        kind, reason = told_by(traceback.format_exc())
    assert kind == "scientific"
    assert reason.startswith(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Energies energy"
    )
    assert "finite number" in reason
    trace = (
        'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\nSee documentation\n"
    )
    kind, reason = told_by(trace)
    assert kind == "infrastructure"
    assert reason.startswith("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB See")
    assert len(told_by(trace_of(ValueError("x" * 10_000)))[1]) < 600


def test_of_a_chain_the_last_exception_counts():
    try:
        try:
            raise OSError("the disk")
        except OSError as error:
            raise DynamicsError("the run exploded") from error
    except DynamicsError:
        kind, reason = told_by(traceback.format_exc())
    assert (kind, reason) == (
        "scientific",
        "sse_screen.dynamics.segmented_run.DynamicsError: the run exploded",
    )


@pytest.mark.parametrize(
    ("trace", "kind", "reason"),
    [
        ("", "infrastructure", "the worker died without a word"),
        ("a word", "scientific", "a word"),
        ("sse_screen.gone.GoneError: of a version before", "scientific", "GoneError"),
        ("requests.exceptions.ConnectionError: no route", "infrastructure", "no route"),
        ("sse_screen.exceptions: a module", "scientific", "a module"),
    ],
)
def test_traces_that_name_no_class_of_ours(trace, kind, reason):
    found = told_by(trace)
    assert found[0] == kind
    assert reason in found[1]
