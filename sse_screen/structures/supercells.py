"""Supercells that are wide enough in every direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

_ROUNDING = 1e-6


def perpendicular_widths(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the distances between opposite faces of a cell.

    Parameters
    ----------
    lattice : (3, 3) array
        Rows are lattice vectors (Å).

    Returns
    -------
    (3,) array
        Widths (Å), the inverse lengths of the reciprocal vectors.
    """
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0))


def supercell_with_minimum_length(structure: Structure, minimum_length_A: float) -> Structure:
    """Repeat a cell along its own axes until no face-to-face width is below a length.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Unit cell; not changed.
    minimum_length_A : float
        Smallest perpendicular width (Å).

    Returns
    -------
    pymatgen.core.Structure
        The smallest such diagonal supercell.

    Raises
    ------
    InputError
        If the length is not positive.
    """
    if not minimum_length_A > 0:
        raise InputError(f"minimum_length_A {minimum_length_A}: must be positive")
    widths = perpendicular_widths(structure.lattice.matrix)
    repeats = np.maximum(np.ceil(minimum_length_A / widths - _ROUNDING), 1).astype(int)
    return structure.make_supercell(repeats.tolist(), in_place=False)
