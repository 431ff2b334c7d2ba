"""Replicas and segments of one system at one temperature, brought to drift-free displacements together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.transport.displacements import (
    Displacements,
    common_time_step,
    displacements,
    mean_neighbour_distance,
)

FloatArray = NDArray[np.float64]

_TEMPERATURE_DRIFT = 0.05
_VOLUME_DRIFT = 0.02
_ENERGY_DRIFT_EV_PER_ATOM = 0.01


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Continuous pieces of trajectories that sample the same diffusion.

    Parameters
    ----------
    time_step_ps : float
        Time between frames in ps.
    mobile_species : tuple of str
        Symbols of the mobile ion.
    mobile : list of numpy.ndarray
        Displacements of the mobile ions in Å of each piece, (n_frames, n_ions, 3).
    framework : dict of str to list of numpy.ndarray
        Displacements of each framework species in Å of each piece.
    cell_A : numpy.ndarray
        Mean cell in Å, rows are lattice vectors, shape (3, 3).
    volume_A3 : float
        Mean volume of the cell in Å³.
    neighbour_distance_A : float
        Distance between neighbouring mobile ions, which stands in for the site distance.
    temperature_K : float or None
        Mean recorded temperature.
    sparse_steps : float
        Share of the mobile ions' steps whose periodic image is a guess.
    warnings : list of str
        What was found and dealt with: restarts, drifts, missing framework.
    """

    time_step_ps: float
    mobile_species: tuple[str, ...]
    mobile: list[FloatArray]
    framework: dict[str, list[FloatArray]]
    cell_A: FloatArray
    volume_A3: float
    neighbour_distance_A: float
    temperature_K: float | None
    sparse_steps: float
    warnings: list[str] = field(default_factory=list)

    @property
    def n_ions(self) -> int:
        """Number of mobile ions in a cell."""
        return int(self.mobile[0].shape[1])

    @property
    def duration_ps(self) -> float:
        """Length of the longest piece in ps."""
        return (max(len(piece) for piece in self.mobile) - 1) * self.time_step_ps

    @property
    def total_time_ps(self) -> float:
        """Length of all pieces together in ps."""
        return sum(len(piece) - 1 for piece in self.mobile) * self.time_step_ps


def prepare_ensemble(
    trajectories: Sequence[Trajectory],
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
) -> Ensemble:
    """Unwrap, remove drift and split at discontinuities.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Replicas of the same composition, written at the same spacing.
    mobile_species : str or sequence of str
        Symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        Symbols held still; all that is not mobile if not given.

    Raises
    ------
    TrajectoryError
        If there is no trajectory, the compositions differ, one is there twice, or the frames are unevenly
        spaced.
    SpeciesError
        If a named species is not there.
    """
    if not trajectories:
        raise TrajectoryError("trajectories: none given")
    _same_composition(trajectories)
    _no_copies(trajectories)
    symbols = (mobile_species,) if isinstance(mobile_species, str) else tuple(mobile_species)
    step = common_time_step(trajectories)
    mobile: list[FloatArray] = []
    framework: dict[str, list[FloatArray]] = {}
    warnings: list[str] = []
    guessed = taken = 0
    for number, trajectory in enumerate(trajectories, start=1):
        label = f"trajectory {number}: " if len(trajectories) > 1 else ""
        breaks: list[int] = []
        parts = trajectory.continuous_parts()
        for part, first in zip(parts, np.cumsum([0, *(len(part) for part in parts)]), strict=False):
            moved = displacements(part, symbols, framework_species)
            _add_pieces(moved, part.species, mobile, framework)
            guessed += moved.ambiguous_steps
            taken += max(part.n_frames - 1, 1) * part.n_atoms
            breaks += [int(first) + frame for frame in moved.discontinuities]
        warnings += [label + text for text in _found_in(trajectory, breaks)]
    if not framework:
        warnings.append("no framework: drift removed by the centre of mass, melting cannot be told")
    cells = np.concatenate([np.asarray(trajectory.cells, dtype=float) for trajectory in trajectories])
    temperatures = [t.mean_temperature_K for t in trajectories if t.mean_temperature_K is not None]
    return Ensemble(
        time_step_ps=step,
        mobile_species=symbols,
        mobile=mobile,
        framework=framework,
        cell_A=cells.mean(axis=0),
        volume_A3=float(np.mean(np.abs(np.linalg.det(cells)))),
        neighbour_distance_A=mean_neighbour_distance(trajectories[0], trajectories[0].indices(*symbols)),
        temperature_K=float(np.mean(temperatures)) if temperatures else None,
        sparse_steps=guessed / taken,
        warnings=warnings,
    )


def _found_in(trajectory: Trajectory, breaks: Sequence[int]) -> list[str]:
    """Return what was found in one trajectory and dealt with: gaps, restarts, its reader's notes, drifts."""
    found = []
    if trajectory.gaps:
        found.append(f"frames are missing before {_frames(trajectory.gaps)}: no window crosses it")
    if breaks:
        found.append(f"positions break off at {_frames(breaks)}: split there, no window crosses it")
    return [*found, *trajectory.notes, *drift_warnings(trajectory)]


def _frames(numbers: Sequence[int]) -> str:
    """Return frame numbers as text, five at most."""
    shown = ", ".join(str(number) for number in numbers[:5])
    return f"frame {shown}" + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def _same_composition(trajectories: Sequence[Trajectory]) -> None:
    """Refuse to pool trajectories of different atoms."""
    composition = Counter(trajectories[0].species)
    for trajectory in trajectories[1:]:
        if Counter(trajectory.species) != composition:
            raise TrajectoryError(
                "species: the trajectories are of different compositions and cannot be pooled"
            )


def _no_copies(trajectories: Sequence[Trajectory]) -> None:
    """Refuse a trajectory given twice, which would narrow the interval without knowing more."""
    for (i, one), (j, other) in combinations(enumerate(trajectories, start=1), 2):
        same_shape = one.positions.shape == other.positions.shape and one.n_frames > 1
        if same_shape and np.array_equal(one.positions[-1], other.positions[-1]):
            raise TrajectoryError(
                f"trajectories {i} and {j} end at the same positions: a copy is no replica; leave one out"
            )
        # Replicas may begin at the same positions; one that begins within another goes on from there.
        for (a, first), (b, later) in (((i, one), (j, other)), ((j, other), (i, one))):
            # One atom is compared first: it tells apart all frames but those of atoms that are held.
            alike = np.flatnonzero(np.all(first.positions[1:, -1] == later.positions[0, -1], axis=1)) + 1
            if any(np.array_equal(first.positions[frame], later.positions[0]) for frame in alike):
                raise TrajectoryError(
                    f"trajectory {b} begins at a frame of trajectory {a}: segments of one run are joined "
                    "(--segments), not pooled as replicas"
                )


def _add_pieces(
    moved: Displacements,
    species: tuple[str, ...],
    mobile: list[FloatArray],
    framework: dict[str, list[FloatArray]],
) -> None:
    """Append the continuous pieces of one trajectory, species by species."""
    names = np.array(species)
    for piece in moved.pieces():
        part = moved.vectors_A[piece]
        mobile.append(np.ascontiguousarray(part[:, moved.mobile]))
        for symbol in sorted({species[i] for i in moved.framework}):
            framework.setdefault(symbol, []).append(np.ascontiguousarray(part[:, names == symbol]))


def drift_warnings(trajectory: Trajectory) -> list[str]:
    """Return a sentence for every recorded quantity whose two halves differ more than equilibrium allows.

    Temperature by 5 %, volume by 2 %, potential energy by 10 meV an atom, each beyond three standard errors
    of ten block averages.
    """
    found = []
    temperatures, energies = trajectory.temperatures_K, trajectory.potential_energies_eV
    if temperatures is not None and float(np.mean(temperatures)) > 0:
        shift = _drift(temperatures) / float(np.mean(temperatures))
        if abs(shift) > _TEMPERATURE_DRIFT:
            found.append(f"the temperature drifts by {shift:+.0%} between the halves")
    volumes = trajectory.volumes_A3
    shift = _drift(volumes) / float(np.mean(volumes))
    if abs(shift) > _VOLUME_DRIFT:
        found.append(f"the volume drifts by {shift:+.1%} between the halves")
    if energies is not None:
        shift = _drift(energies) / trajectory.n_atoms
        if abs(shift) > _ENERGY_DRIFT_EV_PER_ATOM:
            found.append(f"the potential energy drifts by {1000 * shift:+.1f} meV/atom between the halves")
    return found


def _drift(values: NDArray[np.floating]) -> float:
    """Return the change of the mean between the halves, 0 if it is within three standard errors."""
    if len(values) < 20:
        return 0.0
    blocks = np.array([block.mean() for block in np.array_split(np.asarray(values, dtype=float), 10)])
    change = float(blocks[5:].mean() - blocks[:5].mean())
    error = float(np.sqrt((blocks[:5].var(ddof=1) + blocks[5:].var(ddof=1)) / 5))
    return change if abs(change) > 3 * error else 0.0
