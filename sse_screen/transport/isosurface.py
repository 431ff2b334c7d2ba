"""Triangles of an isosurface on a periodic grid in any cell, by marching tetrahedra."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sse_screen.transport.density import DensityGrid

Array = NDArray[np.floating]

# Six tetrahedra around the main diagonal of a cube, by the numbers of its corners (4 a + 2 b + c).
_TETRAHEDRA = np.array([[0, 4, 6, 7], [0, 6, 2, 7], [0, 2, 3, 7], [0, 3, 1, 7], [0, 1, 5, 7], [0, 5, 4, 7]])


class TriangleMesh(NamedTuple):
    """Surface made of triangles.

    Attributes
    ----------
    vertices_A : ndarray, shape (n_vertices, 3)
        Cartesian corners, Å.
    triangles : ndarray of int, shape (n_triangles, 3)
        Indices of the corners, seen counter-clockwise from outside.
    """

    vertices_A: Array
    triangles: NDArray[np.int64]

    @property
    def area_A2(self) -> float:
        """Sum of the areas of the triangles, Å^2."""
        a, b, c = (self.vertices_A[self.triangles[:, k]] for k in range(3))
        return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())

    @property
    def volume_A3(self) -> float:
        """Volume inside a closed mesh, Å^3."""
        a, b, c = (self.vertices_A[self.triangles[:, k]] for k in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def isosurface(density: DensityGrid, level_per_A3: float, *, stride: int = 1) -> TriangleMesh:
    """Triangulate the isosurface of a density within one cell, open where it crosses the cell's faces.

    Every cube of the grid is cut into six tetrahedra (Doi and Koide 1991), in each of which the surface is
    one or two triangles, without the ambiguities of marching cubes.

    Parameters
    ----------
    density : DensityGrid
        Density.
    level_per_A3 : float
        Level, Å^-3.
    stride : int
        Use every n-th grid point alone, for smaller meshes.

    Returns
    -------
    TriangleMesh
        Empty where the level is not crossed.
    """
    values = np.pad(density.values_per_A3[::stride, ::stride, ::stride], [(0, 1)] * 3, mode="wrap")
    cells = np.array(values.shape) - 1
    inside = values >= level_per_A3
    corners = np.array(list(np.ndindex(2, 2, 2)))
    slices = [tuple(slice(c, c + n) for c, n in zip(corner, cells, strict=True)) for corner in corners]
    count = np.sum([inside[cut] for cut in slices], axis=0)
    cubes = np.argwhere((count > 0) & (count < 8))
    points = cubes[:, None] + corners
    heights = values[tuple(points.transpose(2, 0, 1))]
    tetrahedra = points[:, _TETRAHEDRA].reshape(-1, 4, 3).astype(float)
    levels = heights[:, _TETRAHEDRA].reshape(-1, 4) - level_per_A3
    pieces = [_cut(tetrahedra, levels, number) for number in (1, 2, 3)]
    triangles = np.concatenate(pieces) / _fractional_scale(density, stride)
    vertices = triangles.reshape(-1, 3) @ density.cell_A
    outward = np.linalg.det(density.cell_A) > 0
    index = np.arange(len(vertices)).reshape(-1, 3)
    return TriangleMesh(vertices, index if outward else index[:, ::-1])


def _fractional_scale(density: DensityGrid, stride: int) -> Array:
    """Grid points along each lattice vector in units of the stride."""
    return np.array(density.shape) / stride


def _cut(tetrahedra: Array, levels: Array, number: int) -> Array:
    """Triangles of the tetrahedra with so many corners inside, shape (n, 3, 3)."""
    chosen = np.count_nonzero(levels >= 0, axis=1) == number
    order = np.argsort(-levels[chosen], axis=1)
    corners = np.take_along_axis(tetrahedra[chosen], order[:, :, None], axis=1)
    heights = np.take_along_axis(levels[chosen], order, axis=1)

    def crossing(i: int, j: int) -> Array:
        """Return where the edges between two corners cross the level."""
        share = heights[:, i] / (heights[:, i] - heights[:, j])
        return np.asarray(corners[:, i] + share[:, None] * (corners[:, j] - corners[:, i]))

    if number == 1:
        made = [[crossing(0, 1), crossing(0, 2), crossing(0, 3)]]
    elif number == 3:
        made = [[crossing(0, 3), crossing(1, 3), crossing(2, 3)]]
    else:
        quad = [crossing(0, 2), crossing(0, 3), crossing(1, 3), crossing(1, 2)]
        made = [quad[:3], [quad[0], quad[2], quad[3]]]
    triangles = np.concatenate([np.stack(corner, axis=1) for corner in made])
    # From the highest corner, inside, outwards.
    inner = np.tile(corners[:, 0], (len(made), 1))
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    flipped = np.einsum("ij,ij->i", normal, triangles[:, 0] - inner) < 0
    triangles[flipped] = triangles[flipped][:, ::-1]
    return np.asarray(triangles)
