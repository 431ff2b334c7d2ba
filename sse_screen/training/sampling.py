"""Choose what to label: snapshots of trajectories, strained and rattled copies, orderings by their weight.

Farthest-point selection needs a descriptor of a whole frame. It is CHGNet's own crystal feature (64 numbers,
the mean over the atoms of what its last convolution knows of each): no further dependency, no cutoff or basis
to choose for each chemistry, invariant under rotation, translation and order of atoms, and distances in it
are differences that the model to be trained can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from sse_screen.documents.base import Specification
from sse_screen.documents.label import UnlabelledStructure
from sse_screen.exceptions import InputError
from sse_screen.structures.distortions import random_strain, rattle
from sse_screen.thermodynamics.boltzmann_selection import boltzmann_draw, boltzmann_selection
from sse_screen.thermodynamics.composition_space import (
    EnergyBasis,
    HullEntry,
    elemental_space,
    end_member_space,
    place_on_hull,
    single_level_of_theory,
)
from sse_screen.thermodynamics.hull import lowest_entries
from sse_screen.training.cleaning import minimum_distance_A

if TYPE_CHECKING:
    from chgnet.model import CHGNet
    from pymatgen.core import Structure

    from sse_screen.dynamics.trajectory import Trajectory

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
_FEATURE_BATCH = 16


class SamplingProtocol(Specification):
    """How structures to be labelled are taken from a run; the defaults are those of Deng 2025."""

    method: Literal["random", "equidistant", "farthest_point"] = Field(
        "random", description="How frames are chosen"
    )
    frames: int = Field(30, gt=0, description="Frames of each run", json_schema_extra={"unit": "1"})
    skip_ps: float = Field(
        0.0,
        ge=0,
        description="Left out at the start, beyond the run's equilibration",
        json_schema_extra={"unit": "ps"},
    )
    candidates: int = Field(
        200,
        gt=0,
        description="Equidistant frames that farthest-point selection chooses from",
        json_schema_extra={"unit": "1"},
    )
    maximum_strain: float = Field(
        0.03,
        ge=0,
        le=0.3,
        description="Components of a random strain are between minus and plus this",
        json_schema_extra={"unit": "1"},
    )
    rattle_A: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of random displacements",
        json_schema_extra={"unit": "angstrom"},
    )
    copies: int = Field(
        1, gt=0, description="Strained and rattled copies of each frame", json_schema_extra={"unit": "1"}
    )
    keep_undistorted: bool = Field(False, description="Take each frame as it is, too")
    minimum_distance_A: float = Field(
        0.6,
        ge=0,
        description="Structures with nearer atoms are not worth a label",
        json_schema_extra={"unit": "angstrom"},
    )

    @property
    def structures_per_run(self) -> int:
        """Structures that one run gives."""
        distorted = self.copies if self.maximum_strain or self.rattle_A else 0
        return self.frames * (distorted + (self.keep_undistorted or not distorted))


def random_frames(n_frames: int, n: int, rng: np.random.Generator) -> IntArray:
    """Draw frames without replacement, all equally likely.

    Parameters
    ----------
    n_frames : int
        Frames there are.
    n : int
        Frames to draw.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Indices (n,), ascending.

    Raises
    ------
    InputError
        If there are not so many.
    """
    _check(n_frames, n)
    return np.sort(rng.choice(n_frames, n, replace=False)).astype(np.int64)


def equidistant_frames(n_frames: int, n: int) -> IntArray:
    """Take frames at equal distances, the last one always.

    Parameters
    ----------
    n_frames : int
        Frames there are.
    n : int
        Frames to take.

    Returns
    -------
    numpy.ndarray
        Indices (n,), ascending; the ends of n equal parts of the run.

    Raises
    ------
    InputError
        If there are not so many.
    """
    _check(n_frames, n)
    return np.ceil(np.arange(1, n + 1) * n_frames / n).astype(np.int64) - 1


def farthest_points(descriptors: ArrayLike, n: int) -> IntArray:
    """Choose points each as far as possible from those before it, starting with the farthest from the mean.

    Parameters
    ----------
    descriptors : array_like of shape (n_points, n_features)
        One row a point; distances are Euclidean.
    n : int
        Points to choose.

    Returns
    -------
    numpy.ndarray
        Indices (n,) in the order of choice.

    Raises
    ------
    InputError
        If there are not so many.
    """
    points = np.asarray(descriptors, dtype=float)
    _check(len(points), n)
    chosen = [int(np.argmax(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    nearest = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < n:
        nearest[chosen] = -1.0  # of equal points, one not chosen yet comes next
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen, dtype=np.int64)


def crystal_features(structures: Sequence[Structure], model: CHGNet) -> FloatArray:
    """Give CHGNet's feature of each structure.

    Parameters
    ----------
    structures : sequence of pymatgen.core.Structure
        The structures.
    model : chgnet.model.CHGNet
        From :func:`sse_screen.potentials.loading.load_chgnet`.

    Returns
    -------
    numpy.ndarray
        Shape (n_structures, 64).
    """
    predicted: Any = model.predict_structure(
        list(structures), task="e", return_crystal_feas=True, batch_size=_FEATURE_BATCH
    )
    predicted = predicted if isinstance(predicted, list) else [predicted]
    return np.array([one["crystal_fea"] for one in predicted], dtype=float)


def frame_structure(trajectory: Trajectory, frame: int) -> Structure:
    """Give one frame of a trajectory as a crystal.

    Parameters
    ----------
    trajectory : Trajectory
        Wrapped or not.
    frame : int
        Its number.

    Returns
    -------
    pymatgen.core.Structure
        Atoms in the trajectory's order, folded into the cell.
    """
    from pymatgen.core import Structure

    return Structure(
        trajectory.cells[frame],
        trajectory.species,
        trajectory.positions[frame],
        coords_are_cartesian=True,
        to_unit_cell=True,
    )


def choose_frames(
    trajectory: Trajectory,
    protocol: SamplingProtocol,
    rng: np.random.Generator,
    model: CHGNet | None = None,
) -> IntArray:
    """Choose frames of a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        Without its equilibration.
    protocol : SamplingProtocol
        How.
    rng : numpy.random.Generator
        Source of randomness.
    model : chgnet.model.CHGNet, optional
        Gives the features for farthest-point selection.

    Returns
    -------
    numpy.ndarray
        Indices (frames,) into the trajectory, ascending.

    Raises
    ------
    InputError
        If it has too few frames, or farthest points are wanted and there is no model.
    """
    first = int(np.searchsorted(trajectory.times_ps - trajectory.times_ps[0], protocol.skip_ps - 1e-9))
    left = trajectory.n_frames - first
    if protocol.method == "random":
        return first + random_frames(left, protocol.frames, rng)
    if protocol.method == "equidistant":
        return first + equidistant_frames(left, protocol.frames)
    if model is None:
        raise InputError("farthest_point: give the CHGNet whose features tell frames apart")
    _check(min(left, protocol.candidates), protocol.frames)
    candidates = first + equidistant_frames(left, min(left, protocol.candidates))
    features = crystal_features([frame_structure(trajectory, int(i)) for i in candidates], model)
    return np.sort(candidates[farthest_points(features, protocol.frames)])


def distorted_copies(
    structure: Structure, protocol: SamplingProtocol, rng: np.random.Generator
) -> list[tuple[Structure, str]]:
    """Give the copies of a structure that are to be labelled.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        A frame, or a relaxed crystal.
    protocol : SamplingProtocol
        Strain, displacements, copies.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    list of (Structure, str)
        Each with what was done to it, for its source; empty for the structure as it is.
    """
    found: list[tuple[Structure, str]] = []
    distorted = bool(protocol.maximum_strain or protocol.rattle_A)
    if protocol.keep_undistorted or not distorted:
        found.append((structure, ""))
    for number in range(protocol.copies if distorted else 0):
        copy, words = structure, []
        if protocol.maximum_strain:
            copy = random_strain(copy, protocol.maximum_strain, rng)
            words.append("strained")
        if protocol.rattle_A:
            copy = rattle(copy, protocol.rattle_A, rng)
            words.append("rattled")
        found.append((copy, f" {' '.join(words)} {number + 1}"))
    return found


def sample_trajectory(
    trajectory: Trajectory,
    protocol: SamplingProtocol,
    rng: np.random.Generator,
    *,
    parent_configuration: str,
    run: str,
    model: CHGNet | None = None,
    first_frame: int = 0,
) -> tuple[list[UnlabelledStructure], int]:
    """Take the structures to be labelled from one run.

    Parameters
    ----------
    trajectory : Trajectory
        Without its equilibration.
    protocol : SamplingProtocol
        How.
    rng : numpy.random.Generator
        Source of randomness; seed it and store the seed.
    parent_configuration : str
        Id of the crystal or ordering that ran.
    run : str
        Name of the run; sources are ``<run> frame <number>``.
    model : chgnet.model.CHGNet, optional
        Gives the features for farthest-point selection.
    first_frame : int
        Number of the trajectory's first frame in the stored file.

    Returns
    -------
    tuple
        The structures, and how many more were left out because atoms were too near.

    Raises
    ------
    InputError
        As :func:`choose_frames`.
    """
    copies = [
        (copy, f"{run} frame {first_frame + int(frame)}{done}")
        for frame in choose_frames(trajectory, protocol, rng, model)
        for copy, done in distorted_copies(frame_structure(trajectory, int(frame)), protocol, rng)
    ]
    return worth_a_label(copies, parent_configuration, protocol.minimum_distance_A)


def sample_crystal(
    structure: Structure,
    protocol: SamplingProtocol,
    rng: np.random.Generator,
    *,
    parent_configuration: str,
) -> tuple[list[UnlabelledStructure], int]:
    """Take strained and rattled copies of a crystal that did not run.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Ordered crystal.
    protocol : SamplingProtocol
        ``frames`` times ``copies`` of them, and the crystal itself with ``keep_undistorted``.
    rng : numpy.random.Generator
        Source of randomness; seed it and store the seed.
    parent_configuration : str
        Its id.

    Returns
    -------
    tuple
        The structures, and how many more were left out because atoms were too near.

    Raises
    ------
    InputError
        If nothing would be changed.
    """
    if not (protocol.maximum_strain or protocol.rattle_A):
        raise InputError("maximum_strain and rattle_A are both 0: all copies of the crystal would be equal")
    many = protocol.model_copy(update={"copies": protocol.frames * protocol.copies})
    copies = [
        (copy, f"{parent_configuration}{done}") for copy, done in distorted_copies(structure, many, rng)
    ]
    return worth_a_label(copies, parent_configuration, protocol.minimum_distance_A)


def worth_a_label(
    copies: Sequence[tuple[Structure, str]], parent_configuration: str, limit_A: float
) -> tuple[list[UnlabelledStructure], int]:
    """Leave out structures with atoms too near to one another.

    Parameters
    ----------
    copies : sequence of (Structure, str)
        Structures with their sources.
    parent_configuration : str
        What they are from.
    limit_A : float
        Shortest distance allowed in ångström.

    Returns
    -------
    tuple
        The others, ready for a batch, and the number left out.
    """
    kept = [
        UnlabelledStructure(
            structure=structure.as_dict(), parent_configuration=parent_configuration, source=source
        )
        for structure, source in copies
        if minimum_distance_A(structure.lattice.matrix, structure.cart_coords) >= limit_A
    ]
    return kept, len(copies) - len(kept)


def select_orderings(
    entries: Sequence[HullEntry],
    n_selected: int,
    rng: np.random.Generator,
    *,
    basis: EnergyBasis = "formula_unit",
    temperature_K: float = 800.0,
    end_members: Sequence[str] | None = None,
) -> list[str]:
    """Choose orderings with p ∝ exp(−E_hull/kT), the lowest of each composition always (Deng 2025).

    Parameters
    ----------
    entries : sequence of HullEntry
        Relaxed orderings of one or many compositions, all at one level of theory.
    n_selected : int
        How many.
    rng : numpy.random.Generator
        Source of randomness; seed it and store the seed.
    basis : {"formula_unit", "atom", "cell"}
        What E_hull counts per; the study's is the formula unit.
    temperature_K : float
        Temperature of the weights; 800 K in the study.
    end_members : sequence of str, optional
        Of the composition space; the hull is over elements when left out.

    Returns
    -------
    list of str
        Entry ids, in the order of the entries.

    Raises
    ------
    HullError
        If the number cannot be had, or levels of theory differ.
    """
    single_level_of_theory([entry.level_of_theory for entry in entries])
    formulas = [entry.formula for entry in entries]
    space = end_member_space(formulas, end_members) if end_members else elemental_space(formulas)
    energies = np.array([entry.energy_eV_per_atom for entry in entries])
    if len(lowest_entries(space.fractions, energies)) > 1:
        placed = place_on_hull(space, energies)
        chosen = boltzmann_selection(
            placed, basis=basis, temperature_K=temperature_K, n_selected=n_selected, rng=rng
        ).indices
    else:  # one composition has no hull: its lowest ordering takes the place of one
        _check(len(entries), n_selected)
        above = (energies - energies.min()) * space.per(basis)
        chosen = boltzmann_draw(
            above,
            space.fractions,
            basis=basis,
            temperature_K=temperature_K,
            n_selected=n_selected,
            rng=rng,
        ).indices
    return [str(entries[i].entry_id) for i in chosen]


def _check(n_frames: int, n: int) -> None:
    if not 0 < n <= n_frames:
        raise InputError(f"{n} frames of {n_frames}: take fewer, or run longer")
