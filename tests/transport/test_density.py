"""Densities on periodic grids against exact sums, independent readers and published data."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.exceptions import InputError
from sse_screen.transport.density import (
    DensityGrid,
    aligned_fractional_positions,
    chgcar_text,
    cube_text,
    density_peaks,
    grid_shape,
    level_enclosing,
    minimum_image_distances,
    probability_density,
    smooth,
    volume_above,
)

SKEWED = np.array([[6.0, 0.0, 0.0], [-2.5, 7.0, 0.0], [1.0, -2.0, 6.5]])


def reference_folder() -> Path:
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared" / "reference").is_dir():
            return parent / "shared" / "reference"
    pytest.skip("reference data not found: ../shared/reference is absent")


def test_counts_and_norms_are_exact() -> None:
    fractional = np.array([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], [[0.99, 0.0, 1.01], [0.25, 0.5, 0.5]]])
    cell = 2.0 * np.eye(3)
    density = probability_density(fractional, cell, spacing_A=0.5, normalisation="number")
    assert density.shape == (4, 4, 4)
    assert density.voxel_volume_A3 == pytest.approx(0.125)
    assert density.values_per_A3.sum() * density.voxel_volume_A3 == pytest.approx(2.0)
    assert density.values_per_A3[0, 0, 0] * density.voxel_volume_A3 == pytest.approx(1.0)
    assert density.values_per_A3[2, 2, 2] == density.values_per_A3[1, 2, 2] == density.one_count_per_A3
    one = probability_density(fractional, cell, spacing_A=0.5)
    np.testing.assert_allclose(one.values_per_A3 * 2, density.values_per_A3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_wrapping_and_order_do_not_matter_and_histogramdd_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fractional = rng.random((5, 7, 3))
    moved = (fractional + rng.integers(-2, 3, fractional.shape))[:, rng.permutation(7)]
    density = probability_density(fractional, SKEWED, spacing_A=0.8, normalisation="number")
    again = probability_density(moved, SKEWED, spacing_A=0.8, normalisation="number")
    np.testing.assert_allclose(density.values_per_A3, again.values_per_A3)
    shape = density.shape
    shifted = (fractional + 0.5 / np.array(shape)).reshape(-1, 3) % 1.0
    counts, _ = np.histogramdd(shifted, bins=shape, range=[(0, 1)] * 3)
    np.testing.assert_allclose(density.values_per_A3 * density.voxel_volume_A3 * 5, counts)


def test_framework_drift_is_removed_through_the_boundary() -> None:
    rng = np.random.default_rng(0)
    start = rng.random((5, 3))
    drift = np.cumsum(rng.normal(0.02, 0.01, (200, 1, 3)), axis=0)
    drift -= drift[0]
    cells = SKEWED * (1 + 0.02 * np.sin(np.arange(200) / 7))[:, None, None]
    positions = np.einsum("tai,tij->taj", (start + drift) % 1.0, cells)
    aligned = aligned_fractional_positions(positions, cells, [0, 1], [2, 3, 4])
    wandering = (aligned - start[:2] + 0.5) % 1.0 - 0.5
    assert np.abs(wandering).max() < 1e-12
    alone = aligned_fractional_positions(positions, cells, [0, 1, 2, 3, 4], [])
    np.testing.assert_allclose(alone % 1.0, (start + drift) % 1.0, atol=1e-12)


def test_gaussian_cloud_levels_peaks_and_volume() -> None:
    rng = np.random.default_rng(1)
    width = 0.35
    centres = np.array([[0.02, 0.97, 0.5], [0.5, 0.5, 0.05]])
    cloud = centres + rng.normal(0, width, (40_000, 2, 3)) @ np.linalg.inv(SKEWED)
    density = probability_density(cloud, SKEWED, spacing_A=0.1, normalisation="number")
    smoothed = smooth(density, 0.15)
    assert smoothed.values_per_A3.sum() * density.voxel_volume_A3 == pytest.approx(2.0)
    total_width = np.hypot(width, 0.15)
    peaks = density_peaks(smoothed, minimum_separation_A=1.5, minimum_height_per_A3=0.05)
    assert len(peaks.fractional) == 2
    for centre in centres:
        assert minimum_image_distances(peaks.fractional - centre, SKEWED).min() < 0.03
    np.testing.assert_allclose(peaks.heights_per_A3, (2 * np.pi * total_width**2) ** -1.5, rtol=0.1)
    # Half of a 3-D Gaussian lies within 1.53817 standard deviations.
    level = level_enclosing(smoothed, 0.5)
    assert level == pytest.approx((2 * np.pi * total_width**2) ** -1.5 * np.exp(-(1.53817**2) / 2), rel=0.03)
    assert volume_above(smoothed, level) == pytest.approx(
        2 * 4 / 3 * np.pi * (1.53817 * total_width) ** 3, rel=0.03
    )


def test_smoothing_a_point_gives_a_gaussian_across_the_boundary() -> None:
    density = probability_density(np.zeros((1, 1, 3)), np.eye(3) * 6.0, spacing_A=0.1)
    smoothed = smooth(density, 0.4)
    distance = 0.1 * np.minimum(np.arange(60), 60 - np.arange(60))
    expected = (2 * np.pi * 0.16) ** -1.5 * np.exp(-(distance**2) / 0.32)
    np.testing.assert_allclose(smoothed.values_per_A3[:, 0, 0], expected, atol=1e-3)
    assert smooth(density, 0.0) is density


def test_level_enclosing_everything_is_the_least_visited_voxel() -> None:
    density = probability_density(np.random.default_rng(0).random((50, 4, 3)), SKEWED, spacing_A=1.0)
    assert level_enclosing(density, 1.0) == pytest.approx(density.one_count_per_A3)
    with pytest.raises(InputError, match="fraction"):
        level_enclosing(density, 1.5)


def test_minimum_image_is_exact_in_a_skewed_cell() -> None:
    offsets = np.random.default_rng(2).random((200, 3)) * 4 - 2
    shifts = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    brute = np.linalg.norm((offsets[:, None] + shifts) @ SKEWED, axis=-1).min(axis=1)
    np.testing.assert_allclose(minimum_image_distances(offsets, SKEWED), brute)


def random_density() -> DensityGrid:
    return probability_density(np.random.default_rng(3).random((60, 4, 3)), SKEWED, spacing_A=1.1)


def test_chgcar_is_read_back_by_pymatgen(tmp_path: Path) -> None:
    from pymatgen.io.vasp import Chgcar

    density = random_density()
    atoms = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.1]])
    path = tmp_path / "CHGCAR"
    path.write_text(chgcar_text(density, ["Li", "Li", "S"], atoms))
    back = Chgcar.from_file(path)
    volume = abs(np.linalg.det(SKEWED))
    np.testing.assert_allclose(back.data["total"] / volume, density.values_per_A3, rtol=1e-8)
    assert back.structure.composition.reduced_formula == "Li2S"
    with pytest.raises(InputError, match="sorted by species"):
        chgcar_text(density, ["Li", "S", "Li"], atoms)


def test_cube_is_read_back_by_ase(tmp_path: Path) -> None:
    from ase.io.cube import read_cube
    from ase.units import Bohr

    density = random_density()
    path = tmp_path / "density.cube"
    path.write_text(cube_text(density, ["Na", "P"], np.array([[0, 0, 0], [0.5, 0.5, 0.5]])))
    with path.open() as handle:
        content = read_cube(handle)
    np.testing.assert_allclose(content["data"] / Bohr**3, density.values_per_A3, rtol=1e-6)
    np.testing.assert_allclose(content["atoms"].cell.array, SKEWED, atol=1e-6)
    assert content["atoms"].get_chemical_symbols() == ["Na", "P"]


def test_bad_input_is_refused_with_the_field_named() -> None:
    with pytest.raises(InputError, match="spacing_A"):
        grid_shape(SKEWED, 0.0)
    with pytest.raises(InputError, match="larger spacing"):
        grid_shape(SKEWED * 10, 0.01)
    with pytest.raises(InputError, match="expected"):
        probability_density(np.zeros((0, 3, 3)), SKEWED)
    with pytest.raises(InputError, match="probability, number"):
        probability_density(np.zeros((1, 1, 3)), SKEWED, normalisation="ions")


def test_na3ps4_density_of_the_reference_trajectory() -> None:
    """The public test of this trajectory has 0.030735573102 Å^-3 at most, on 0.5 Å, integrating to one.

    There a position belongs to the grid point that is nearest in space, here to the one nearest in fractions
    (the same voxels but for the 93 degrees of beta); both are counted here.
    """
    from pymatgen.core import Structure

    folder = reference_folder() / "trajectories"
    structure = Structure.from_file(folder / "cNa3PS4.cif")
    sodium = [k for k, site in enumerate(structure) if site.species_string == "Na"]
    fractional = np.load(folder / "cNa3PS4_trajectories.npy")[:, sodium]
    cell = structure.lattice.matrix
    density = probability_density(fractional, cell, spacing_A=0.5)
    assert density.shape == (29, 29, 29)
    assert density.values_per_A3.sum() * density.voxel_volume_A3 == pytest.approx(1.0)
    assert density.values_per_A3.max() == pytest.approx(0.030735573102, rel=0.03)
    points = fractional.reshape(-1, 3)
    corners = np.floor(points * 29)[:, None] + np.array(list(np.ndindex(2, 2, 2)))
    nearest = np.argmin(np.linalg.norm((corners / 29 - points[:, None]) @ cell, axis=2), axis=1)
    index = corners[np.arange(len(points)), nearest].astype(int) % 29
    counts = np.zeros((29, 29, 29))
    np.add.at(counts, tuple(index.T), 1)
    assert counts.max() * density.one_count_per_A3 == pytest.approx(0.030735573102, abs=1e-12)


def test_speed_of_5000_frames_with_64_ions() -> None:
    fractional = np.random.default_rng(0).random((5000, 64, 3))
    start = time.perf_counter()
    probability_density(fractional, np.eye(3) * 16.0, spacing_A=0.2)
    assert time.perf_counter() - start < 0.5
