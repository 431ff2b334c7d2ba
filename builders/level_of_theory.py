"""Names of levels of theory: what energies must share to be compared."""

from __future__ import annotations

from typing import Any

from sse_screen.documents.base import content_hash


def relaxation_level(output: dict[str, Any]) -> str:
    """Name potential and protocol of a relaxation by their contents.

    Parameters
    ----------
    output : dict
        Stored output with ``potential`` and ``protocol``.

    Returns
    -------
    str
        The same for the same code, weights and protocol, whatever the potential was called.
    """
    potential = output["potential"]
    weights, protocol = potential["weights_sha256"][:12], content_hash(output["protocol"])[:8]
    return f"{potential['code']} {weights}, relaxation {protocol}"
