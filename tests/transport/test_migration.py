"""Saddles and paths of densities with known free energies."""

import time

import numpy as np
import pytest
from ase.units import kB
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.exceptions import InputError
from sse_screen.transport.density import DensityGrid, probability_density, smooth
from sse_screen.transport.migration import isosurface_components, migration_paths, percolating_levels
from sse_screen.transport.sites import SiteSet

TEMPERATURE_K = 600.0


def from_energy(energy_eV: np.ndarray, cell: np.ndarray) -> DensityGrid:
    values = np.exp(-energy_eV / (kB * TEMPERATURE_K))
    values /= values.sum() * abs(np.linalg.det(cell)) / values.size
    return DensityGrid(values, cell, 1.0, 10**9)


def grid_fractions(*shape: int) -> tuple[np.ndarray, ...]:
    return tuple(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"))


def cosine_landscape(cell: np.ndarray, *, along: tuple[float, float, float] = (0.1, 0.2, 0.3)) -> DensityGrid:
    """Two minima along each axis, a barrier of `along` (eV) between those along a, b, c."""
    fractions = grid_fractions(40, 40, 40)
    energy = sum(
        0.5 * height * (1 - np.cos(4 * np.pi * f)) for height, f in zip(along, fractions, strict=True)
    )
    return from_energy(energy, cell)


def test_barriers_of_a_cosine_landscape_are_exact() -> None:
    cell = np.eye(3) * 6.0
    corners = np.array(list(np.ndindex(2, 2, 2))) * 0.5
    sites = SiteSet(corners, cell, ("8a",) * 8)
    paths = migration_paths(cosine_landscape(cell), sites, TEMPERATURE_K)
    straight = {}
    for path in paths:
        step = corners[path.destination] + path.image - corners[path.origin]
        axes = np.flatnonzero(step)
        if len(axes) == 1:
            straight.setdefault(int(axes[0]), []).append(path)
    assert {axis: len(found) for axis, found in straight.items()} == {0: 4, 1: 4, 2: 4}
    for axis, barrier in enumerate((0.1, 0.2, 0.3)):
        for path in straight[axis]:
            assert path.barrier_eV == pytest.approx(barrier, abs=1e-9)
            assert path.reverse_barrier_eV == pytest.approx(barrier, abs=1e-9)
            assert path.length_A == pytest.approx(3.0)
            assert path.profile_eV.max() == pytest.approx(barrier, abs=1e-9)
            assert path.profile_eV[0] == 0.0
            np.testing.assert_allclose(path.points[-1] % 1.0, corners[path.destination], atol=1e-9)
    assert [path.barrier_eV for path in paths] == sorted(path.barrier_eV for path in paths)
    few = migration_paths(cosine_landscape(cell), sites, TEMPERATURE_K, maximum_barrier_eV=0.15)
    assert len(few) == 4


def test_minimax_takes_the_bent_path_around_a_wall() -> None:
    """Two wells split by a wall with a hole at the side: the barrier is the hole's, the path too."""
    x, y, z = grid_fractions(40, 40, 8)
    wells = np.minimum((x - 0.25) ** 2, (x - 0.75) ** 2) + (y - 0.5) ** 2
    wall = (np.abs(x - 0.5) < 0.06) & (np.abs(y - 0.8) > 0.05)
    border = (x < 0.05) | (y < 0.05)
    energy = 0.5 * wells + np.where(wall | border, 2.0, 0.0) + 0.05 * np.cos(2 * np.pi * z)
    cell = np.diag([8.0, 8.0, 2.0])
    sites = SiteSet(np.array([[0.25, 0.5, 0.5], [0.75, 0.5, 0.5]]), cell, ("a", "a"))
    (path,) = migration_paths(from_energy(energy, cell), sites, TEMPERATURE_K)
    inside = np.abs(path.points[:, 0] - 0.5) < 0.06
    assert (np.abs(path.points[inside, 1] - 0.8) <= 0.051).all()
    assert path.barrier_eV == pytest.approx(0.5 * (0.25**2 + 0.25**2), abs=0.01)
    assert path.length_A > 4.5


def test_unequal_wells_have_unequal_barriers() -> None:
    x, _, _ = grid_fractions(60, 4, 4)
    energy = 0.2 * np.sin(2 * np.pi * x) ** 2 + 0.1 * np.sin(np.pi * x) ** 2
    cell = np.diag([6.0, 2.0, 2.0])
    sites = SiteSet(np.array([[0, 0, 0], [0.5, 0, 0]]), cell, ("a", "b"))
    (path,) = migration_paths(from_energy(energy, cell), sites, TEMPERATURE_K)
    assert path.barrier_eV == pytest.approx(energy.max(), abs=1e-9)
    assert path.reverse_barrier_eV == pytest.approx(energy.max() - energy[30, 0, 0], abs=1e-9)
    assert path.saddle_counts > 1


def brute_minimax(values: np.ndarray, start: tuple, end: tuple) -> float:
    """Highest level at which two voxels are connected on the periodic grid, by flooding every level."""
    steps = [np.array(step) - 1 for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)]
    for level in np.sort(values.ravel())[::-1]:
        if values[start] < level or values[end] < level:
            continue
        reached, front = {start}, [start]
        while front:
            here = front.pop()
            for step in steps:
                there = tuple((np.array(here) + step) % values.shape)
                if there not in reached and values[there] >= level:
                    reached.add(there)
                    front.append(there)
        if end in reached:
            return float(level)
    raise AssertionError


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_saddle_of_two_sites_is_the_brute_force_minimax(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((7, 6, 5)) + 0.01
    tops = np.argwhere(values >= np.sort(values, axis=None)[-2])
    cell = np.diag([7.0, 6.0, 5.0])
    sites = SiteSet(tops / np.array(values.shape), cell, ("a", "b"))
    density = DensityGrid(values, cell, float(values.sum()), 100)
    touching = np.abs(
        (tops[0] - tops[1] + np.array(values.shape) // 2) % values.shape - np.array(values.shape) // 2
    )
    if touching.max() <= 1:
        return
    (path,) = migration_paths(density, sites, TEMPERATURE_K, capture_radius_A=0.1, minimum_saddle_counts=0.0)
    assert path.saddle_per_A3 == brute_minimax(values, tuple(tops[0]), tuple(tops[1]))


def test_isosurface_percolates_direction_by_direction() -> None:
    density = cosine_landscape(np.eye(3) * 6.0)
    levels = percolating_levels(density)
    top = density.values_per_A3.max()
    for dimension, barrier in ((1, 0.1), (2, 0.2), (3, 0.3)):
        assert levels[dimension] == pytest.approx(top * np.exp(-barrier / (kB * TEMPERATURE_K)), rel=1e-9)
    parts = isosurface_components(density, levels[1])
    assert parts[0].axes == (True, False, False)
    assert len(parts) == 4
    cages = isosurface_components(density, 0.999 * top)
    assert [part.dimension for part in cages] == [0] * len(cages)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_percolating_levels_are_those_of_the_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((6, 5, 7)) * (rng.random((6, 5, 7)) < 0.4)
    density = DensityGrid(values, np.diag([6.0, 5.0, 7.0]), float(values.sum()), 100)
    dimension = {float(v): isosurface_components(density, float(v))[0].dimension for v in values[values > 0]}
    expected = {
        d: max(level for level, reached in dimension.items() if reached >= d)
        for d in (1, 2, 3)
        if max(dimension.values()) >= d
    }
    assert percolating_levels(density) == expected


def test_a_site_of_two_maxima_is_joined_below_its_saddle() -> None:
    """A dip inside one site that is deeper than the saddle to the next one leaves the saddle as it is."""
    values = np.full((12, 3, 3), 0.01)
    values[[0, 1, 2, 3, 4, 5], 1, 1] = [5.0, 0.1, 4.0, 1.0, 2.0, 6.0]
    values[6:, 1, 1] = 0.001
    cell = np.diag([12.0, 3.0, 3.0])
    sites = SiteSet(np.array([[1 / 12, 1 / 3, 1 / 3], [5 / 12, 1 / 3, 1 / 3]]), cell, ("a", "b"))
    density = DensityGrid(values, cell, float(values.sum()), 100)
    (path,) = migration_paths(density, sites, TEMPERATURE_K, capture_radius_A=1.01, minimum_saddle_counts=0.0)
    assert path.saddle_per_A3 == 1.0
    assert len(path.points) == 6
    assert path.profile_eV.max() > path.barrier_eV


def test_paths_below_one_visit_are_left_out() -> None:
    x, _, _ = grid_fractions(60, 4, 4)
    cell = np.diag([6.0, 2.0, 2.0])
    density = from_energy(0.2 * np.sin(2 * np.pi * x) ** 2, cell)
    sites = SiteSet(np.array([[0, 0, 0], [0.5, 0, 0]]), cell, ("a", "b"))
    (path,) = migration_paths(density, sites, TEMPERATURE_K)
    assert migration_paths(density, sites, TEMPERATURE_K, minimum_saddle_counts=2 * path.saddle_counts) == []


def test_one_visit_of_a_smoothed_density_is_its_kernel() -> None:
    density = smooth(probability_density(np.zeros((1, 1, 3)), np.eye(3) * 6.0), 0.3)
    assert density.one_count_per_A3 == pytest.approx(density.values_per_A3.max())


def test_unvisited_space_separates() -> None:
    rng = np.random.default_rng(0)
    cloud = np.array([[0.25, 0.5, 0.5], [0.75, 0.5, 0.5]]) + rng.normal(0, 0.02, (500, 2, 3))
    cell = np.eye(3) * 10.0
    density = smooth(probability_density(cloud, cell), 0.2)
    sites = SiteSet(np.array([[0.25, 0.5, 0.5], [0.75, 0.5, 0.5]]), cell, ("a", "a"))
    assert migration_paths(density, sites, 300.0) == []
    assert percolating_levels(density) == {}


def test_temperature_must_be_positive() -> None:
    with pytest.raises(InputError, match="temperature_K"):
        migration_paths(cosine_landscape(np.eye(3)), SiteSet(np.zeros((1, 3)), np.eye(3), ("a",)), 0.0)


def test_speed_with_64_sites_on_a_fine_grid() -> None:
    cell = np.eye(3) * 16.0
    fractions = grid_fractions(80, 80, 80)
    density = from_energy(sum(0.15 * (1 - np.cos(8 * np.pi * f)) for f in fractions), cell)
    sites = SiteSet(np.array(list(np.ndindex(4, 4, 4))) / 4, cell, ("1a",) * 64)
    start = time.perf_counter()
    paths = migration_paths(density, sites, TEMPERATURE_K, maximum_barrier_eV=0.31)
    assert time.perf_counter() - start < 15
    assert len(paths) == 192
