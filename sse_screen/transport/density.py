"""Probability density of the mobile ion on a periodic grid: levels, peaks and export."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr
from numpy.typing import NDArray
from scipy.fft import irfftn, rfftn
from scipy.ndimage import maximum_filter

from sse_screen.exceptions import InputError

Array = NDArray[np.floating]
_VALUES_PER_LINE = 5


@dataclass(frozen=True, eq=False)
class DensityGrid:
    """Density on a grid of points i/n along each lattice vector, periodic in all three.

    Attributes
    ----------
    values_per_A3 : ndarray, shape (n_a, n_b, n_c)
        Density in Å^-3; its sum times the voxel volume is `norm`.
    cell_A : ndarray, shape (3, 3)
        Lattice vectors as rows, Å.
    norm : float
        What the density integrates to: 1 (probability) or the number of ions.
    n_samples : int
        Number of positions counted, ions times frames.
    spread : float
        Share of a position that its own voxel keeps after smoothing; 1 before.
    """

    values_per_A3: Array
    cell_A: Array
    norm: float
    n_samples: int
    spread: float = 1.0

    @property
    def voxel_volume_A3(self) -> float:
        """Volume of one voxel in Å^3."""
        return float(abs(np.linalg.det(self.cell_A))) / self.values_per_A3.size

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of grid points along each lattice vector."""
        n_a, n_b, n_c = self.values_per_A3.shape
        return n_a, n_b, n_c

    @property
    def one_count_per_A3(self) -> float:
        """Density where a place was visited once, the least that the trajectory can resolve."""
        return self.spread * self.norm / (self.n_samples * self.voxel_volume_A3)


class DensityPeaks(NamedTuple):
    """Local maxima of a density, highest first.

    Attributes
    ----------
    fractional : ndarray, shape (n_peaks, 3)
        Centroids of the density around the maxima, in [0, 1).
    heights_per_A3 : ndarray, shape (n_peaks,)
        Density of the highest voxel, Å^-3.
    occupancies : ndarray, shape (n_peaks,)
        Integral of the density within half the separation asked for.
    """

    fractional: Array
    heights_per_A3: Array
    occupancies: Array


def aligned_fractional_positions(
    positions: Array, cells: Array, mobile: Sequence[int] | NDArray, framework: Sequence[int] | NDArray
) -> Array:
    """Give fractional positions of the mobile ions with the drift of the framework taken out.

    Parameters
    ----------
    positions : ndarray, shape (n_frames, n_atoms, 3)
        Cartesian positions in Å, wrapped or not.
    cells : ndarray, shape (n_frames, 3, 3) or (3, 3)
        Lattice vectors as rows, Å.
    mobile, framework : sequence of int
        Indices of the atoms; an empty framework leaves the positions as they are.

    Returns
    -------
    ndarray, shape (n_frames, n_mobile, 3)
        Fractional positions, not wrapped; the framework's mean stays where it was in the first frame.
    """
    positions = np.asarray(positions, dtype=float)
    cells = np.broadcast_to(np.asarray(cells, dtype=float), (len(positions), 3, 3))
    inverse = np.linalg.inv(cells)
    fractional = positions[:, np.asarray(mobile, dtype=int)] @ inverse
    if len(framework):
        frame = positions[:, np.asarray(framework, dtype=int)] @ inverse
        steps = np.diff(frame, axis=0)
        steps -= np.round(steps)
        drift = np.concatenate([np.zeros((1, 3)), np.cumsum(steps.mean(axis=1), axis=0)])
        fractional -= drift[:, None, :]
    return fractional


def grid_shape(cell_A: Array, spacing_A: float) -> tuple[int, int, int]:
    """Give the smallest numbers of points whose spacing along each lattice vector is at most `spacing_A`.

    Raises
    ------
    InputError
        If the spacing is not positive or asks for more than 500 million points.
    """
    if spacing_A <= 0:
        raise InputError(f"spacing_A must be positive, got {spacing_A}")
    lengths = np.linalg.norm(np.asarray(cell_A, dtype=float), axis=1)
    counts = np.maximum(1, np.ceil(lengths / spacing_A - 1e-9)).astype(int)
    if np.prod(counts.astype(float)) > 5e8:
        raise InputError(f"spacing_A {spacing_A} gives a grid of {counts} points; choose a larger spacing")
    n_a, n_b, n_c = (int(count) for count in counts)
    return n_a, n_b, n_c


def probability_density(
    fractional: Array,
    cell_A: Array,
    *,
    spacing_A: float = 0.2,
    normalisation: str = "probability",
) -> DensityGrid:
    """Count the positions of the mobile ions on a grid.

    Parameters
    ----------
    fractional : ndarray, shape (n_frames, n_ions, 3)
        Fractional positions relative to the framework, wrapped or not.
    cell_A : ndarray, shape (3, 3)
        Mean cell, rows are lattice vectors, Å.
    spacing_A : float
        Upper bound of the distance between grid points, Å.
    normalisation : {"probability", "number"}
        Whether the density integrates to 1 (the convention behind the isosurface at 1e-4 Å^-3 of Deng 2025)
        or to the number of ions.

    Returns
    -------
    DensityGrid
        Each position counts for its nearest grid point in fractional coordinates.

    Raises
    ------
    InputError
        If there is no position or the normalisation is unknown.
    """
    fractional = np.asarray(fractional, dtype=float)
    if fractional.ndim != 3 or not fractional.size:
        raise InputError(f"fractional positions have shape {fractional.shape}; expected (frames, ions, 3)")
    norms = {"probability": 1.0, "number": float(fractional.shape[1])}
    if normalisation not in norms:
        raise InputError(f"normalisation {normalisation!r} is not one of {', '.join(norms)}")
    shape = grid_shape(cell_A, spacing_A)
    points = fractional.reshape(-1, 3)
    flat = np.zeros(len(points), dtype=np.int64)
    for axis, count in enumerate(shape):
        index = np.rint(points[:, axis] * count).astype(np.int64)
        flat = flat * count + index % count
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    norm = norms[normalisation]
    cell = np.array(cell_A, dtype=float)
    voxel = abs(np.linalg.det(cell)) / counts.size
    return DensityGrid(counts * (norm / (len(points) * voxel)), cell, norm, len(points))


def smooth(density: DensityGrid, width_A: float) -> DensityGrid:
    """Convolve a density with an isotropic Gaussian, exactly periodic in any cell.

    Parameters
    ----------
    density : DensityGrid
        Density to smooth.
    width_A : float
        Standard deviation of the Gaussian, Å; 0 gives the density back.

    Returns
    -------
    DensityGrid
        Same norm, nowhere negative: the kernel is the Gaussian sampled on the grid and cut at 5 widths.
    """
    if width_A == 0:
        return density
    steps, offsets = _grid_steps(density, 5.0 * width_A)
    weights = np.exp(-0.5 * np.sum(np.square(offsets @ density.cell_A), axis=1) / width_A**2)
    kernel = np.zeros(density.shape)
    np.add.at(kernel, tuple((steps % density.shape).T), weights / weights.sum())
    values = irfftn(rfftn(density.values_per_A3) * rfftn(kernel), s=density.shape)
    values[values < 1e-13 * values.max()] = 0.0  # rounding of the transform
    values *= density.norm / (values.sum() * density.voxel_volume_A3)
    return replace(density, values_per_A3=values, spread=density.spread * float(kernel[0, 0, 0]))


def level_enclosing(density: DensityGrid, fraction: float) -> float:
    """Find the isosurface level that encloses a fraction of the ions.

    Parameters
    ----------
    density : DensityGrid
        Density.
    fraction : float
        Between 0 and 1.

    Returns
    -------
    float
        Level in Å^-3: the voxels at or above it hold at least this fraction.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"fraction must lie in (0, 1], got {fraction}")
    ordered = np.sort(density.values_per_A3, axis=None)[::-1]
    held = np.cumsum(ordered)
    return float(ordered[min(np.searchsorted(held, fraction * held[-1] * (1 - 1e-12)), len(ordered) - 1)])


def volume_above(density: DensityGrid, level_per_A3: float) -> float:
    """Give the volume inside the isosurface of a level, Å^3."""
    return float(np.count_nonzero(density.values_per_A3 >= level_per_A3) * density.voxel_volume_A3)


def share_above(density: DensityGrid, level_per_A3: float) -> float:
    """Give the share of the ions inside the isosurface of a level."""
    values = density.values_per_A3
    return float(values[values >= level_per_A3].sum() / values.sum())


def density_peaks(
    density: DensityGrid, *, minimum_separation_A: float = 1.0, minimum_height_per_A3: float = 0.0
) -> DensityPeaks:
    """Find the local maxima of a density, each the centroid of what surrounds it.

    Parameters
    ----------
    density : DensityGrid
        Density; smooth it first (about 0.2-0.3 Å) if voxels hold few counts.
    minimum_separation_A : float
        A maximum closer than this to a higher one is part of it, Å.
    minimum_height_per_A3 : float
        Maxima below this are ignored, Å^-3.

    Returns
    -------
    DensityPeaks
        Highest first.
    """
    values = density.values_per_A3
    top = (values == maximum_filter(values, size=3, mode="wrap")) & (values > 0)
    top &= values >= minimum_height_per_A3
    indices = np.argwhere(top)
    heights = values[top]
    order = np.argsort(-heights, kind="stable")
    kept: list[int] = []
    positions = indices / np.array(density.shape)
    for candidate in order:
        if kept:
            offsets = positions[kept] - positions[candidate]
            if minimum_image_distances(offsets, density.cell_A).min() < minimum_separation_A:
                continue
        kept.append(int(candidate))
    radius = 0.5 * minimum_separation_A
    found = [_centroid(density, indices[k], radius) for k in kept]
    centroids = np.array([centre for centre, _ in found]).reshape(-1, 3)
    return DensityPeaks(centroids, heights[kept], np.array([held for _, held in found]))


def minimum_image_distances(fractional_offsets: Array, cell_A: Array) -> Array:
    """Give the lengths of fractional offsets to their nearest periodic image, exact also in skewed cells.

    Parameters
    ----------
    fractional_offsets : ndarray, shape (..., 3)
        Differences of fractional positions.
    cell_A : ndarray, shape (3, 3)
        Lattice vectors as rows, Å.

    Returns
    -------
    ndarray, shape (...)
        Distances in Å.
    """
    return np.linalg.norm(minimum_image_vectors(fractional_offsets, cell_A), axis=-1)


def minimum_image_vectors(fractional_offsets: Array, cell_A: Array) -> Array:
    """Give the shortest Cartesian vectors of fractional offsets, exact also in skewed cells.

    Parameters
    ----------
    fractional_offsets : ndarray, shape (..., 3)
        Differences of fractional positions.
    cell_A : ndarray, shape (3, 3)
        Lattice vectors as rows, Å.

    Returns
    -------
    ndarray, shape (..., 3)
        Vectors in Å.
    """
    offsets = fractional_offsets - np.round(fractional_offsets)
    best = offsets @ cell_A
    gram = cell_A @ cell_A.T
    if np.allclose(gram, np.diag(np.diag(gram))):
        return best
    lengths = np.einsum("...i,...i->...", best, best)
    for shift in np.ndindex(3, 3, 3):
        trial = (offsets + (np.array(shift) - 1.0)) @ cell_A
        trial_lengths = np.einsum("...i,...i->...", trial, trial)
        closer = trial_lengths < lengths
        best = np.where(closer[..., None], trial, best)
        lengths = np.where(closer, trial_lengths, lengths)
    return best


def _centroid(density: DensityGrid, index: NDArray[np.int64], radius_A: float) -> tuple[Array, float]:
    """Mean position and integral of the density within a radius of a grid point."""
    shape = np.array(density.shape)
    steps, offsets = _grid_steps(density, radius_A)
    weights = density.values_per_A3[tuple(((index + steps) % shape).T)]
    centre = index / shape + np.average(offsets, axis=0, weights=weights)
    return np.asarray(centre % 1.0), float(weights.sum() * density.voxel_volume_A3)


def _grid_steps(density: DensityGrid, radius_A: float) -> tuple[NDArray[np.int64], Array]:
    """Steps on the grid within a radius: in grid points and as fractional offsets, both (n, 3)."""
    shape = np.array(density.shape)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(density.cell_A), axis=0)
    axes = [np.arange(-n, n + 1) for n in np.ceil(radius_A / heights * shape).astype(int)]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    near = np.linalg.norm(steps / shape @ density.cell_A, axis=1) <= radius_A
    return steps[near], steps[near] / shape


def chgcar_text(density: DensityGrid, species: Sequence[str], fractional: Array, comment: str = "") -> str:
    """Write a density with the atoms of a structure in VASP's CHGCAR format (density times cell volume).

    Parameters
    ----------
    density : DensityGrid
        Density.
    species : sequence of str
        Symbols of the atoms, those of one kind next to each other.
    fractional : ndarray, shape (n_atoms, 3)
        Fractional positions of the atoms.
    comment : str
        First line.

    Returns
    -------
    str
        Contents of the file.

    Raises
    ------
    InputError
        If atoms of one species are not contiguous, which the format cannot say.
    """
    blocks = [(name, 1) for name in species[:1]]
    for name in species[1:]:
        if name == blocks[-1][0]:
            blocks[-1] = (name, blocks[-1][1] + 1)
        else:
            blocks.append((name, 1))
    if len({name for name, _ in blocks}) != len(blocks):
        raise InputError("a CHGCAR needs the atoms sorted by species; sort species and positions together")
    lines = [comment or "probability density", "1.0"]
    lines += ["".join(f"{x:20.12f}" for x in row) for row in density.cell_A]
    lines += [" ".join(name for name, _ in blocks), " ".join(str(count) for _, count in blocks), "Direct"]
    lines += ["".join(f"{x:12.8f}" for x in row) for row in np.asarray(fractional)]
    lines += ["", "".join(f"{count:5d}" for count in density.shape)]
    values = density.values_per_A3 * (density.voxel_volume_A3 * density.values_per_A3.size)
    return "\n".join(lines + _number_lines(values.ravel(order="F"))) + "\n"


def cube_text(density: DensityGrid, species: Sequence[str], fractional: Array, comment: str = "") -> str:
    """Write a density with the atoms of a structure in the Gaussian cube format (lengths in bohr).

    Parameters
    ----------
    density : DensityGrid
        Density.
    species : sequence of str
        Symbols of the atoms.
    fractional : ndarray, shape (n_atoms, 3)
        Fractional positions of the atoms.
    comment : str
        First line.

    Returns
    -------
    str
        Contents of the file; values are in bohr^-3, so that any reader of the format integrates to the norm.
    """
    lines = [comment or "probability density", "density in bohr^-3"]
    lines.append(f"{len(species):5d}" + "".join(f"{0.0:14.8f}" for _ in range(3)))
    for count, vector in zip(density.shape, density.cell_A / Bohr, strict=True):
        lines.append(f"{count:5d}" + "".join(f"{x / count:14.8f}" for x in vector))
    cartesian = np.asarray(fractional).reshape(-1, 3) @ density.cell_A / Bohr
    for name, position in zip(species, cartesian, strict=True):
        number = atomic_numbers[name]
        lines.append(f"{number:5d}{float(number):14.8f}" + "".join(f"{x:14.8f}" for x in position))
    return "\n".join(lines + _number_lines((density.values_per_A3 * Bohr**3).ravel())) + "\n"


def _number_lines(values: Array) -> list[str]:
    full = len(values) - len(values) % _VALUES_PER_LINE
    template = " ".join(["%.9E"] * _VALUES_PER_LINE)
    lines = [" " + template % tuple(row) for row in values[:full].reshape(-1, _VALUES_PER_LINE)]
    if full < len(values):
        lines.append(" " + " ".join(f"{value:.9E}" for value in values[full:]))
    return lines
