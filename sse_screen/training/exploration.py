"""What a self-consistent loop decides by: frames to label, close contacts, disagreement, stationarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sse_screen.documents.base import Quantity
from sse_screen.documents.self_consistent import LoopDiffusivity, TeacherVerdict

FloatArray = NDArray[np.float64]


def equidistant(n_frames: int, n_wanted: int) -> list[int]:
    """Choose frames at equal distances, the last one among them.

    Parameters
    ----------
    n_frames : int
        Frames there are.
    n_wanted : int
        At most so many.

    Returns
    -------
    list of int
        Indices, ascending.
    """
    if n_frames <= n_wanted:
        return list(range(n_frames))
    return sorted({round((k + 1) * n_frames / n_wanted) - 1 for k in range(n_wanted)})


def closest_contact(positions_A: FloatArray, cell_A: FloatArray) -> float:
    """Give the smallest distance between two ions of a cell that is wider than twice that distance.

    Parameters
    ----------
    positions_A : ndarray of shape (n_atoms, 3)
        Cartesian positions (Å), wrapped or not.
    cell_A : ndarray of shape (3, 3)
        Rows are the lattice vectors (Å).

    Returns
    -------
    float
        In ångström; infinite for one atom.
    """
    fractions = positions_A @ np.linalg.inv(cell_A)
    difference = fractions[:, None] - fractions[None]
    difference -= np.round(difference)
    squares = np.sum((difference @ cell_A) ** 2, axis=2)
    np.fill_diagonal(squares, np.inf)
    return float(np.sqrt(squares.min()))


def largest_force_deviation(forces_eV_per_A: Sequence[FloatArray]) -> float:
    """Measure how much the members of a committee disagree on a structure.

    The largest over the atoms of the root mean square distance of a member's force from the committee's mean
    (Zhang, Lin, Wang, Car, E, Phys. Rev. Mater. 2019, 3, 023804).

    Parameters
    ----------
    forces_eV_per_A : sequence of ndarray of shape (n_atoms, 3)
        One array a member.

    Returns
    -------
    float
        In eV/Å.
    """
    forces = np.asarray(forces_eV_per_A)
    squares = np.sum((forces - forces.mean(axis=0)) ** 2, axis=2)
    return float(np.sqrt(squares.mean(axis=0).max()))


def agree(first: Quantity, second: Quantity) -> bool:
    """Tell whether two positive quantities agree within their joint interval.

    Parameters
    ----------
    first, second : Quantity
        With values and intervals, taken as independent and log-normal.

    Returns
    -------
    bool
        False when either has no value or no interval.
    """
    logs, widths = [], []
    for quantity in (first, second):
        if not (quantity.value and quantity.lower and quantity.upper) or quantity.verdict == "refused":
            return False
        logs.append(np.log(quantity.value))
        widths.append(0.5 * np.log(quantity.upper / quantity.lower))
    return bool(abs(logs[0] - logs[1]) <= np.hypot(*widths))


def compare_diffusivities(
    student: Sequence[LoopDiffusivity], reference: Sequence[LoopDiffusivity]
) -> TeacherVerdict:
    """Judge whether a student diffuses like its teacher, or like the student of the loop before.

    Parameters
    ----------
    student : sequence of LoopDiffusivity
        One a temperature.
    reference : sequence of LoopDiffusivity
        At the same temperatures, by runs of the same kind.

    Returns
    -------
    {"agrees", "disagrees", "unresolved"}
        disagrees: at one temperature both are diffusive and differ by more than their joint interval;
        unresolved: none differs, but not all are diffusive, so that their intervals may not hold.
    """
    truths = {found.temperature_K: found.diffusivity for found in reference}
    pairs = [(found.diffusivity, truths[found.temperature_K]) for found in student]
    resolved = [pair for pair in pairs if all(quantity.verdict == "diffusive" for quantity in pair)]
    if not all(agree(*pair) for pair in resolved):
        return "disagrees"
    return "agrees" if len(resolved) == len(pairs) else "unresolved"
