"""Volumes of sites against spheres, boxes and known clouds."""

import numpy as np
import pytest

from sse_screen.exceptions import InputError
from sse_screen.transport.jumps import SiteRadii, find_visits
from sse_screen.transport.site_volumes import (
    accessible_site_volumes,
    hull_volume,
    static_site_volumes,
)
from sse_screen.transport.sites import SiteSet

BODY_CENTRE = SiteSet(np.array([[0.5, 0.5, 0.5]]), np.eye(3) * 4.0, ("1b",))


def test_void_of_one_sphere_is_the_rest_of_the_cube() -> None:
    (volume,) = static_site_volumes(BODY_CENTRE, np.zeros((1, 3)), ["O"], {"O": 1.4}, spacing_A=0.05)
    assert volume == pytest.approx(64 - 4 / 3 * np.pi * 1.4**3, rel=2e-3)
    (room,) = static_site_volumes(
        BODY_CENTRE, np.zeros((1, 3)), ["O"], {"O": 1.24}, probe_radius_A=0.59, spacing_A=0.05
    )
    assert room == pytest.approx(64 - 4 / 3 * np.pi * 1.83**3, rel=2e-3)


def test_void_is_shared_by_the_nearest_sites_and_same_in_any_cell() -> None:
    two = SiteSet(np.array([[0.25, 0.5, 0.5], [0.75, 0.5, 0.5]]), np.eye(3) * 4.0, ("x", "y"))
    volumes = static_site_volumes(two, np.zeros((1, 3)), ["S"], {"S": 1.0})
    np.testing.assert_allclose(volumes, (64 - 4 / 3 * np.pi) / 2, rtol=5e-3)
    skewed = SiteSet(np.array([[0.5, 0.0, 0.5]]), np.array([[4.0, 0, 0], [4.0, 4.0, 0], [0, 0, 4.0]]), ("x",))
    (one,) = static_site_volumes(skewed, np.zeros((1, 3)), ["S"], {"S": 1.0})
    assert one == pytest.approx(64 - 4 / 3 * np.pi, rel=5e-3)


def test_missing_radius_is_named() -> None:
    with pytest.raises(InputError, match="no radius for La, Zr"):
        static_site_volumes(BODY_CENTRE, np.zeros((2, 3)), ["Zr", "La"], {"O": 1.24})


def test_hull_of_a_cube_of_few_and_of_flat_points() -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * 2.0
    assert hull_volume(corners) == pytest.approx(8.0)
    assert hull_volume(corners[:3]) == 0.0
    assert hull_volume(corners[:4]) == 0.0


def rattling(seed: int = 0) -> np.ndarray:
    """One ion in a box of 1 x 1 x 1 Å around the origin, then in one of 0.5 x 0.5 x 1 Å around x = 4 Å."""
    rng = np.random.default_rng(seed)
    first = (rng.random((4000, 1, 3)) - 0.5) * 1.0
    second = (rng.random((4000, 1, 3)) - 0.5) * np.array([0.5, 0.5, 1.0]) + np.array([4.0, 0, 0])
    return np.concatenate([first, second]) / 10.0 % 1.0


def test_accessible_volumes_are_those_of_the_boxes() -> None:
    sites = SiteSet(np.array([[0, 0, 0], [0.4, 0, 0], [0.7, 0, 0]]), np.eye(3) * 10.0, ("a", "b", "b"))
    positions = rattling()
    visits, nearest = find_visits(positions, sites, SiteRadii(0.5, 1.2))
    accessible = accessible_site_volumes(positions, visits, nearest, sites)
    np.testing.assert_allclose(accessible.volumes_A3[:2], [1.0, 0.25], rtol=0.1)
    assert (accessible.volumes_A3[:2] < [1.0, 0.25]).all()
    assert accessible.volumes_A3[2] == 0.0
    assert accessible.n_positions[2] == 0
    assert accessible.n_positions.sum() == pytest.approx(8000, abs=3)
    inner = accessible_site_volumes(positions, visits, nearest, sites, share=0.5)
    assert (inner.volumes_A3[:2] < 0.6 * accessible.volumes_A3[:2]).all()
    with pytest.raises(InputError, match="share"):
        accessible_site_volumes(positions, visits, nearest, sites, share=0.0)
