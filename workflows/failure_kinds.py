"""Whether the machine or the science failed, and why, told by the trace that a failed job left."""

from __future__ import annotations

import importlib
import re
import sys
from functools import lru_cache
from typing import Literal

from pymongo.errors import PyMongoError

from sse_screen.exceptions import InfrastructureError

FailureKind = Literal["scientific", "infrastructure"]
_OF_THE_MACHINE = (InfrastructureError, OSError, MemoryError, PyMongoError, KeyboardInterrupt)
_EXCEPTION = re.compile(r"([A-Za-z_][\w.<>]*)(:|$)")
#: classes of packages that are slow to import and derive from nothing of the above
_OF_THE_MACHINE_BY_NAME = re.compile(r"\b(OutOfMemoryError|ConnectionError|ConnectTimeout|ReadTimeout)$")
_LARGEST_REASON = 500
_PACKAGES = sys.stdlib_module_names | {"sse_screen", "pymongo", "bson", "gridfs"}


def told_by(trace: str) -> tuple[FailureKind, str]:
    """Tell kind and reason of a failure.

    The class of the exception decides, never the words of its message.

    Parameters
    ----------
    trace : str
        As Python prints it; empty when there is none, as for a worker that was killed.

    Returns
    -------
    kind : str
        ``infrastructure`` for errors of the disk, the network, the memory and the database, for an
        interruption, and for every :class:`~sse_screen.exceptions.InfrastructureError`; else ``scientific``.
    reason : str
        Class and message of the last exception, on one line.
    """
    if not trace.strip():
        return "infrastructure", "the worker died without a word"
    lines = _exception_lines(trace.strip().splitlines())
    named = _EXCEPTION.match(lines[0])
    reason = " ".join(" ".join(lines).split())
    if len(reason) > _LARGEST_REASON:
        reason = reason[:_LARGEST_REASON] + " ..."
    of_the_machine = named is not None and _is_of_the_machine(named.group(1))
    return ("infrastructure" if of_the_machine else "scientific"), reason


def _exception_lines(lines: list[str]) -> list[str]:
    """Give the line that names the last exception, and the further lines of its message."""
    headers = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
    after = lines[headers[-1] + 1 :] if headers else lines
    for number, line in enumerate(after):
        if line and not line[0].isspace():  # the frames are indented
            return after[number:]
    return lines[-1:]


@lru_cache
def _is_of_the_machine(name: str) -> bool:
    found = _class_named(name)
    if found is not None:
        return issubclass(found, _OF_THE_MACHINE)
    return _OF_THE_MACHINE_BY_NAME.search(name) is not None


def _class_named(name: str) -> type | None:
    """Find a class by the name that a trace gives it; None for one of another package or one that is gone."""
    module, _, attribute = name.rpartition(".")
    module = module or "builtins"
    if module.partition(".")[0] not in _PACKAGES:
        return None
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None
    return found if isinstance(found, type) else None
