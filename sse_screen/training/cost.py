"""What labels and trainings cost before any is made: estimates good to a factor of two or so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import scipy.constants

from sse_screen.training.labelling import k_point_mesh

if TYPE_CHECKING:
    from pymatgen.core import Structure

#: core seconds for one k-point, plane wave, atom and electronic step; measured with GPAW 26.7 on one core for
#: LiCl, Li2S and Li3N cells of 2 to 4 atoms at 340 and 500 eV (3.1 to 4.4 microseconds)
SECONDS_PER_UNIT = 4e-6
ELECTRONIC_STEPS = 10
#: density functionals that need the kinetic energy density evaluate more on the grid and converge slower
META_GGA_FACTOR = 3.0
#: core seconds for an atom in one epoch (a step forth and back), by the code that trains; measured on one
#: core for cells of 2 to 16 atoms, MACE with 16 channels: a foundation model takes several times longer
SECONDS_PER_ATOM_AND_EPOCH = {"chgnet": 0.009, "mace": 0.004}
#: share of that for an atom that is only evaluated
EVALUATION_SHARE = 0.4


def plane_waves(volume_A3: float, cutoff_eV: float) -> float:
    """Count the plane waves below a cutoff: V k³ / 6π² with k = √(2 m E)/ħ.

    Parameters
    ----------
    volume_A3 : float
        Volume of the cell in cubic ångström.
    cutoff_eV : float
        Kinetic energy cutoff in eV.

    Returns
    -------
    float
        Number of plane waves.
    """
    energy = cutoff_eV * scipy.constants.eV
    wave_number = math.sqrt(2 * scipy.constants.electron_mass * energy) / scipy.constants.hbar
    return volume_A3 * (wave_number * scipy.constants.angstrom) ** 3 / (6 * math.pi**2)


def label_core_seconds(
    structure: Structure, cutoff_eV: float, k_point_spacing_per_A: float | None, functional: str
) -> float:
    """Estimate what one label of a strained and rattled cell takes.

    Parameters
    ----------
    structure : Structure
        Cell of the size to be labelled.
    cutoff_eV : float
        Plane-wave cutoff in eV.
    k_point_spacing_per_A : float or None
        Spacing of k-points (1/Å, 2π included); None for Γ only.
    functional : str
        Such as PBE or SCAN.

    Returns
    -------
    float
        Seconds of one core. A cell without symmetry is assumed: half of the mesh, by time reversal.
    """
    mesh = k_point_mesh(structure.lattice.matrix, k_point_spacing_per_A)
    k_points = math.ceil(math.prod(mesh or (1, 1, 1)) / 2)
    work = k_points * plane_waves(structure.volume, cutoff_eV) * len(structure) * ELECTRONIC_STEPS
    return work * SECONDS_PER_UNIT * (META_GGA_FACTOR if "SCAN" in functional else 1.0)


def training_core_seconds(
    code: str, n_training_atoms: float, n_validation_atoms: float, n_epochs: int
) -> float:
    """Estimate what a training takes that is not stopped early.

    Parameters
    ----------
    code : str
        ``chgnet`` or ``mace``.
    n_training_atoms : float
        Atoms of all structures that are learnt from, or learnt again.
    n_validation_atoms : float
        Atoms of all structures that choose the epoch.
    n_epochs : int
        Epochs.

    Returns
    -------
    float
        Seconds of one core.
    """
    atoms = n_training_atoms + EVALUATION_SHARE * n_validation_atoms
    return n_epochs * atoms * SECONDS_PER_ATOM_AND_EPOCH[code]
