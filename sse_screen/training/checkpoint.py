"""The state of a training between two epochs, as one file that is written whole or not at all."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from sse_screen.dynamics.molecular_dynamics import write_durably
from sse_screen.training.errors import TrainingInputError


def to_bytes(state: dict[str, Any]) -> bytes:
    """Serialise tensors and plain values.

    Parameters
    ----------
    state : dict
        Nested dicts and lists of tensors, numbers and strings.

    Returns
    -------
    bytes
        As ``torch.save`` writes it; the same for the same content.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state durably.

    Parameters
    ----------
    path : Path
        The file; an earlier one stays until the new one is on the disk.
    state : dict
        See :func:`to_bytes`.
    """
    write_durably(path, to_bytes(state))


def read_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Read a state, where there is one.

    Parameters
    ----------
    path : Path
        The file.
    identity : str
        Hash of what is trained, stored in the state as ``identity``.

    Returns
    -------
    dict or None
        None where there is no file.

    Raises
    ------
    TrainingInputError
        The file is damaged or belongs to another training.
    """
    import torch

    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingInputError(
            f"{path}: the checkpoint is damaged ({error}); remove it to begin anew"
        ) from None
    if found != identity:
        raise TrainingInputError(
            f"{path}: belongs to a training of other data, parent, protocol or seed; use another folder"
        )
    return state
