"""Strained and rattled copies of a crystal, for training sets and starting points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure


def apply_strain(structure: Structure, strain: ArrayLike) -> Structure:
    """Return a copy with a homogeneous strain; fractional coordinates stay.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    strain : array_like of shape (3, 3)
        Symmetric strain tensor ε in Cartesian axes; lattice vectors become v (1 + ε).

    Returns
    -------
    pymatgen.core.Structure
        Strained copy.

    Raises
    ------
    InputError
        If the tensor is not symmetric or inverts the cell.
    """
    from pymatgen.core import Lattice

    tensor = np.asarray(strain, dtype=float)
    if tensor.shape != (3, 3) or not np.allclose(tensor, tensor.T, atol=1e-12):
        raise InputError("strain: give a symmetric 3 by 3 tensor")
    deformation = np.eye(3) + tensor
    if np.linalg.eigvalsh(deformation).min() <= 0:
        raise InputError("strain: the cell would be inverted; every principal strain must be above -1")
    strained = structure.copy()
    strained.lattice = Lattice(structure.lattice.matrix @ deformation)
    return strained


def random_strain(structure: Structure, maximum_strain: float, rng: np.random.Generator) -> Structure:
    """Return a copy with a random homogeneous strain.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    maximum_strain : float
        Every component of the symmetric strain tensor is uniform between minus and plus this (0.03 is 3 %).
    rng : numpy.random.Generator
        Source of randomness; six numbers are drawn.

    Returns
    -------
    pymatgen.core.Structure
        Strained copy.

    Raises
    ------
    InputError
        If the maximum is not between 0 and 0.3.
    """
    if not 0 <= maximum_strain <= 0.3:
        raise InputError(f"maximum_strain = {maximum_strain}: give a fraction between 0 and 0.3")
    tensor = np.zeros((3, 3))
    tensor[np.triu_indices(3)] = rng.uniform(-maximum_strain, maximum_strain, size=6)
    return apply_strain(structure, tensor + np.triu(tensor, 1).T)


def rattle(structure: Structure, standard_deviation_A: float, rng: np.random.Generator) -> Structure:
    """Return a copy with every atom displaced by a Gaussian random vector.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    standard_deviation_A : float
        Standard deviation of each Cartesian component, in ångström. The mean displacement is removed.
    rng : numpy.random.Generator
        Source of randomness; three numbers an atom are drawn.

    Returns
    -------
    pymatgen.core.Structure
        Rattled copy in the same cell.

    Raises
    ------
    InputError
        If the standard deviation is negative.
    """
    if standard_deviation_A < 0:
        raise InputError(f"standard_deviation_A = {standard_deviation_A}: give a length of zero or more")
    displacements = rng.normal(scale=standard_deviation_A, size=(len(structure), 3))
    displacements -= displacements.mean(axis=0)
    rattled = structure.copy()
    for index, vector in enumerate(displacements):
        rattled.translate_sites([index], vector, frac_coords=False, to_unit_cell=False)
    return rattled
