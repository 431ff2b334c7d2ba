"""What a benchmark gives: figures of this platform beside those of a peer or a limit, measured in one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """One figure beside that of a peer, or beside a limit.

    Attributes
    ----------
    what : str
        What was measured.
    unit : str
        Of both figures.
    ours : float
        This platform.
    peer : str
        Who else, or what the limit is.
    theirs : float or None
        Their figure; None without a peer.
    ratio : float or None
        How many times better ours is; None without a peer.
    bar : str
        What was promised.
    met : bool or None
        Whether it was kept; None where nothing was promised.
    """

    what: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    bar: str = ""
    met: bool | None = None


@dataclass
class Result:
    """All of one benchmark: comparisons for the table, everything else for the JSON file."""

    comparisons: list[Comparison] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def less(
    what: str, unit: str, ours: float, peer: str, theirs: float, at_least: float | None = None
) -> Comparison:
    """Compare where less is better, such as seconds.

    Parameters
    ----------
    what, unit, ours, peer, theirs : str, str, float, str, float
        As in :class:`Comparison`.
    at_least : float, optional
        Promised ratio of theirs to ours.

    Returns
    -------
    Comparison
        With the ratio.
    """
    return _compared(what, unit, ours, peer, theirs, theirs / ours, at_least)


def more(
    what: str, unit: str, ours: float, peer: str, theirs: float, at_least: float | None = None
) -> Comparison:
    """Compare where more is better, such as cells an hour.

    Parameters
    ----------
    what, unit, ours, peer, theirs : str, str, float, str, float
        As in :class:`Comparison`.
    at_least : float, optional
        Promised ratio of ours to theirs.

    Returns
    -------
    Comparison
        With the ratio.
    """
    return _compared(what, unit, ours, peer, theirs, ours / theirs, at_least)


def limited(what: str, unit: str, ours: float, at_most: float) -> Comparison:
    """Set a figure against the most it may be.

    Parameters
    ----------
    what, unit, ours : str, str, float
        As in :class:`Comparison`.
    at_most : float
        Promised limit.

    Returns
    -------
    Comparison
        Without a peer.
    """
    return Comparison(what, unit, ours, bar=f"≤ {at_most:g}", met=ours <= at_most)


def _compared(
    what: str, unit: str, ours: float, peer: str, theirs: float, ratio: float, at_least: float | None
) -> Comparison:
    bar = "" if at_least is None else f"≥ {at_least:g}×"
    met = None if at_least is None else ratio >= at_least
    return Comparison(what, unit, ours, peer, theirs, ratio, bar, met)


def peak_memory_MB() -> float:
    """Give this program's own peak; getrusage would count the process that started it as well.

    Returns
    -------
    float
        In MB.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
