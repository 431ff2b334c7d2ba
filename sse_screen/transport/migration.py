"""Migration paths between sites along the density: saddles, barriers, percolating levels."""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from scipy.ndimage import label as label_regions
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from sse_screen.exceptions import InputError
from sse_screen.transport.density import DensityGrid
from sse_screen.transport.network import Component, JumpNetwork, components, percolation_thresholds
from sse_screen.transport.sites import SiteSet, nearest_sites

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

_STEPS = np.array([step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)])


@dataclass(frozen=True, eq=False)
class MigrationPath:
    """Way of least resistance from one site to a neighbouring one.

    Attributes
    ----------
    origin, destination : int
        Sites.
    image : tuple of int
        Lattice translation of the destination.
    barrier_eV, reverse_barrier_eV : float
        Free energy of the saddle above that of the origin and of the destination, −k_B T ln of the ratio
        of the densities; of little worth where `saddle_counts` is below about ten.
    saddle_per_A3 : float
        Density at the saddle, Å^-3.
    saddle_counts : float
        The same in visits of that very place.
    points : ndarray, shape (n_points, 3)
        Fractional positions along the path, continuous across cell boundaries.
    profile_eV : ndarray, shape (n_points,)
        Free energy along it, measured from the origin's lowest.
    length_A : float
        Length, Å.
    """

    origin: int
    destination: int
    image: tuple[int, int, int]
    barrier_eV: float
    reverse_barrier_eV: float
    saddle_per_A3: float
    saddle_counts: float
    points: Array
    profile_eV: Array
    length_A: float


def migration_paths(
    density: DensityGrid,
    sites: SiteSet,
    temperature_K: float,
    *,
    capture_radius_A: float = 1.0,
    maximum_barrier_eV: float = np.inf,
    minimum_saddle_counts: float = 1.0,
) -> list[MigrationPath]:
    """Find the paths between neighbouring sites whose lowest density is highest (minimax of −k_B T ln ρ).

    The grid is flooded from the density's maxima downwards: maxima within the capture radius of a site belong
    to it, others to whatever they meet first; where the floods of two sites meet is the saddle between them,
    which therefore passes through no third site. The path runs at or above the saddle's density, the shortest
    when every step costs its length over the density.

    Parameters
    ----------
    density : DensityGrid
        Density, smoothed by 0.2 to 0.3 Å if its voxels hold few counts.
    sites : SiteSet
        Sites in the same cell.
    temperature_K : float
        Temperature of the trajectory.
    capture_radius_A : float
        Maxima this close to a site belong to it, Å.
    maximum_barrier_eV : float
        Paths with a higher barrier in both directions are left out.
    minimum_saddle_counts : float
        Paths whose saddle has less density than so many visits in one place are left out: only the tail of
        the smoothing joins them.

    Returns
    -------
    list of MigrationPath
        Lowest barrier first, one for each pair of sites whose floods meet.

    Raises
    ------
    InputError
        If the temperature is not positive.
    """
    if temperature_K <= 0:
        raise InputError(f"temperature_K must be positive, got {temperature_K}")
    basin, basin_site = _basins(density, sites, capture_radius_A)
    flood, saddles = _flood(density, basin, basin_site, len(sites))
    heights = np.zeros(len(sites))
    flat_flood, values = flood.ravel(), density.values_per_A3.ravel()
    owned = flat_flood >= 0
    np.maximum.at(heights, flat_flood[owned], values[owned])
    tops = _tops(flat_flood, values, len(sites))
    voxels = np.flatnonzero(owned)[np.argsort(flat_flood[owned], kind="stable")]
    ends = np.cumsum(np.bincount(flat_flood[owned], minlength=len(sites)))
    territories = np.split(voxels, ends[:-1])
    paths = []
    for (i, j), level in saddles.items():
        barriers = kB * temperature_K * np.log([heights[i] / level, heights[j] / level])
        if barriers.min() > maximum_barrier_eV or level < minimum_saddle_counts * density.one_count_per_A3:
            continue
        both = np.sort(np.concatenate([territories[i], territories[j]]))
        trace = _shortest_path(density, both[values[both] >= level], int(tops[i]), int(tops[j]))
        if trace is None:
            # Maxima of one site that are joined below the saddle alone: the way there counts as no barrier.
            trace = _shortest_path(density, both, int(tops[i]), int(tops[j]))
        if trace is None:
            trace = np.array([tops[i], tops[j]])
        paths.append(_as_path(density, sites, (i, j), level, barriers, trace, kB * temperature_K))
    return sorted(paths, key=lambda path: min(path.barrier_eV, path.reverse_barrier_eV))


def _ascend(density: DensityGrid) -> tuple[Indices, Indices]:
    """Root voxel of every voxel by steepest ascent, and the cell in which the ascent arrives there."""
    values = density.values_per_A3
    rank = np.empty(values.size, dtype=np.int64)
    rank[np.argsort(values, axis=None, kind="stable")] = np.arange(values.size)
    height = rank.reshape(values.shape)
    best, choice = height.copy(), np.zeros(values.shape, dtype=np.int64)
    steps = np.concatenate([np.zeros((1, 3), dtype=np.int64), _STEPS, -_STEPS])
    for number, step in enumerate(steps):
        neighbour = np.roll(height, -step, axis=(0, 1, 2))
        higher = neighbour > best
        best[higher] = neighbour[higher]
        choice[higher] = number
    shape = np.array(values.shape)
    position = np.stack(np.unravel_index(np.arange(values.size), values.shape), axis=-1)
    position += steps[choice.ravel()]
    offset = position // shape
    root = np.ravel_multi_index(tuple((position % shape).T), values.shape)
    while True:
        jumped = root[root]
        if np.array_equal(jumped, root):
            return root, offset
        offset += offset[root]
        root = jumped


def _basins(density: DensityGrid, sites: SiteSet, radius_A: float) -> tuple[Indices, dict[int, int]]:
    """Root voxel of every voxel by steepest ascent (-1: never visited) and the site of each root near one."""
    values = density.values_per_A3
    root = np.where(values.ravel() > 0, _ascend(density)[0], -1)
    roots = np.unique(root[root >= 0])
    fractional = np.stack(np.unravel_index(roots, values.shape), axis=-1) / np.array(values.shape)
    near = nearest_sites(fractional, sites, maximum_distance_A=radius_A).site
    return root, {int(r): int(s) for r, s in zip(roots, near, strict=True) if s >= 0}


def _contacts(density: DensityGrid, region: Indices) -> list[tuple[float, int, int]]:
    """Highest density at which each two neighbouring regions touch, highest first."""
    values = density.values_per_A3
    labels = region.reshape(values.shape)
    firsts, seconds, levels = [], [], []
    for step in _STEPS:
        other = np.roll(labels, -step, axis=(0, 1, 2))
        touching = (labels >= 0) & (other >= 0) & (labels != other)
        firsts.append(np.minimum(labels, other)[touching])
        seconds.append(np.maximum(labels, other)[touching])
        levels.append(np.minimum(values, np.roll(values, -step, axis=(0, 1, 2)))[touching])
    first, second, level = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(levels)
    order = np.lexsort((-level, second, first))
    first, second, level = first[order], second[order], level[order]
    fresh = np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1]))[: len(first)]
    contacts = zip(level[fresh].tolist(), first[fresh].tolist(), second[fresh].tolist(), strict=True)
    return sorted(contacts, reverse=True)


def _flood(
    density: DensityGrid, basin: Indices, basin_site: dict[int, int], n_sites: int
) -> tuple[Indices, dict[tuple[int, int], float]]:
    """Site that floods each voxel (-1: none) and the level at which the floods of two sites first meet."""
    roots = np.unique(basin[basin >= 0])
    # Regions of sites come first, so that a region number below n_sites is the site.
    number = {int(root): n_sites + k for k, root in enumerate(roots)} | basin_site
    lookup = np.array([number[int(root)] for root in roots], dtype=np.int64)
    region = np.where(basin >= 0, lookup[np.searchsorted(roots, np.maximum(basin, 0)) % len(roots)], -1)
    parent = list(range(n_sites + len(roots)))

    def find(node: int) -> int:
        """Return the root of a node's tree, paths halved on the way."""
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    saddles: dict[tuple[int, int], float] = {}
    for level, first, second in _contacts(density, region):
        low, high = sorted((find(first), find(second)))
        if high < n_sites:
            if low != high:
                saddles.setdefault((low, high), level)
        else:
            parent[high] = low
    final = np.array([find(node) for node in range(len(parent))])
    flood = np.where(region >= 0, final[np.maximum(region, 0)], -1)
    return np.where(flood < n_sites, flood, -1), saddles


def _tops(flood: Indices, values: Array, n_sites: int) -> Indices:
    """Highest voxel of every site's flood."""
    order = np.argsort(values, kind="stable")
    order = order[flood[order] >= 0]
    tops = np.full(n_sites, -1, dtype=np.int64)
    tops[flood[order]] = order
    return tops


def _shortest_path(density: DensityGrid, voxels: Indices, start: int, end: int) -> Indices | None:
    """Voxels from start to end through those given (sorted), at the least sum of length over density."""
    shape = np.array(density.shape)
    position = np.stack(np.unravel_index(voxels, density.shape), axis=-1)
    values = density.values_per_A3.ravel()[voxels]
    rows, columns, costs = [], [], []
    for step in _STEPS:
        neighbour = np.ravel_multi_index(tuple(((position + step) % shape).T), density.shape)
        there = np.minimum(np.searchsorted(voxels, neighbour), len(voxels) - 1)
        here = np.flatnonzero(voxels[there] == neighbour)
        there = there[here]
        length = float(np.linalg.norm(step / shape @ density.cell_A))
        rows.append(here)
        columns.append(there)
        costs.append(length * 0.5 * (1 / values[here] + 1 / values[there]))
    ends = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.concatenate(costs), ends), shape=(len(voxels),) * 2).tocsr()
    first, last = np.searchsorted(voxels, [start, end])
    _, before = dijkstra(graph, directed=False, indices=int(first), return_predecessors=True)
    trace = [int(last)]
    if before[last] < 0:
        return None
    while trace[-1] != first:
        trace.append(int(before[trace[-1]]))
    return voxels[trace[::-1]]


def _as_path(
    density: DensityGrid,
    sites: SiteSet,
    pair: tuple[int, int],
    level: float,
    barriers: Array,
    trace: Indices,
    thermal_energy_eV: float,
) -> MigrationPath:
    """Put a trace of voxels into fractional positions, energies and a length."""
    shape = np.array(density.shape)
    grid = np.stack(np.unravel_index(trace, density.shape), axis=-1)
    steps = (np.diff(grid, axis=0) + shape // 2) % shape - shape // 2
    points = (grid[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])) / shape
    ends = nearest_sites(points[[0, -1]], SiteSet(sites.fractional[list(pair)], sites.cell_A, ("", "")))
    image = ends.image[1] - ends.image[0]
    values = density.values_per_A3.ravel()[trace]
    return MigrationPath(
        origin=pair[0],
        destination=pair[1],
        image=(int(image[0]), int(image[1]), int(image[2])),
        barrier_eV=float(barriers[0]),
        reverse_barrier_eV=float(barriers[1]),
        saddle_per_A3=float(level),
        saddle_counts=float(level / density.one_count_per_A3),
        points=points,
        profile_eV=-thermal_energy_eV * np.log(values / values[0]),
        length_A=float(sum(np.linalg.norm((b - a) @ density.cell_A) for a, b in pairwise(points))),
    )


def isosurface_components(density: DensityGrid, level_per_A3: float) -> list[Component]:
    """Find the connected parts of the space inside an isosurface and the directions in which they percolate.

    Parameters
    ----------
    density : DensityGrid
        Density.
    level_per_A3 : float
        Level, Å^-3.

    Returns
    -------
    list of Component
        Highest dimension first; the members are numbers of regions inside one cell.
    """
    inside = density.values_per_A3 >= level_per_A3
    labels, count = label_regions(inside, structure=np.ones((3, 3, 3)))
    shape = np.array(density.shape)
    points = np.argwhere(inside)
    points = points[np.any((points == 0) | (points == shape - 1), axis=1)]
    here = labels[tuple(points.T)] - 1
    edges = []
    for step in _STEPS:
        there = points + step
        image = np.floor_divide(there, shape)
        crossing = image.any(axis=1)
        target = labels[tuple((there[crossing] % shape).T)] - 1
        joined = target >= 0
        edges.append(np.column_stack([here[crossing][joined], target[joined], image[crossing][joined]]))
    unique = np.unique(np.concatenate(edges), axis=0)
    return components(count, unique[:, 0], unique[:, 1], unique[:, 2:])


def percolating_levels(density: DensityGrid) -> dict[int, float]:
    """Find the highest levels at which the isosurface percolates in one, two and three directions.

    The basins of the density's maxima and the saddles between them make a periodic network; its percolation
    thresholds are those of the voxels.

    Parameters
    ----------
    density : DensityGrid
        Density.

    Returns
    -------
    dict of int to float
        Level in Å^-3 for each dimension that is reached by the visited voxels.
    """
    root, offset = _ascend(density)
    shape = np.array(density.shape)
    values = density.values_per_A3.ravel()
    visited = np.flatnonzero(values > 0)
    position = np.stack(np.unravel_index(visited, density.shape), axis=-1)
    rows = []
    for step in _STEPS:
        moved = position + step
        there = np.ravel_multi_index(tuple((moved % shape).T), density.shape)
        image = moved // shape + offset[there] - offset[visited]
        touching = (values[there] > 0) & ((root[visited] != root[there]) | image.any(axis=1))
        here, there, image = visited[touching], there[touching], image[touching]
        rows.append(
            (np.column_stack([root[here], root[there], image]), np.minimum(values[here], values[there]))
        )
    edges, levels = np.concatenate([row for row, _ in rows]), np.concatenate([level for _, level in rows])
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    highest = np.zeros(len(unique))
    np.maximum.at(highest, index.ravel(), levels)
    nodes, ends = np.unique(unique[:, :2], return_inverse=True)
    ends = ends.reshape(-1, 2)
    none = np.zeros(len(unique), dtype=np.int64)
    network = JumpNetwork(len(nodes), ends[:, 0], ends[:, 1], unique[:, 2:], none, none)
    return percolation_thresholds(network, highest)
