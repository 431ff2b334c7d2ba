"""A content hash of a crystal."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SCHEME = "sse-screen-structure-1"
_LATTICE_STEP = 1e-5
_COORDINATE_STEP = 1e-6
# Published numbers and their halves and thirds never fall on the edge of a bin that starts here.
_BIN_OFFSET = 0.3141592


def structure_hash(structure: Structure) -> str:
    """Return the SHA-256 of what a crystal is made of.

    The same for any order of the atoms, any rotation of the whole crystal, coordinates shifted by whole cells
    and noise of the last float digits. Different for another cell of the same crystal (supercell, primitive
    cell, another choice of vectors or origin): the calculation would be another one too. Lengths are
    distinguished at 1e-5 Å, angles at 1e-5 degrees, fractional coordinates at 1e-6, occupancies at 1e-4.
    Oxidation states, labels and other site properties do not count.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal, ordered or not.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    lattice = _bins([*structure.lattice.abc, *structure.lattice.angles], _LATTICE_STEP)
    period = round(1 / _COORDINATE_STEP)
    coordinates = _bins(structure.frac_coords % 1.0, _COORDINATE_STEP) % period
    sites = sorted(
        [_species(amounts), *position]
        for amounts, position in zip(
            (site.species.get_el_amt_dict() for site in structure), coordinates.tolist(), strict=True
        )
    )
    payload = json.dumps([_SCHEME, lattice.tolist(), sites], separators=(",", ":"))
    return hashlib.sha256(payload.encode()).hexdigest()


def _bins(values: ArrayLike, step: float) -> NDArray[np.int64]:
    return np.floor(np.asarray(values, dtype=float) / step + _BIN_OFFSET).astype(np.int64)


def _species(amounts: dict[str, float]) -> str:
    return " ".join(f"{element}{round(amount * 1e4)}" for element, amount in sorted(amounts.items()))
