"""Figures of densities and jump networks, without global state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sse_screen.transport.density import DensityGrid
from sse_screen.transport.isosurface import TriangleMesh, isosurface
from sse_screen.transport.network import JumpNetwork
from sse_screen.transport.sites import SiteSet

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes

Array = NDArray[np.floating]

# Okabe and Ito's palette, told apart by colour-blind readers too, but brown for yellow.
_LARGEST_LEGEND = 10
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_SURFACE = "#3B7DD8"
# As many as are drawn within a few seconds.
_TRIANGLES_ON_SCREEN, _TRIANGLES_IN_PRINT = 150_000, 400_000
_SLABS = 16
_ELEVATION, _AZIMUTH = 18.0, -62.0
_SINES = np.sin(np.radians([_AZIMUTH, _ELEVATION]))
_COSINES = np.cos(np.radians([_AZIMUTH, _ELEVATION]))
# Right, up and towards the viewer.
_VIEW = np.array(
    [
        [-_SINES[0], _COSINES[0], 0.0],
        [-_SINES[1] * _COSINES[0], -_SINES[1] * _SINES[0], _COSINES[1]],
        [_COSINES[1] * _COSINES[0], _COSINES[1] * _SINES[0], _SINES[1]],
    ]
)


class Atoms(NamedTuple):
    """Framework atoms to be drawn.

    Attributes
    ----------
    fractional : ndarray, shape (n_atoms, 3)
        Fractional positions.
    species : sequence of str
        Symbols.
    """

    fractional: Array
    species: Sequence[str]


def density_slices_figure(
    density: DensityGrid, at: Sequence[float] | None = None, sites: SiteSet | None = None
) -> Figure:
    """Draw three slices of a density, each across one lattice vector, on a logarithmic scale.

    Parameters
    ----------
    density : DensityGrid
        Density.
    at : sequence of float, optional
        Fractions along a, b, c at which to cut; through the highest density if left out.
    sites : SiteSet, optional
        Sites within 0.5 Å of a slice are marked.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    values = density.values_per_A3
    fractions, least = _cuts(density, at)
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    marks: dict[str, Any] = {}
    scale = LogNorm(least, values.max())
    for axis, axes in enumerate(panels):
        first, second = [k for k in range(3) if k != axis]
        index = round(fractions[axis] * values.shape[axis]) % values.shape[axis]
        plane = np.take(values, index, axis=axis)
        plane = np.pad(plane, [(0, 1), (0, 1)], mode="wrap")
        x, y, in_plane = _plane_coordinates(density.cell_A, first, second, plane.shape)
        shown = np.ma.masked_less(plane, least)
        image = axes.pcolormesh(x, y, shown, norm=scale, cmap="viridis", shading="nearest")
        image.set_rasterized(True)
        if sites is not None:
            marks |= _mark_sites(axes, sites, axis, fractions[axis], in_plane)
        axes.set_aspect("equal")
        axes.set_facecolor("#f2f2f2")
        axes.set_xlabel(f"along {'abc'[first]} (Å)")
        skew = abs(in_plane[1, 0]) > 1e-3 * abs(in_plane[1, 1])
        axes.set_ylabel(f"{'across, towards' if skew else 'along'} {'abc'[second]} (Å)")
        axes.set_title(f"{'abc'[axis]} = {index / values.shape[axis]:.2f}")
    figure.colorbar(image, ax=list(panels), label="density (Å$^{-3}$)", shrink=0.85)
    if marks:
        figure.legend(list(marks.values()), list(marks), loc="outside lower center", ncols=8, frameon=False)
    return figure


def density_slices_plotly(density: DensityGrid, at: Sequence[float] | None = None) -> go.Figure:
    """Draw the same three slices for the browser, over fractions of the lattice vectors.

    Parameters
    ----------
    density : DensityGrid
        Density.
    at : sequence of float, optional
        Fractions along a, b, c at which to cut; through the highest density if left out.

    Returns
    -------
    plotly.graph_objects.Figure
        The figure; ``to_json()`` gives its JSON form.
    """
    from plotly.subplots import make_subplots

    values = density.values_per_A3
    fractions, least = _cuts(density, at)
    titles = [f"{'abc'[axis]} = {fraction:.2f}" for axis, fraction in enumerate(fractions)]
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.08)
    for axis, fraction in enumerate(fractions):
        first, second = [k for k in range(3) if k != axis]
        plane = np.take(values, round(fraction * values.shape[axis]) % values.shape[axis], axis=axis)
        shown = np.where(plane >= least, np.log10(np.maximum(plane, least)), np.nan)
        heights = [[None if np.isnan(z) else round(float(z), 3) for z in row] for row in shown.T]
        x, y = ((np.arange(n) / n).round(4).tolist() for n in plane.shape)
        figure.add_heatmap(x=x, y=y, z=heights, coloraxis="coloraxis", name=titles[axis], row=1, col=axis + 1)
        figure.update_xaxes(title_text=f"fraction of {'abc'[first]}", row=1, col=axis + 1)
        figure.update_yaxes(title_text=f"fraction of {'abc'[second]}", row=1, col=axis + 1)
    bar = {"title": {"text": "log₁₀ density (Å⁻³)"}}
    figure.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": bar}, template="plotly_white")
    return figure


def _cuts(density: DensityGrid, at: Sequence[float] | None) -> tuple[list[float], float]:
    """Return where the slices are, and the least density that is shown."""
    values = density.values_per_A3
    top = np.unravel_index(np.argmax(values), values.shape)
    fractions = [float(k / n) for k, n in zip(top, values.shape, strict=True)] if at is None else list(at)
    return fractions, float(max(values.max() * 1e-4, density.one_count_per_A3 * 1e-2))


def _plane_coordinates(
    cell: Array, first: int, second: int, shape: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    """Cartesian coordinates within the plane of two lattice vectors, and the matrix that gives them."""
    length = np.linalg.norm(cell[first])
    along = cell[second] @ cell[first] / length
    across = np.sqrt(max(cell[second] @ cell[second] - along**2, 0.0))
    in_plane = np.array([[length, 0.0], [along, across]])
    u, v = np.meshgrid(*[np.arange(n) / (n - 1) for n in shape], indexing="ij")
    points = np.stack([u, v], axis=-1) @ in_plane
    return points[..., 0], points[..., 1], in_plane


def _mark_sites(axes: Axes, sites: SiteSet, axis: int, fraction: float, in_plane: Array) -> dict[str, Any]:
    """Mark the sites near a slice, and return one mark of each type by its name."""
    height = 1.0 / np.linalg.norm(np.linalg.inv(sites.cell_A)[:, axis])
    away = (sites.fractional[:, axis] - fraction + 0.5) % 1.0 - 0.5
    others = [k for k in range(3) if k != axis]
    drawn: dict[str, Any] = {}
    for number, name in enumerate(sites.type_names):
        near = (np.abs(away) * height < 0.5) & (sites.type_indices == number)
        points = (sites.fractional[near] % 1.0)[:, others] @ in_plane
        if len(points):
            colour = COLOURS[(number + 1) % len(COLOURS)]
            (drawn[name],) = axes.plot(points[:, 0], points[:, 1], "o", mfc="none", mec=colour, mew=1.5)
    return drawn


def density_surface_plotly(
    density: DensityGrid,
    level_per_A3: float,
    *,
    atoms: Atoms | None = None,
    sites: SiteSet | None = None,
    stride: int | None = None,
) -> go.Figure:
    """Draw an isosurface in its cell for the browser.

    Parameters
    ----------
    density : DensityGrid
        Density.
    level_per_A3 : float
        Level, Å^-3.
    atoms : Atoms, optional
        Framework.
    sites : SiteSet, optional
        Sites.
    stride : int
        Use every n-th grid point alone; if left out, as many as are drawn in a few seconds.

    Returns
    -------
    plotly.graph_objects.Figure
        The figure; ``to_json()`` gives its JSON form.
    """
    import plotly.graph_objects as go

    mesh = _mesh(density, level_per_A3, stride, _TRIANGLES_ON_SCREEN)
    figure = go.Figure(_cell_trace(density.cell_A))
    x, y, z = np.round(mesh.vertices_A, 3).T
    i, j, k = mesh.triangles.T
    name = f"{level_per_A3:g} Å⁻³"
    figure.add_trace(
        go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color=_SURFACE, opacity=0.55, name=name, showlegend=True)
    )
    if atoms is not None:
        for number, species in enumerate(dict.fromkeys(atoms.species)):
            chosen = atoms.fractional[np.array(atoms.species) == species] % 1.0
            figure.add_trace(_points_trace(chosen @ density.cell_A, species, COLOURS[number + 1], 6))
    if sites is not None:
        for number, kind in enumerate(sites.type_names):
            chosen = sites.fractional[sites.type_indices == number] % 1.0
            colour = COLOURS[-(number + 2) % len(COLOURS)]
            figure.add_trace(_points_trace(chosen @ density.cell_A, kind, colour, 4, "diamond"))
    _bare(figure)
    return figure


def _mesh(density: DensityGrid, level_per_A3: float, stride: int | None, most: int) -> TriangleMesh:
    """Return the isosurface, of a grid thinned until it has no more than so many triangles."""
    if stride is not None:
        return isosurface(density, level_per_A3, stride=stride)
    mesh = isosurface(density, level_per_A3)
    thinned = 1
    while len(mesh.triangles) > most and thinned < min(density.shape) // 8:
        thinned += 1
        mesh = isosurface(density, level_per_A3, stride=thinned)
    return mesh


def _points_trace(points: Array, name: str, colour: str, size: int, symbol: str = "circle") -> Any:
    import plotly.graph_objects as go

    # plain lists: arrays would become base64 in the JSON, which older viewers do not read
    x, y, z = np.round(points, 3).T.tolist()
    marker = {"size": size, "color": colour, "symbol": symbol}
    return go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, name=name)


def _cell_lines(cell: Array) -> list[Array]:
    corners = np.array(list(np.ndindex(2, 2, 2)))
    return [
        np.array([a, b]) @ cell for a in corners for b in corners if (b - a).sum() == 1 and (b >= a).all()
    ]


def _cell_trace(cell: Array) -> Any:
    return _lines_trace(_cell_lines(cell), "#555555", 2.0, "cell")


def _lines_trace(lines: Sequence[Array], colour: str, width: float, name: str) -> Any:
    import plotly.graph_objects as go

    # A point without coordinates breaks the line between two pieces.
    x, y, z = ([v for line in lines for v in (*np.round(line[:, k], 3), None)] for k in range(3))
    return go.Scatter3d(
        x=x, y=y, z=z, mode="lines", line={"color": colour, "width": width}, name=name, hoverinfo="skip"
    )


def _bare(figure: Any) -> None:
    """No axes, equal scales."""
    hidden = {"visible": False}
    scene = {"aspectmode": "data", "xaxis": hidden, "yaxis": hidden, "zaxis": hidden}
    figure.update_layout(scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0}, template="plotly_white")


def density_surface_figure(
    density: DensityGrid, level_per_A3: float, *, atoms: Atoms | None = None, stride: int | None = None
) -> Figure:
    """Draw an isosurface in its cell for print.

    Parameters
    ----------
    density : DensityGrid
        Density.
    level_per_A3 : float
        Level, Å^-3.
    atoms : Atoms, optional
        Framework.
    stride : int
        Use every n-th grid point alone; if left out, as many as are drawn in a few seconds.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    mesh = _mesh(density, level_per_A3, stride, _TRIANGLES_IN_PRINT)
    figure = Figure(figsize=(6.5, 6), layout="constrained")
    axes = figure.add_subplot()
    corners = mesh.vertices_A[mesh.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = 0.35 + 0.65 * np.abs(normals @ (np.array([1.0, -1.0, 1.5]) / np.sqrt(4.25)))
    depth = corners.mean(axis=1) @ _VIEW[2]
    # What is far away fades, which shows depth where all is of one colour.
    near = (depth - depth.min(initial=0.0)) / max(float(np.ptp(depth)) if len(depth) else 0.0, 1e-9)
    colours = 1 - (1 - light[:, None] * np.array([0.31, 0.60, 0.95])) * (0.4 + 0.6 * near[:, None])
    _paint(axes, corners, np.clip(colours, 0, 1), depth, atoms, density.cell_A)
    for line in _cell_lines(density.cell_A):
        axes.plot(*(line @ _VIEW[:2].T).T, color="#555555", lw=0.8)
    if atoms is not None:
        figure.legend(loc="outside lower center", ncols=8, frameon=False)
    axes.set_aspect("equal")
    axes.set_axis_off()
    uniform = density.norm / float(abs(np.linalg.det(density.cell_A)))
    axes.set_title(
        f"density at {level_per_A3:.2g} Å$^{{-3}}$ (spread evenly it would be {uniform:.2g} Å$^{{-3}}$)",
        fontsize=10,
    )
    return figure


def _paint(
    axes: Axes, corners: Array, colours: Array, depth: Array, atoms: Atoms | None, cell: Array
) -> None:
    """Paint triangles and atoms from behind, slab by slab.

    Axes in three dimensions take a minute for as many triangles, and know no depth between collections.
    """
    edges = np.linspace(depth.min(initial=0.0), depth.max(initial=0.0), _SLABS + 1)[1:-1]
    slab = np.digitize(depth, edges)
    drawn: dict[str, None] = {}
    for number in range(_SLABS):
        inside = np.flatnonzero(slab == number)
        inside = inside[np.argsort(depth[inside])]
        # Smoothed edges would leave gaps between triangles, and all of them make an SVG of many megabytes.
        flat = corners[inside] @ _VIEW[:2].T
        surface = PolyCollection(flat, facecolors=colours[inside], edgecolors="none", antialiaseds=False)
        surface.set_rasterized(True)
        surface.set_zorder(number + 1)
        axes.add_collection(surface)
        if atoms is None:
            continue
        points = atoms.fractional % 1.0 @ cell
        here = np.digitize(points @ _VIEW[2], edges) == number
        for colour, species in zip(COLOURS[1:], dict.fromkeys(atoms.species), strict=False):
            x, y = _VIEW[:2] @ points[here & (np.array(atoms.species) == species)].T
            if len(x):
                label = None if species in drawn else species
                axes.scatter(x, y, s=22, color=colour, label=label, lw=0.4, ec="white", zorder=number + 1.5)
                drawn[species] = None


def _frame(axes: Any, cell: Array) -> None:
    """Cell edges, equal scales, no axes."""
    for line in _cell_lines(cell):
        axes.plot(*line.T, color="#555555", lw=0.8)
    corners = np.array(list(np.ndindex(2, 2, 2))) @ cell
    low, high = corners.min(axis=0), corners.max(axis=0)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_zlim(low[2], high[2])
    axes.set_box_aspect(high - low)
    axes.set_axis_off()
    axes.view_init(elev=_ELEVATION, azim=_AZIMUTH)


def jump_network_figure(sites: SiteSet, network: JumpNetwork, occupancies: Array) -> Figure:
    """Draw sites by type and occupancy with the jumps between them, the wider the more frequent.

    Parameters
    ----------
    sites : SiteSet
        Sites.
    network : JumpNetwork
        Jumps; those through a face of the cell are drawn as two halves.
    occupancies : ndarray, shape (n_sites,)
        Mean number of ions at each site; sets the area of its dot.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    figure = Figure(figsize=(6.5, 5.5), layout="constrained")
    axes: Any = figure.add_subplot(projection="3d")
    lines, widths = _jump_lines(sites, network)
    if lines:
        axes.add_collection3d(Line3DCollection(lines, linewidths=widths, colors="#7f7f7f", alpha=0.7))
    for number, name in enumerate(sites.type_names):
        chosen = sites.type_indices == number
        area = 12 + 90 * np.clip(occupancies[chosen], 0, 1)
        points = sites.fractional[chosen] % 1.0 @ sites.cell_A
        axes.scatter(*points.T, s=area, color=COLOURS[number % len(COLOURS)], label=name, depthshade=False)
    _frame(axes, sites.cell_A)
    if len(sites.type_names) <= _LARGEST_LEGEND:  # more names would push the drawing off the figure
        axes.legend(loc="upper left", title="sites")
    most = int(network.counts.max(initial=0))
    axes.set_title(f"{int(network.counts.sum())} jumps; widths on a log scale up to {most}")
    return figure


def _jump_lines(sites: SiteSet, network: JumpNetwork) -> tuple[list[Array], list[float]]:
    """Cartesian ends and widths of the edges; those through a face of the cell as two halves."""
    wrap = np.floor(sites.fractional)
    home = sites.fractional - wrap
    image = network.image + (wrap[network.destination] - wrap[network.origin]).astype(int)
    widest = max(1, int(network.counts.max(initial=1)))
    lines, widths = [], []
    for i, j, n, count in zip(network.origin, network.destination, image, network.counts, strict=True):
        step = home[j] + n - home[i]
        ends = [(home[i], home[i] + step)] if not n.any() else _halves(home[i], home[j], step)
        lines += [np.array(pair) @ sites.cell_A for pair in ends]
        widths += [0.3 + 3.2 * float(np.log1p(count) / np.log1p(widest))] * len(ends)
    return lines, widths


def jump_network_plotly(sites: SiteSet, network: JumpNetwork) -> go.Figure:
    """Draw sites by type with the jumps between them for the browser, in four classes of width.

    Parameters
    ----------
    sites : SiteSet
        Sites.
    network : JumpNetwork
        Jumps; those through a face of the cell are drawn as two halves.

    Returns
    -------
    plotly.graph_objects.Figure
        The figure; ``to_json()`` gives its JSON form.
    """
    import plotly.graph_objects as go

    figure = go.Figure(_cell_trace(sites.cell_A))
    lines, widths = _jump_lines(sites, network)
    classes = np.ceil(np.array(widths)).astype(int)
    for width in sorted(set(classes.tolist())):
        chosen = [line for line, own in zip(lines, classes, strict=True) if own == width]
        figure.add_trace(_lines_trace(chosen, "#7f7f7f", 1.5 * width, f"jumps, width {width}"))
    for number, name in enumerate(sites.type_names):
        points = sites.fractional[sites.type_indices == number] % 1.0 @ sites.cell_A
        figure.add_trace(_points_trace(points, name, COLOURS[number % len(COLOURS)], 5))
    _bare(figure)
    return figure


def _halves(start: Array, end: Array, step: Array) -> list[tuple[Array, Array]]:
    return [(start, start + 0.5 * step), (end - 0.5 * step, end)]
