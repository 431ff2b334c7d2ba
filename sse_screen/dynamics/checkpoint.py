"""Checkpoints of a run: all numbers that the next step needs, in a file that holds nothing but numbers.

Not a pickle: a checkpoint travels through the blob store to other machines, and reading one must run no code.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from sse_screen.exceptions import InputError

FORMAT = "sse-screen-checkpoint-1"
_SEPARATOR = "/"


def pack_checkpoint(state: dict[str, Any]) -> bytes:
    """Write a state without losing a bit.

    Parameters
    ----------
    state : dict
        Nested dicts of arrays, numbers (integers of any size), strings, None and lists of them.

    Returns
    -------
    bytes
        An npz archive; everything that is no array is in one JSON text (floats by their shortest repr, which
        gives the same float back).
    """
    arrays: dict[str, Any] = {}
    plain = _split(state, "", arrays)
    text = json.dumps({"format": FORMAT, "state": plain})
    buffer = io.BytesIO()
    np.savez(buffer, text=np.array(text), **arrays)
    return buffer.getvalue()


def unpack_checkpoint(content: bytes) -> dict[str, Any]:
    """Undo :func:`pack_checkpoint`.

    Parameters
    ----------
    content : bytes
        The archive.

    Returns
    -------
    dict
        The state.

    Raises
    ------
    InputError
        When it is no checkpoint.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            head = json.loads(str(archive["text"]))
            if head["format"] != FORMAT:
                raise InputError(f"checkpoint: format {head['format']}, expected {FORMAT}")
            state: dict[str, Any] = head["state"]
            for name in archive.files:
                if name != "text":
                    _put(state, name.split(_SEPARATOR), archive[name])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"not a checkpoint of this platform: {error}") from error
    return state


def _split(state: dict[str, Any], prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """Move the arrays out; give the rest with plain numbers."""
    plain: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, dict):
            plain[name] = _split(value, prefix + name + _SEPARATOR, arrays)
        elif isinstance(value, np.ndarray):
            arrays[prefix + name] = value
        else:
            plain[name] = value.item() if isinstance(value, np.generic) else value
    return plain


def _put(state: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        state = state[name]
    state[path[-1]] = value
