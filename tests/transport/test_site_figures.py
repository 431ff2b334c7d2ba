"""Figures of known densities and networks hold what they should; meshes against spheres."""

import io
import json

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from sse_screen.transport.density import DensityGrid
from sse_screen.transport.isosurface import isosurface
from sse_screen.transport.network import JumpNetwork
from sse_screen.transport.site_figures import (
    Atoms,
    density_slices_figure,
    density_surface_figure,
    density_surface_plotly,
    jump_network_figure,
    jump_network_plotly,
)
from sse_screen.transport.sites import SiteSet
from sse_screen.transport.structure_figures import pair_distribution_figure, spectrum_figure

SKEWED = np.array([[8.0, 0, 0], [-2.0, 8.0, 0], [1.0, 1.0, 8.0]])


def ball(cell: np.ndarray, n: int = 32) -> DensityGrid:
    """Density that falls linearly with the distance from the centre of the cell."""
    fractions = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), -1) - 0.5
    values = np.clip(4.0 - np.linalg.norm(fractions @ cell, axis=-1), 0, None)
    return DensityGrid(values, cell, 1.0, 10_000)


@pytest.mark.parametrize("cell", [np.eye(3) * 8.0, SKEWED, SKEWED[[1, 0, 2]]])
def test_mesh_of_a_ball_has_its_area_and_volume(cell: np.ndarray) -> None:
    mesh = isosurface(ball(cell), 2.0)
    assert mesh.volume_A3 == pytest.approx(4 / 3 * np.pi * 8, rel=0.02)
    assert mesh.area_A2 == pytest.approx(4 * np.pi * 4, rel=0.02)
    distance = np.linalg.norm(mesh.vertices_A - cell.sum(axis=0) / 2, axis=1)
    np.testing.assert_allclose(distance, 2.0, atol=0.03)
    assert isosurface(ball(cell), 2.0, stride=2).volume_A3 == pytest.approx(4 / 3 * np.pi * 8, rel=0.06)


def test_mesh_is_empty_off_the_range_and_linear_values_are_exact() -> None:
    assert len(isosurface(ball(np.eye(3) * 8.0), 10.0).triangles) == 0
    wave = np.tile(np.abs(np.arange(16) - 8.0)[:, None, None], (1, 4, 4))
    mesh = isosurface(DensityGrid(wave, np.diag([16.0, 4.0, 4.0]), 1.0, 1), 3.5)
    assert sorted(set(np.round(mesh.vertices_A[:, 0], 9))) == [4.5, 11.5]
    assert mesh.area_A2 == pytest.approx(2 * 16.0)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def test_slices_cut_through_the_maximum_and_mark_sites() -> None:
    sites = SiteSet(np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.0]]), SKEWED, ("1b", "i-1a"))
    figure = density_slices_figure(ball(SKEWED), sites=sites)
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["a = 0.50", "b = 0.50", "c = 0.50"]
    marks = [[len(line.get_xdata()) for line in axes.lines] for axes in figure.axes[:3]]
    assert marks == [[1, 1], [1, 1], [1]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1b", "i-1a"]
    assert png(figure).startswith(b"\x89PNG")
    cut = density_slices_figure(ball(SKEWED), at=(0.25, 0.0, 0.75))
    assert [axes.get_title() for axes in cut.axes[:3]] == ["a = 0.25", "b = 0.00", "c = 0.75"]


def test_surface_for_print_and_browser() -> None:
    density = ball(SKEWED, n=16)
    atoms = Atoms(np.array([[0, 0, 0], [0.5, 0, 0]]), ["P", "S"])
    figure = density_surface_figure(density, 2.0, atoms=atoms)
    assert png(figure).startswith(b"\x89PNG")
    painted = [part for part in figure.axes[0].collections if isinstance(part, PolyCollection)]
    assert sum(len(part.get_paths()) for part in painted) == len(isosurface(density, 2.0).triangles)
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {"P", "S"}
    assert png(density_surface_figure(density, 1e9, atoms=atoms)).startswith(b"\x89PNG")
    sites = SiteSet(np.array([[0.5, 0.5, 0.5]]), SKEWED, ("1b",))
    content = json.loads(density_surface_plotly(density, 2.0, atoms=atoms, sites=sites).to_json())
    kinds = [(trace["type"], trace["name"]) for trace in content["data"]]
    assert kinds == [
        ("scatter3d", "cell"),
        ("mesh3d", "2 Å⁻³"),
        ("scatter3d", "P"),
        ("scatter3d", "S"),
        ("scatter3d", "1b"),
    ]


def test_network_draws_jumps_through_faces_as_two_halves() -> None:
    sites = SiteSet(np.array([[0.1, 0.5, 0.5], [0.6, 0.5, 0.5]]), np.eye(3) * 6, ("a", "b"))
    image = np.array([[0, 0, 0], [-1, 0, 0]])
    network = JumpNetwork(2, np.array([0, 0]), np.array([1, 1]), image, np.array([5, 1]), np.array([4, 0]))
    figure = jump_network_figure(sites, network, np.array([1.0, 0.2]))
    (axes,) = figure.axes
    segments = axes.collections[0]._segments3d
    assert len(segments) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert "10 jumps" in axes.get_title()
    assert png(figure).startswith(b"\x89PNG")
    content = json.loads(jump_network_plotly(sites, network).to_json())
    assert [trace["name"] for trace in content["data"]] == [
        "cell",
        "jumps, width 2",
        "jumps, width 4",
        "a",
        "b",
    ]
    # Two halves of the jump through the face: three points each, the last one empty.
    assert len(content["data"][1]["x"]) == 6
    assert content["data"][1]["x"][2] is None


def test_network_without_jumps_and_curves() -> None:
    sites = SiteSet(np.zeros((1, 3)), np.eye(3) * 6, ("a",))
    none = np.zeros(0, dtype=int)
    empty = JumpNetwork(1, none, none, np.zeros((0, 3), dtype=int), none, none)
    assert png(jump_network_figure(sites, empty, np.ones(1))).startswith(b"\x89PNG")
    assert len(jump_network_plotly(sites, empty).data) == 2
    radii = np.linspace(0, 8, 50)
    figure = pair_distribution_figure({"Li-S": (radii, np.ones(50), 3.2), "S-S": (radii, np.ones(50), None)})
    assert len(figure.axes) == 2
    assert len(pair_distribution_figure({"Li-S": (radii, np.ones(50), 3.2)}).axes) == 1
    spectrum = spectrum_figure(radii, {"Li": np.ones(50), "S": 2 * np.ones(50)})
    assert spectrum.axes[0].get_ylim()[1] >= 3.0
    assert png(spectrum).startswith(b"\x89PNG")
