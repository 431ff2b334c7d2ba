"""Displacements along a trajectory: unwrapping, drift, discontinuities, mean squared displacement."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.fft
import scipy.stats
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.exceptions import InputError

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

# A step of this fraction of a cell vector may as well have gone the other way round.
AMBIGUOUS_FRACTION = 0.4
_COMPONENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_DISCONTINUITY_RATIO = 5.0
_DISCONTINUITY_FLOOR_A = 0.4
_SIMULTANEOUS_IONS = 8
_CHANCE = 1e-6


class SpeciesError(InputError):
    """A species that the caller named is not in the trajectory, or a needed one was not named."""


@dataclass(frozen=True, eq=False)
class Displacements:
    """Drift-free displacements of all atoms, with what was found wrong on the way.

    Parameters
    ----------
    vectors_A : numpy.ndarray
        Displacement of each atom from the first frame in Å, shape (n_frames, n_atoms, 3).
    drift_A : numpy.ndarray
        Displacement of the reference frame that was subtracted, in Å, shape (n_frames, 3).
    mobile, framework : numpy.ndarray
        Atom indices of the mobile species and of the framework (empty if there is none).
    discontinuities : tuple of int
        Frames that do not continue the one before them (restarts from other positions).
    ambiguous_steps : int
        Number of atom steps so long that their periodic image is a guess (dump too sparse).
    """

    vectors_A: FloatArray
    drift_A: FloatArray
    mobile: IndexArray
    framework: IndexArray
    discontinuities: tuple[int, ...]
    ambiguous_steps: int

    def pieces(self) -> list[slice]:
        """Return the slices of frames between discontinuities, each of two frames or more."""
        edges = [0, *self.discontinuities, len(self.vectors_A)]
        return [slice(a, b) for a, b in pairwise(edges) if b - a > 1]


def split_species(
    trajectory: Trajectory,
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
) -> tuple[IndexArray, IndexArray]:
    """Return the indices of the mobile atoms and of the framework atoms.

    Parameters
    ----------
    trajectory : Trajectory
        The trajectory whose species are looked up.
    mobile_species : str or sequence of str
        Element symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        Element symbols of the framework; all that is not mobile if not given.

    Raises
    ------
    SpeciesError
        If a named species is not there, or one is named as mobile and as framework.
    """
    mobile = (mobile_species,) if isinstance(mobile_species, str) else tuple(mobile_species)
    present = sorted(set(trajectory.species))
    for symbol in (*mobile, *(framework_species or ())):
        if symbol not in present:
            raise SpeciesError(
                f"species {symbol!r} is not in the trajectory, which holds {', '.join(present)}"
            )
    if framework_species is None:
        framework_species = [symbol for symbol in present if symbol not in mobile]
    both = set(mobile) & set(framework_species)
    if both:
        raise SpeciesError(f"species {', '.join(sorted(both))}: named as mobile and as framework")
    return trajectory.indices(*mobile), trajectory.indices(*framework_species)


def unwrap(trajectory: Trajectory) -> tuple[FloatArray, int]:
    """Return displacements from the first frame with the cell of the moment, before drift removal.

    Every step is Δr = (Δf − round Δf)·L(t+1), with f the fractional coordinates in the cell L of their own
    frame; the sum follows an atom across boundaries and leaves out the breathing of the cell, which the
    cumulated fractional coordinate times L(t) would not. Unwrapped positions are not rounded.

    Parameters
    ----------
    trajectory : Trajectory
        Wrapped or unwrapped.

    Returns
    -------
    displacements_A : numpy.ndarray
        In Å, shape (n_frames, n_atoms, 3), zero in the first frame.
    ambiguous_steps : int
        Number of atom steps longer than 0.4 of a cell vector (0 for unwrapped positions).
    """
    cells = np.asarray(trajectory.cells, dtype=float)
    positions = np.asarray(trajectory.positions, dtype=float)
    displacements = np.zeros_like(positions)
    if trajectory.n_frames < 2:
        return displacements, 0
    fixed = np.array_equal(cells, np.broadcast_to(cells[0], cells.shape))
    if fixed and trajectory.unwrapped:
        np.subtract(positions, positions[0], out=displacements)
        return displacements, 0
    inverse = np.linalg.inv(cells[0]) if fixed else np.linalg.inv(cells)
    steps = np.diff(positions @ inverse, axis=0)
    ambiguous = 0
    if not trajectory.unwrapped:
        steps -= np.round(steps)
        ambiguous = int(np.count_nonzero(np.any(np.abs(steps) > AMBIGUOUS_FRACTION, axis=2)))
    np.cumsum(steps @ (cells[0] if fixed else cells[1:]), axis=0, out=displacements[1:])
    return displacements, ambiguous


def displacements(
    trajectory: Trajectory,
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
) -> Displacements:
    """Return displacements relative to the framework, and where the trajectory breaks off.

    The drift is the mean displacement of the framework atoms, not of the whole cell, which would move with
    the mobile ions. Without a framework the centre of mass is taken.

    Parameters
    ----------
    trajectory : Trajectory
        Wrapped or unwrapped.
    mobile_species : str or sequence of str
        Element symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        Element symbols whose mean is held still; all that is not mobile if not given.

    Raises
    ------
    SpeciesError
        If a named species is not there.
    """
    mobile, framework = split_species(trajectory, mobile_species, framework_species)
    vectors, ambiguous = unwrap(trajectory)
    if len(framework):
        drift = vectors[:, framework].mean(axis=1)
    else:
        masses = masses_of(trajectory.species)
        drift = np.einsum("a,tax->tx", masses / masses.sum(), vectors)
    vectors -= drift[:, None]
    breaks = find_discontinuities(vectors, mobile, trajectory.segment_starts[1:])
    return Displacements(vectors, drift, mobile, framework, breaks, ambiguous)


def continuous_pieces(
    trajectory: Trajectory,
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
) -> list[Trajectory]:
    """Return the parts of a trajectory within which every frame follows the one before.

    Parameters
    ----------
    trajectory : Trajectory
        With gaps in its clock or restarts from other positions, or none.
    mobile_species : str or sequence of str
        Element symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        As in `displacements`.

    Raises
    ------
    SpeciesError
        If a named species is not there.
    """
    found = []
    for part in trajectory.continuous_parts():
        pieces = displacements(part, mobile_species, framework_species).pieces()
        found += [part[piece] for piece in pieces] or [part]
    return found


def find_discontinuities(
    vectors_A: FloatArray, mobile: IndexArray | None = None, segment_starts: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the frames at which many atoms at once are displaced from the frame before.

    The median over atoms of the step length is compared with its own median over frames, so that neither
    hops of single ions nor a coarse dump are taken for a restart; a break is 5 times and 0.4 Å above it.
    A restart from an earlier frame leaves the framework where it is: it shows as more mobile ions that move
    at once than their own rate allows (`_simultaneous`). Frames at a break that is one of many (more than
    one in ten) are not reported: that is fast motion. Where a segment is known to begin, a break is twice and
    0.1 Å above the median, or a step in which more mobile ions move than one in a hundred steps would show.

    Parameters
    ----------
    vectors_A : numpy.ndarray
        Displacements in Å, shape (n_frames, n_atoms, 3).
    mobile : numpy.ndarray, optional
        Indices of the mobile ions, which are looked at by themselves too.
    segment_starts : sequence of int
        Frames at which the run was taken up again.
    """
    if len(vectors_A) < 4:
        return ()
    steps = np.diff(vectors_A, axis=0)
    lengths = np.sqrt(np.einsum("tax,tax->ta", steps, steps))
    typical = np.median(lengths, axis=1)
    breaks = typical > _DISCONTINUITY_RATIO * np.median(typical) + _DISCONTINUITY_FLOOR_A
    if mobile is not None and len(mobile) >= _SIMULTANEOUS_IONS:
        breaks |= _simultaneous(lengths[:, mobile], _CHANCE / len(steps), max(8, len(mobile) / 4))
    frames = np.flatnonzero(breaks) + 1
    found = set() if len(frames) > 0.1 * len(vectors_A) else {int(frame) for frame in frames}
    if segment_starts:
        at = np.array(segment_starts, dtype=int) - 1
        known = typical > 2 * np.median(typical) + 0.1
        if mobile is not None and len(mobile):
            known |= _simultaneous(lengths[:, mobile], 0.01, 3)
        found |= {int(step) + 1 for step in at if known[step]}
    return tuple(sorted(found))


def _simultaneous(lengths_A: FloatArray, probability: float, least: float) -> BoolArray:
    """Return the steps in which more ions move than independent ions would with some probability.

    An ion moves if its step is 5 times and 0.4 Å above the median; at least `least` of them must.
    """
    n_steps, n_ions = lengths_A.shape
    moves = lengths_A > _DISCONTINUITY_RATIO * np.median(lengths_A) + _DISCONTINUITY_FLOOR_A
    together = moves.sum(axis=1)
    # The share of steps without the step that is judged, so that a break does not hide itself.
    rate = (moves.sum() - together + 1) / (n_steps * n_ions)
    chance = scipy.stats.binom.sf(together - 1, n_ions, np.minimum(rate, 1.0))
    return np.asarray((together >= least) & (chance < probability))


def displacement_tensor(vectors_A: FloatArray, block: int = 32) -> FloatArray:
    """Return the mean of Δr_a Δr_b of every lag over all time origins and atoms.

    Computed as S1(lag) − 2 S2(lag) with S2 the (cross-)correlations by fast Fourier transform: n log n in
    the number of frames (Calandrini et al., Collection SFN 12, 201 (2011), eqs. 4.2-4.12).

    Parameters
    ----------
    vectors_A : numpy.ndarray
        Displacements in Å, shape (n_frames, n_atoms, 3).
    block : int
        Atoms transformed at a time, which bounds the memory.

    Returns
    -------
    numpy.ndarray
        In Å², shape (n_frames, 3, 3), zero at lag 0; all zero if there is no atom.
    """
    n_frames, n_atoms = vectors_A.shape[:2]
    result = np.zeros((n_frames, 3, 3))
    if n_atoms == 0:
        return result
    size = scipy.fft.next_fast_len(2 * n_frames, real=True)
    power = np.zeros((3, 3, size // 2 + 1))
    products = np.zeros((3, 3, n_frames))
    for first in range(0, n_atoms, block):
        part = np.ascontiguousarray(vectors_A[:, first : first + block].transpose(2, 1, 0))
        # Centring leaves the differences alone and keeps the cancellation in S1 − 2 S2 small.
        part -= part.mean(axis=2, keepdims=True)
        spectrum = scipy.fft.rfft(part, size, axis=2)
        for a, b in _COMPONENTS:
            power[a, b] += (spectrum[a].real * spectrum[b].real + spectrum[a].imag * spectrum[b].imag).sum(
                axis=0
            )
            products[a, b] += (part[a] * part[b]).sum(axis=0)
    origins = (n_frames - np.arange(n_frames)) * n_atoms
    for a, b in _COMPONENTS:
        correlation = scipy.fft.irfft(power[a, b], size)[:n_frames]
        ahead = np.concatenate([[0.0], np.cumsum(products[a, b])])
        total = ahead[-1] - ahead[:n_frames] + ahead[n_frames - np.arange(n_frames)]
        result[:, a, b] = result[:, b, a] = (total - 2 * correlation) / origins
        if a == b:
            result[:, a, a] = np.maximum(result[:, a, a], 0.0)
    result[0] = 0.0
    return result


def mean_squared_displacement(vectors_A: FloatArray, block: int = 32) -> FloatArray:
    """Return the mean squared displacement of every lag over all time origins and atoms.

    Parameters
    ----------
    vectors_A : numpy.ndarray
        Displacements in Å, shape (n_frames, n_atoms, 3).
    block : int
        Atoms transformed at a time, which bounds the memory.

    Returns
    -------
    numpy.ndarray
        In Å², shape (n_frames,), zero at lag 0; all zero if there is no atom.
    """
    n_frames, n_atoms = vectors_A.shape[:2]
    result = np.zeros(n_frames)
    if n_atoms == 0:
        return result
    size = scipy.fft.next_fast_len(2 * n_frames, real=True)
    power, squares = np.zeros(size // 2 + 1), np.zeros(n_frames)
    for first in range(0, n_atoms, block):
        part = np.ascontiguousarray(vectors_A[:, first : first + block].reshape(n_frames, -1).T)
        part -= part.mean(axis=1, keepdims=True)
        spectrum = scipy.fft.rfft(part, size, axis=1)
        power += (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
        squares += (part**2).sum(axis=0)
    ahead = np.concatenate([[0.0], np.cumsum(squares)])
    total = ahead[-1] - ahead[:n_frames] + ahead[n_frames - np.arange(n_frames)]
    result = (total - 2 * scipy.fft.irfft(power, size)[:n_frames]) / (
        (n_frames - np.arange(n_frames)) * n_atoms
    )
    result[0] = 0.0
    return np.maximum(result, 0.0)


def collective_displacement(vectors_A: FloatArray, charges: FloatArray | None = None) -> FloatArray:
    """Return the charge-weighted sum of displacements Σ z_i Δr_i as one coordinate, shape (n_frames, 1, 3).

    Parameters
    ----------
    vectors_A : numpy.ndarray
        Displacements of the mobile ions in Å, shape (n_frames, n_ions, 3).
    charges : numpy.ndarray, optional
        Charge number of each ion, shape (n_ions,); 1 each if not given.
    """
    weights = np.ones(vectors_A.shape[1]) if charges is None else np.asarray(charges, dtype=float)
    return np.einsum("a,tax->tx", weights, vectors_A)[:, None, :]


def masses_of(species: Sequence[str]) -> FloatArray:
    """Return the atomic masses in u (1 for symbols that are not elements), shape (n_atoms,)."""
    numbers = (atomic_numbers.get(symbol) for symbol in species)
    return np.array([1.0 if number is None else float(atomic_masses[number]) for number in numbers])


def mean_neighbour_distance(trajectory: Trajectory, mobile: IndexArray) -> float:
    """Return the median distance in Å from a mobile ion to its nearest like neighbour in the first frame.

    It stands in for the distance between sites where none is given, held between 1.5 and 4 Å; 3 Å if
    there is a single ion.
    """
    if len(mobile) < 2:
        return 3.0
    cell = np.asarray(trajectory.cells[0], dtype=float)
    # Many ions: a sample is enough for a median.
    chosen = mobile[:: max(1, len(mobile) // 200)]
    fractional = np.asarray(trajectory.positions[0], dtype=float) @ np.linalg.inv(cell)
    delta = fractional[chosen][:, None] - fractional[mobile][None]
    delta -= np.round(delta)
    distances = np.linalg.norm(delta @ cell, axis=2)
    distances[distances < 0.1] = np.inf
    nearest = distances.min(axis=1)
    finite = nearest[np.isfinite(nearest)]
    return float(np.clip(np.median(finite), 1.5, 4.0)) if len(finite) else 3.0


def common_time_step(trajectories: Sequence[Trajectory]) -> float:
    """Return the time between frames in ps that all trajectories share.

    Raises
    ------
    TrajectoryError
        If a trajectory has uneven frames, or two differ by more than 0.1 %.
    """
    steps = [trajectory.time_step_ps for trajectory in trajectories if trajectory.n_frames > 1]
    if not steps:
        raise TrajectoryError("times_ps: no trajectory has more than one frame")
    if max(steps) > 1.001 * min(steps):
        raise TrajectoryError(
            f"times_ps: replicas are written every {min(steps):.6g} to {max(steps):.6g} ps; "
            "thin the finer ones to the same spacing"
        )
    return float(np.mean(steps))
