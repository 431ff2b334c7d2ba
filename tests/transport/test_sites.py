"""Sites from structures and densities: exact positions, Wyckoff names and supercells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.transport.density import minimum_image_distances, probability_density, smooth
from sse_screen.transport.sites import (
    SiteSet,
    host_sites,
    interstitial_sites,
    merge_close_sites,
    name_by_symmetry,
    nearest_sites,
    origin_shift,
    shifted,
    supercell_matrix,
    tile_sites,
)


def garnet_like() -> Structure:
    """Sites of cubic Li7La3Zr2O12 (Ia-3d, a = 12.968 Å), with the partial occupancies of the lithium."""
    return Structure.from_spacegroup(
        "Ia-3d",
        Lattice.cubic(12.968),
        [{"Li": 0.54}, {"Li": 0.45}, "La", "Zr", "O"],
        [
            [0.375, 0, 0.25],
            [0.0968, 0.6858, 0.5773],
            [0.125, 0, 0.25],
            [0, 0, 0],
            [0.2818, 0.1006, 0.1948],
        ],
    )


def test_garnet_sites_are_24d_and_96h() -> None:
    sites = host_sites(garnet_like(), "Li")
    assert sites.type_names == ("24d", "96h")
    assert [sites.types.count(name) for name in sites.type_names] == [24, 96]
    assert np.bincount(sites.type_indices).tolist() == [24, 96]


def test_primitive_cell_keeps_the_conventional_multiplicity() -> None:
    primitive = garnet_like().get_primitive_structure()
    sites = host_sites(primitive, "Li")
    assert len(sites) == 60
    assert set(sites.types) == {"24d", "96h"}


def test_supercell_of_the_crystal_keeps_the_wyckoff_names() -> None:
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.14), ["Li", "Cl"], [[0, 0, 0], [0.5] * 3])
    assert set(host_sites(rock_salt * (2, 1, 1), "Li").types) == {"4a"}


def test_split_positions_merge_into_their_centre() -> None:
    sites = host_sites(garnet_like(), "Li")
    merged = merge_close_sites(sites, 1.0)
    assert sorted(set(merged.types)) == ["24d", "2x96h"]
    assert len(merged) == 24 + 48
    # The centres of the split pairs are the ideal 48g octahedra, (1/8, y, 1/4 - y).
    pairs = SiteSet(merged.fractional[np.array(merged.types) == "2x96h"], merged.cell_A, ("",) * 48)
    ideal = Structure.from_spacegroup("Ia-3d", Lattice.cubic(12.968), ["Li"], [[0.125, 0.6812, 0.5688]])
    nearest = nearest_sites(np.array(ideal.frac_coords), pairs, maximum_distance_A=1.0)
    assert len(ideal) == 48
    assert nearest.distance_A.max() < 0.1


def test_same_letter_twice_is_numbered() -> None:
    structure = Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(10, 6, 5),
        ["Li", "Li", "S"],
        [[0.1, 0.25, 0.13], [0.37, 0.25, 0.61], [0.05, 0.03, 0.7]],
    )
    assert host_sites(structure, "Li").type_names == ("4c.1", "4c.2")


def test_no_such_ion_is_refused() -> None:
    with pytest.raises(InputError, match="has no Na"):
        host_sites(garnet_like(), "Na")
    with pytest.raises(InputError, match="site types"):
        SiteSet(np.zeros((2, 3)), np.eye(3), ("a",))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_nearest_site_and_image_agree_with_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3, 7, 3)) + rng.normal(0, 1.0, (3, 3))
    sites = SiteSet(rng.random((6, 3)) * 3 - 1, cell, ("s",) * 6)
    points = rng.random((20, 2, 3)) * 6 - 3
    found = nearest_sites(points, sites, maximum_distance_A=2.0)
    distances = np.stack([minimum_image_distances(points - s, cell) for s in sites.fractional])
    near = distances.min(axis=0) < 2.0
    np.testing.assert_array_equal(found.site >= 0, near)
    np.testing.assert_array_equal(found.site[near], distances.argmin(axis=0)[near])
    vectors = (points - sites.fractional[found.site] - found.image)[near] @ cell
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), distances.min(axis=0)[near], atol=1e-9)


def test_nearest_neighbour_distances_include_own_images() -> None:
    single = SiteSet(np.array([[1.2, -0.3, 0.5]]), np.diag([3.0, 4.0, 5.0]), ("1a",))
    np.testing.assert_allclose(single.nearest_neighbour_distances_A, [3.0])
    fcc = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = SiteSet(fcc, np.eye(3) * 4, ("4a",) * 4)
    np.testing.assert_allclose(sites.nearest_neighbour_distances_A, np.sqrt(8))


@pytest.mark.parametrize(
    "matrix", [np.diag([2, 1, 3]), [[1, 1, 0], [-1, 1, 0], [0, 0, 2]], [[0, 1, 1], [1, 0, 1], [1, 1, 0]]]
)
def test_tiling_agrees_with_pymatgen(matrix: list) -> None:
    structure = Structure(
        Lattice.from_parameters(4, 5, 6, 80, 95, 100),
        ["Li", "Li", "O"],
        [[0.1, 0.2, 0.3], [0.6, 0.9, 0.5], [0, 0, 0]],
    )
    sites = host_sites(structure, "Li")
    big = structure.copy()
    big.make_supercell(matrix)
    tiled = tile_sites(sites, np.array(big.lattice.matrix))
    lithium = [k for k, site in enumerate(big) if site.species_string == "Li"]
    assert len(tiled) == len(lithium)
    distance = minimum_image_distances(
        big.frac_coords[lithium][:, None] - tiled.fractional, np.array(big.lattice.matrix)
    )
    assert distance.min(axis=1).max() < 1e-6
    assert len(set(distance.argmin(axis=1))) == len(lithium)


def test_strained_and_rotated_supercells_match_and_foreign_ones_do_not() -> None:
    cell = np.diag([4.0, 5.0, 6.0])
    assert supercell_matrix(cell, cell * 2 * 1.02).tolist() == np.diag([2, 2, 2]).tolist()
    turned = np.array([[0, 4.0, 0], [-5.0, 0, 0], [0, 0, 18.0]])
    assert supercell_matrix(cell, turned).tolist() == np.diag([1, 1, 3]).tolist()
    with pytest.raises(InputError, match="no supercell"):
        supercell_matrix(cell, np.diag([6.0, 5.0, 6.0]))


def test_origin_shift_is_recovered_from_the_framework() -> None:
    structure = garnet_like()
    oxygen = np.array([site.frac_coords for site in structure if site.species_string == "O"])
    rng = np.random.default_rng(0)
    moved = oxygen + np.array([0.02, -0.03, 0.01]) + rng.normal(0, 0.002, oxygen.shape)
    found = origin_shift(moved[rng.permutation(len(moved))] % 1.0, oxygen, np.array(structure.lattice.matrix))
    np.testing.assert_allclose(found, [0.02, -0.03, 0.01], atol=6e-4)
    sites = host_sites(structure, "Li")
    np.testing.assert_allclose(shifted(sites, found).fractional - sites.fractional, np.tile(found, (120, 1)))


def bcc_density() -> tuple[Structure, np.ndarray]:
    """Ions on the corner of a simple cubic cell, one in ten at the edge centres (3d of Pm-3m)."""
    structure = Structure.from_spacegroup("Pm-3m", Lattice.cubic(6.0), ["Li", "S"], [[0, 0, 0], [0.5] * 3])
    rng = np.random.default_rng(4)
    edges = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    place = np.where(rng.random(20_000) < 0.1, rng.integers(0, 3, 20_000), -1)
    mean = np.where(place[:, None] < 0, 0.0, edges[place])
    return structure, (mean + rng.normal(0, 0.04, (20_000, 3)))[:, None, :]


def test_interstitials_are_found_named_and_completed_by_symmetry() -> None:
    structure, positions = bcc_density()
    cell = np.array(structure.lattice.matrix)
    density = smooth(probability_density(positions, cell, normalisation="number"), 0.25)
    host = host_sites(structure, "Li")
    found = interstitial_sites(density, host)
    assert found.types == ("interstitial",) * 3
    named = name_by_symmetry(found, structure)
    assert named.types == ("i-3d",) * 3
    edges = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    assert minimum_image_distances(named.fractional[:, None] - edges, cell).min(axis=1).max() < 1e-6
    both = host.join(named)
    assert both.type_names == ("1a", "i-3d")
    everything = interstitial_sites(density, None)
    assert everything.types == ("peak",) * 4


def test_no_interstitials_leave_an_empty_set() -> None:
    structure, positions = bcc_density()
    density = smooth(probability_density(positions, np.eye(3) * 6.0, normalisation="number"), 0.25)
    none = interstitial_sites(density, host_sites(structure, "Li"), minimum_occupancy=0.5)
    assert len(none) == 0
    assert len(name_by_symmetry(none, structure)) == 0
