"""Partial radial distribution functions, coordination numbers and vibrational spectra of a trajectory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.spatial import cKDTree

from sse_screen.exceptions import InputError

Array = NDArray[np.floating]


@dataclass(frozen=True)
class RadialDistribution:
    """Partial radial distribution function of one pair of species.

    Attributes
    ----------
    radii_A : ndarray, shape (n_bins,)
        Centres of the shells.
    g : ndarray, shape (n_bins,)
        Pair density over that of as many atoms placed at random in the same cells.
    running_coordination : ndarray, shape (n_bins,)
        Mean number of neighbours within the outer edge of each shell, counted, not integrated.
    bin_width_A : float
        Thickness of a shell.
    """

    radii_A: Array
    g: Array
    running_coordination: Array
    bin_width_A: float


class VibrationalSpectrum(NamedTuple):
    """Vibrational density of states, in modes per THz, species by species.

    Attributes
    ----------
    frequencies_THz : ndarray, shape (n_frequencies,)
        Evenly spaced from 0 to the Nyquist frequency.
    dos_per_species : dict of str to ndarray, shape (n_frequencies,)
        Their sum integrates (trapezoidal rule) to the degrees of freedom.
    """

    frequencies_THz: Array
    dos_per_species: dict[str, Array]

    @property
    def total(self) -> Array:
        """Sum over the species, in modes per THz."""
        return np.sum(list(self.dos_per_species.values()), axis=0)


class CoordinationStatistics(NamedTuple):
    """Numbers of neighbours within a cutoff over all centres and frames.

    Attributes
    ----------
    mean, standard_deviation : float
        Over centres and frames.
    fractions : dict of int to float
        Share of the (centre, frame) pairs having that many neighbours.
    """

    mean: float
    standard_deviation: float
    fractions: dict[int, float]


def _indices_of(species: Sequence[str], name: str) -> NDArray[np.int64]:
    indices = np.flatnonzero(np.asarray(species) == name)
    if not len(indices):
        raise InputError(f"species {name!r} does not occur; present: {', '.join(sorted(set(species)))}")
    return indices


class _Neighbours(NamedTuple):
    """Atoms of two species in one frame, those of the second with all periodic images in reach."""

    centres: Array
    others: Any

    def distances(self, radius_A: float) -> Array:
        """Distances of all pairs below the radius but those of an atom with itself, shape (n_pairs,)."""
        found = cKDTree(self.centres).sparse_distance_matrix(
            self.others, np.nextafter(radius_A, 0.0), output_type="ndarray"
        )["v"]
        return np.asarray(found[found > 0])

    def counts(self, radius_A: float) -> NDArray[np.int64]:
        """Neighbours of each centre below the radius, itself included if it is one, shape (n_centres,)."""
        radius = np.nextafter(radius_A, 0.0)
        return np.asarray(self.others.query_ball_point(self.centres, radius, return_length=True))


def _neighbours(
    positions: Array, cells: Array, first: NDArray[np.int64], second: NDArray[np.int64], radius_A: float
) -> Iterator[_Neighbours]:
    """Give each frame with the images of the second species within the radius of the cell, in a k-d tree."""
    for frame, cell in zip(positions, cells, strict=True):
        inverse = np.linalg.inv(cell)
        # Distances from face to face, so that the margins hold in any cell.
        margin = radius_A * np.linalg.norm(inverse, axis=0)
        home = (frame @ inverse) % 1.0
        reach = np.ceil(margin).astype(int)
        shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1)
        images = (home[second][:, None] + shifts.reshape(-1, 3)).reshape(-1, 3)
        inside = np.all((images >= -margin) & (images <= 1 + margin), axis=1)
        yield _Neighbours(home[first] @ cell, cKDTree(images[inside] @ cell))


def _check_frames(positions: Array, cells: Array, species: Sequence[str]) -> tuple[Array, Array]:
    positions = np.asarray(positions, dtype=float)
    cells = np.broadcast_to(np.asarray(cells, dtype=float), (len(positions), 3, 3))
    if positions.ndim != 3 or positions.shape[1:] != (len(species), 3):
        raise InputError(
            f"positions have shape {positions.shape}; the species given need (frames, {len(species)}, 3)"
        )
    return positions, cells


def radial_distribution(
    positions: Array,
    cells: Array,
    species: Sequence[str],
    pair: tuple[str, str],
    *,
    maximum_radius_A: float = 8.0,
    bin_width_A: float = 0.05,
) -> RadialDistribution:
    """Compute the partial radial distribution function g_ab(r), exact in any cell and at any radius.

    Shells have their exact volume 4π(r₂³ − r₁³)/3, periodic images beyond half the cell are counted, and like
    pairs are compared with N(N − 1) (not N²) random pairs, so that an ideal gas of any size has g = 1.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3)
        Cartesian positions in Å, wrapped or not.
    cells : ndarray, shape (n_frames, 3, 3) or (3, 3)
        Lattice vectors as rows, Å.
    species : sequence of str
        One symbol per atom.
    pair : tuple of str
        Central and neighbouring species.
    maximum_radius_A, bin_width_A : float
        Range and resolution.

    Returns
    -------
    RadialDistribution
        Averaged over all frames.

    Raises
    ------
    InputError
        If a species does not occur, or the bins are not positive.
    """
    positions, cells = _check_frames(positions, cells, species)
    if not 0 < bin_width_A <= maximum_radius_A:
        raise InputError(
            f"bin width {bin_width_A} Å must be positive and at most the radius {maximum_radius_A} Å"
        )
    first, second = _indices_of(species, pair[0]), _indices_of(species, pair[1])
    edges = bin_width_A * np.arange(round(maximum_radius_A / bin_width_A) + 1)
    counts = np.zeros(len(edges) - 1)
    for frame in _neighbours(positions, cells, first, second, float(edges[-1])):
        bins = (frame.distances(float(edges[-1])) / bin_width_A).astype(np.int64)
        counts += np.bincount(bins, minlength=len(counts))[: len(counts)]
    partners = len(second) - (pair[0] == pair[1])
    inverse_volume = float(np.mean(1.0 / np.abs(np.linalg.det(cells))))
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    random_pairs = len(positions) * len(first) * partners * inverse_volume * shells
    g = np.divide(counts, random_pairs, out=np.zeros_like(counts), where=random_pairs > 0)
    running = np.cumsum(counts) / (len(positions) * len(first))
    return RadialDistribution(0.5 * (edges[1:] + edges[:-1]), g, running, bin_width_A)


def first_minimum(distribution: RadialDistribution, *, smoothing_A: float = 0.15) -> float | None:
    """Find the radius of the first minimum of g(r) after its first peak, the usual neighbour cutoff.

    Parameters
    ----------
    distribution : RadialDistribution
        Partial radial distribution function.
    smoothing_A : float
        Width of the moving average that hides the counting noise, Å.

    Returns
    -------
    float or None
        Radius in Å; the middle of the gap where g is zero over a range; None if g has no minimum in range.
    """
    width = max(1, round(smoothing_A / distribution.bin_width_A))
    smooth = np.convolve(distribution.g, np.ones(width) / width, mode="same")
    above = np.flatnonzero(smooth > 1.0)
    if not len(above):
        return None
    peak = int(above[0])
    while peak + 1 < len(smooth) and smooth[peak + 1] >= smooth[peak]:
        peak += 1
    recovery = np.flatnonzero(smooth[peak:] > 1.0)
    ends = recovery[np.flatnonzero(np.diff(recovery) > 1) + 1] if len(recovery) else recovery
    stop = peak + int(ends[0]) if len(ends) else len(smooth)
    valley = smooth[peak:stop]
    lowest = np.flatnonzero(valley <= valley.min() + 1e-12)
    middle = peak + int(lowest[len(lowest) // 2])
    return None if middle >= len(smooth) - width else float(distribution.radii_A[middle])


def coordination_statistics(
    positions: Array, cells: Array, species: Sequence[str], pair: tuple[str, str], cutoff_A: float
) -> CoordinationStatistics:
    """Count the neighbours of one species around another within a cutoff.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3)
        Cartesian positions in Å.
    cells : ndarray, shape (n_frames, 3, 3) or (3, 3)
        Lattice vectors as rows, Å.
    species : sequence of str
        One symbol per atom.
    pair : tuple of str
        Central and neighbouring species.
    cutoff_A : float
        Radius of the coordination sphere, Å.

    Returns
    -------
    CoordinationStatistics
        Mean, spread and shares.

    Raises
    ------
    InputError
        If a species does not occur or the cutoff is not positive.
    """
    positions, cells = _check_frames(positions, cells, species)
    if cutoff_A <= 0:
        raise InputError(f"cutoff_A must be positive, got {cutoff_A}")
    first, second = _indices_of(species, pair[0]), _indices_of(species, pair[1])
    itself = int(pair[0] == pair[1])
    found = _neighbours(positions, cells, first, second, cutoff_A)
    neighbours = np.concatenate([frame.counts(cutoff_A) - itself for frame in found])
    values, occurrences = np.unique(neighbours, return_counts=True)
    shares = occurrences / len(neighbours)
    fractions = {int(value): float(share) for value, share in zip(values, shares, strict=True)}
    return CoordinationStatistics(float(neighbours.mean()), float(neighbours.std()), fractions)


def velocity_autocorrelation(velocities: Array, *, maximum_lag: int | None = None) -> Array:
    """Compute ⟨v(0)·v(t)⟩ averaged over atoms and all time origins, by FFT.

    Parameters
    ----------
    velocities : ndarray, shape (n_frames, n_atoms, 3)
        Evenly spaced in time, any unit.
    maximum_lag : int, optional
        Number of lags after zero; by default half the frames.

    Returns
    -------
    ndarray, shape (maximum_lag + 1,)
        In the square of the unit of the velocities; unbiased (each lag divided by its number of origins).
    """
    velocities = np.asarray(velocities, dtype=float)
    n_frames = len(velocities)
    lags = n_frames // 2 if maximum_lag is None else min(maximum_lag, n_frames - 1)
    size = next_fast_len(n_frames + lags, real=True)
    power = np.zeros(size // 2 + 1)
    for atom in range(velocities.shape[1]):
        transform = rfft(velocities[:, atom], size, axis=0)
        power += np.sum(transform.real**2 + transform.imag**2, axis=1)
    correlation = irfft(power, size)[: lags + 1]
    return correlation / (n_frames - np.arange(lags + 1)) / velocities.shape[1]


def vibrational_density_of_states(
    velocities: Array,
    masses: Array,
    time_step_fs: float,
    *,
    species: Sequence[str] | None = None,
    degrees_of_freedom: float | None = None,
    resolution_THz: float | None = None,
) -> VibrationalSpectrum:
    """Compute the vibrational density of states from the mass-weighted velocities.

    The Fourier transform of the velocity autocorrelation is, by the Wiener-Khinchin theorem, the power
    spectrum of the velocities; it is taken from Hann-windowed segments overlapping by half (Welch 1967),
    which keeps it positive. Use an NVE run: a thermostat adds its own frequencies.

    Parameters
    ----------
    velocities : ndarray, shape (n_frames, n_atoms, 3)
        Evenly spaced in time, any unit; subtract the motion of the centre of mass first if it drifts.
    masses : ndarray, shape (n_atoms,)
        Any unit.
    time_step_fs : float
        Time between two frames, fs.
    species : sequence of str, optional
        One symbol per atom; without it all atoms go under the one key ``"all"``.
    degrees_of_freedom : float, optional
        What the sum over species integrates to; 3 N by default (3 N − 3 without the centre of mass).
    resolution_THz : float, optional
        Spacing of the frequencies; by default the finest one, 1 / (duration of the trajectory).

    Returns
    -------
    VibrationalSpectrum
        Frequencies in THz and densities in modes per THz, shared by the species as the kinetic energy is.

    Raises
    ------
    InputError
        If shapes disagree, the atoms do not move, or the resolution asks for more than the trajectory holds.
    """
    velocities, masses = np.asarray(velocities, dtype=float), np.asarray(masses, dtype=float)
    n_frames, n_atoms = velocities.shape[:2]
    names = ["all"] * n_atoms if species is None else list(species)
    if masses.shape != (n_atoms,) or len(names) != n_atoms:
        raise InputError(f"{n_atoms} atoms have velocities, {masses.size} masses and {len(names)} species")
    length = n_frames if resolution_THz is None else round(1000.0 / (resolution_THz * time_step_fs))
    if not 4 <= length <= n_frames:
        raise InputError(
            f"a resolution of {resolution_THz} THz needs segments of {length} frames; there are {n_frames}"
        )
    window = np.hanning(length + 1)[:-1]
    dos = {name: np.zeros(length // 2 + 1) for name in dict.fromkeys(names)}
    for start in range(0, n_frames - length + 1, max(1, length // 2)):
        for atom, name in enumerate(names):
            transform = rfft(velocities[start : start + length, atom] * window[:, None], axis=0)
            dos[name] += masses[atom] * np.sum(transform.real**2 + transform.imag**2, axis=1)
    frequencies = np.arange(length // 2 + 1) * 1000.0 / (length * time_step_fs)
    norm = float(np.trapezoid(np.sum(list(dos.values()), axis=0), frequencies))
    if norm <= 0:
        raise InputError("the velocities are all zero: there is no vibrational spectrum")
    target = 3.0 * n_atoms if degrees_of_freedom is None else degrees_of_freedom
    return VibrationalSpectrum(frequencies, {name: values * (target / norm) for name, values in dos.items()})
