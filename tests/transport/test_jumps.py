"""The two-radius state machine on hand-made paths and on known walks."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.exceptions import InputError
from sse_screen.transport.jumps import (
    SiteRadii,
    default_radii,
    find_visits,
    jump_matrix,
    jumps_between,
    pool_visits,
    site_occupancies,
    unwrap_fractional,
)
from sse_screen.transport.sites import SiteSet

CELL = np.eye(3) * 8.0
# Four sites in a row, 2 Å apart, along a cell of 8 Å: neighbours also through the boundary.
ROW = SiteSet(np.array([[k / 4, 0.0, 0.0] for k in range(4)]), CELL, ("1a",) * 4)
RADII = SiteRadii(0.5, 1.0)


def path(x_A: list[float]) -> np.ndarray:
    positions = np.zeros((len(x_A), 1, 3))
    positions[:, 0, 0] = np.array(x_A) / 8.0
    return positions


def visits_of(x_A: list[float], **options: int) -> list[tuple[int, int, int]]:
    visits, _ = find_visits(path(x_A), ROW, RADII, **options)
    return [(int(s), int(a), int(b)) for s, a, b in zip(visits.site, visits.start, visits.end, strict=True)]


def test_jump_counts_only_on_arrival_in_the_inner_sphere() -> None:
    assert visits_of([0, 0.6, 0.9, 1.1, 1.4, 1.8, 2.0]) == [(0, 0, 3), (1, 5, 7)]


def test_recrossing_is_one_visit() -> None:
    # Past the outer sphere and even nearer to the next site, but back without arriving.
    assert visits_of([0, 0.7, 1.2, 1.4, 0.8, 0.1, 0.0]) == [(0, 0, 7)]


def test_short_passages_are_taken_out() -> None:
    through = [0, 0, 0.9, 2.0, 3.0, 4.0, 4.0, 4.0]
    assert visits_of(through) == [(0, 0, 3), (1, 3, 4), (2, 5, 8)]
    assert [v[0] for v in visits_of(through, minimum_residence_frames=2)] == [0, 2]
    there_and_back = [0, 0, 2.0, 0, 0, 0]
    assert visits_of(there_and_back, minimum_residence_frames=2) == [(0, 0, 6)]


def test_jumps_through_the_boundary_carry_their_image() -> None:
    for wrapped in ([4, 6, 8, 10], [4, 6, 0, 2]):
        visits, _ = find_visits(path([float(x) for x in wrapped]), ROW, RADII)
        jumps = jumps_between(visits, ROW)
        assert jumps.origin.tolist() == [2, 3, 0]
        assert jumps.destination.tolist() == [3, 0, 1]
        assert jumps.image[:, 0].tolist() == [0, 1, 0]
        np.testing.assert_allclose(jumps.vectors_A, [[2.0, 0, 0]] * 3)


def test_one_site_per_cell_jumps_to_its_own_image() -> None:
    single = SiteSet(np.zeros((1, 3)), np.eye(3) * 2.0, ("1a",))
    positions = np.zeros((4, 1, 3))
    positions[:, 0, 1] = [0, 1, 2, 1]
    visits, _ = find_visits(positions / 1.0, single, SiteRadii(0.4, 0.8))
    # A step of one whole cell between two frames cannot be told from none.
    assert len(visits) == 1
    slow = np.zeros((10, 1, 3))
    slow[:, 0, 1] = [0, 0.3, 0.6, 1, 1.3, 1.6, 2, 1.6, 1.3, 1.0]
    visits, _ = find_visits(slow, single, SiteRadii(0.4, 0.8))
    jumps = jumps_between(visits, single)
    np.testing.assert_allclose(jumps.vectors_A[:, 1], [2.0, 2.0, -2.0])
    assert visits.truncated_start.tolist() == [True, False, False, False]
    assert visits.truncated_end.tolist() == [False, False, False, True]


def test_an_ion_never_at_a_site_has_no_visits() -> None:
    visits, nearest = find_visits(path([1.0, 1.0, 1.0]), ROW, RADII)
    assert len(visits) == 0
    assert visits.n_ions == 1
    assert len(jumps_between(visits, ROW)) == 0
    assert (nearest.site[:, 0] < 0).all()


def walk(seed: int, n_frames: int, n_ions: int, probability: float, size: int = 4) -> np.ndarray:
    """Independent walkers on a simple cubic lattice, to a random neighbour with a probability per frame."""
    rng = np.random.default_rng(seed)
    axes = np.concatenate([np.eye(3), -np.eye(3)]).astype(int)
    steps = axes[rng.integers(0, 6, (n_frames, n_ions))] * (rng.random((n_frames, n_ions, 1)) < probability)
    start = rng.integers(0, size, (1, n_ions, 3))
    steps[0] = 0
    return start + np.cumsum(steps, axis=0)


def cubic_sites(size: int = 4, spacing_A: float = 3.0) -> SiteSet:
    points = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), -1).reshape(-1, 3) / size
    return SiteSet(points, np.eye(3) * size * spacing_A, ("1a",) * len(points))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_every_step_of_a_vibrating_lattice_walk_is_found(seed: int) -> None:
    lattice = walk(seed, 400, 5, 0.1)
    sites = cubic_sites()
    rng = np.random.default_rng(seed)
    vibration = np.clip(rng.normal(0, 0.2, lattice.shape), -0.5, 0.5) / 12.0
    visits, _ = find_visits((lattice / 4 + vibration) % 1.0, sites, default_radii(sites))
    jumps = jumps_between(visits, sites)
    moved = np.any(np.diff(lattice, axis=0) != 0, axis=2)
    assert len(jumps) == moved.sum()
    expected = np.diff(lattice, axis=0).transpose(1, 0, 2)[moved.T] * 3.0
    np.testing.assert_allclose(jumps.vectors_A, expected, atol=1e-9)
    assert (jumps.transit == 0).all()
    matrix = jump_matrix(jumps, len(sites))
    assert matrix.sum() == len(jumps)
    assert np.trace(matrix) == 0
    assert visits.durations.sum() == 400 * 5
    assert site_occupancies(visits, len(sites), 400).sum() == pytest.approx(5.0)


def test_replicas_are_pooled_without_joining_their_ions() -> None:
    sites = cubic_sites()
    parts = [find_visits(walk(seed, 100, 3, 0.1) / 4, sites, default_radii(sites))[0] for seed in (0, 1)]
    pooled = pool_visits(parts)
    assert pooled.n_ions == 6
    assert len(pooled) == len(parts[0]) + len(parts[1])
    assert sorted(set(pooled.ion.tolist())) == list(range(6))
    assert len(jumps_between(pooled, sites)) == sum(len(jumps_between(part, sites)) for part in parts)


def test_default_radii_never_overlap_and_bad_ones_are_refused() -> None:
    assert default_radii(ROW) == SiteRadii(0.6, 1.0)
    assert default_radii(cubic_sites(spacing_A=5.0)) == SiteRadii(1.0, 1.6)
    with pytest.raises(InputError, match="inner"):
        SiteRadii(1.0, 0.5)


def test_unwrapping_follows_short_steps() -> None:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.uniform(-0.3, 0.3, (50, 4, 3)), axis=0)
    np.testing.assert_allclose(np.diff(unwrap_fractional(smooth % 1.0), axis=0), np.diff(smooth, axis=0))


def test_speed_of_5000_frames_with_64_ions() -> None:
    sites = cubic_sites(5)
    rng = np.random.default_rng(0)
    positions = walk(0, 5000, 64, 0.01, size=5) / 5 + rng.normal(0, 0.02, (5000, 64, 3))
    start = time.perf_counter()
    visits, _ = find_visits(positions, sites, default_radii(sites), minimum_residence_frames=2)
    jumps_between(visits, sites)
    assert time.perf_counter() - start < 2.0
