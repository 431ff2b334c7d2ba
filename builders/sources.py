"""Which job outputs builders see: each calculation once, and read once by builders that run together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Json = dict[str, Any]
#: with composition_spaces, the labels of an output that documents are grouped by
_PURPOSE = ("material_id", "mobile_ion")
_SHARED: ContextVar[dict[Any, Any] | None] = ContextVar("shared reads of builders", default=None)


@contextmanager
def shared_reads() -> Iterator[None]:
    """Let builders that look at the same sources read them once, for as long as this lasts.

    What is stored in the meantime is seen by the next run of the builders.

    Yields
    ------
    None
    """
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def reads_in_common() -> dict[Any, Any] | None:
    """Give what builders that run together have read so far.

    Returns
    -------
    dict or None
        None outside of :func:`shared_reads`.
    """
    return _SHARED.get()


def latest_calculations(outputs: list[Json]) -> list[Json]:
    """Keep one job output for each calculation, so that a rerun is not counted twice.

    One that was taken over for another purpose, such as for a further composition space, is kept beside it.

    Parameters
    ----------
    outputs : list of dict
        jobflow documents with ``uuid``, ``index`` and ``output.calculation_key``.

    Returns
    -------
    list of dict
        For each calculation and purpose the earliest output (the greatest uuid of equally early ones), in its
        last index, whatever the order in which they are stored; one that is taken over later changes nothing.
    """
    ordered = sorted(outputs, key=job_order)
    last_index = {output["uuid"]: output for output in ordered}
    chosen: dict[tuple[Any, ...], Json] = {}
    for output in last_index.values():
        content = output["output"]
        spaces = tuple(content.get("composition_spaces") or ())
        key = (content["calculation_key"], *(content.get(name) for name in _PURPOSE), spaces)
        if key not in chosen or _completed(output) <= _completed(chosen[key]):
            chosen[key] = output
    return list(chosen.values())


def _completed(output: Json) -> str:
    return str(output.get("completed_at") or "")


def job_order(output: Json) -> tuple[str, int]:
    """Give what job outputs are sorted by.

    Parameters
    ----------
    output : dict
        jobflow document.

    Returns
    -------
    tuple of (str, int)
        Its uuid and index.
    """
    return output["uuid"], output["index"]
