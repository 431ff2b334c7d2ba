"""Unwrapping, drift, discontinuities and mean squared displacements."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.transport import displacements as d
from sse_screen.transport.synthetic import uncorrelated_hops

REFERENCE = next(
    (
        parent / "shared/reference"
        for parent in Path(__file__).parents
        if (parent / "shared/reference").exists()
    ),
    None,
)


def walk(seed=0, n_frames=200, n_atoms=6, step=0.3):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(scale=step, size=(n_frames, n_atoms, 3)), axis=0)


def trajectory_of(positions, cells=None, unwrapped=True, species=None, step_ps=0.1):
    n_frames, n_atoms = positions.shape[:2]
    cells = np.diag([9.0, 10.0, 11.0]) if cells is None else cells
    species = species or ("Li",) * (n_atoms // 2) + ("S",) * (n_atoms - n_atoms // 2)
    return Trajectory(positions, cells, species, step_ps * np.arange(n_frames), unwrapped)


def brute_force(vectors):
    n = len(vectors)
    lags = [((vectors[lag:] - vectors[: n - lag]) ** 2).sum(-1).mean() for lag in range(1, n)]
    return np.array([0.0, *lags])


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 1000))
def test_fast_transform_equals_the_sum_over_origins(n_frames, n_atoms, seed):
    vectors = walk(seed, n_frames, n_atoms) + 1e4
    np.testing.assert_allclose(
        d.mean_squared_displacement(vectors, block=2), brute_force(vectors), rtol=1e-9, atol=1e-9
    )


def test_wrapped_and_unwrapped_positions_give_the_same_displacements_in_a_skewed_cell():
    cell = np.array([[9.0, 0, 0], [3.0, 10.0, 0], [-2.0, 1.0, 11.0]])
    positions = walk()
    fractional = positions @ np.linalg.inv(cell)
    wrapped = (fractional - np.floor(fractional)) @ cell
    free, none = d.unwrap(trajectory_of(positions, cell))
    folded, few = d.unwrap(trajectory_of(wrapped, cell, unwrapped=False))
    np.testing.assert_allclose(folded, free, atol=1e-9)
    assert (none, few) == (0, 0)


def test_tensor_equals_the_sum_over_origins():
    vectors = walk(n_frames=40, n_atoms=5)
    tensor = d.displacement_tensor(vectors, block=2)
    for lag in (1, 7, 39):
        steps = (vectors[lag:] - vectors[:-lag]).reshape(-1, 3)
        np.testing.assert_allclose(tensor[lag], steps.T @ steps / len(steps), atol=1e-9)
    np.testing.assert_allclose(np.einsum("txx->t", tensor), d.mean_squared_displacement(vectors), atol=1e-9)


@pytest.mark.parametrize("unwrapped", [True, False])
def test_a_breathing_cell_moves_no_atom_that_has_crossed_it(unwrapped):
    """An ion far from its first cell must not appear to swing with the cell (cumulated f times L would)."""
    n_frames = 400
    rng = np.random.default_rng(1)
    scale = 1 + 0.01 * np.sin(2 * np.pi * np.arange(n_frames) / 40)
    cells = np.eye(3) * 10.0 * scale[:, None, None]
    fractional = rng.random((1, 4, 3)) + np.zeros((n_frames, 1, 1))
    fractional[:, 0, 0] += np.linspace(0, 20, n_frames)
    if not unwrapped:
        fractional %= 1.0
    vectors, _ = d.unwrap(trajectory_of(fractional @ cells, cells, unwrapped))
    assert np.abs(vectors[:, 1:]).max() < 1e-9
    straight = np.linspace(0, 200, n_frames)
    assert np.abs(vectors[:, 0, 0] - straight).max() < 0.5


def test_only_the_framework_is_held_still():
    positions = walk(n_atoms=6)
    drifting = positions + np.linspace(0, 5, len(positions))[:, None, None]
    plain = d.displacements(trajectory_of(positions), "Li")
    moved = d.displacements(trajectory_of(drifting), "Li")
    np.testing.assert_allclose(plain.vectors_A, moved.vectors_A, atol=1e-9)
    np.testing.assert_allclose(moved.vectors_A[:, moved.framework].mean(axis=1), 0, atol=1e-9)
    assert np.abs(moved.vectors_A[:, moved.mobile].mean(axis=1)).max() > 0.1


def test_without_framework_the_centre_of_mass_is_held_still():
    moved = d.displacements(trajectory_of(walk(n_atoms=4), species=("Li", "Li", "Na", "Na")), ("Li", "Na"))
    masses = d.masses_of(("Li", "Li", "Na", "Na"))
    np.testing.assert_allclose(np.einsum("a,tax->tx", masses, moved.vectors_A), 0, atol=1e-9)
    assert len(moved.framework) == 0


def test_a_framework_can_be_chosen():
    trajectory = trajectory_of(walk(n_atoms=3), species=("Li", "P", "S"))
    assert d.displacements(trajectory, "Li", ["P"]).framework.tolist() == [1]
    with pytest.raises(d.SpeciesError, match="'Na' is not in the trajectory, which holds Li, P, S"):
        d.displacements(trajectory, "Na")
    with pytest.raises(d.SpeciesError, match="as mobile and as framework"):
        d.displacements(trajectory, "Li", ["Li"])


def test_a_restart_from_other_positions_is_found_and_hops_are_not():
    rng = np.random.default_rng(2)
    vectors = 0.1 * rng.normal(size=(300, 10, 3))
    vectors[100:, 0] += 3.0
    vectors[150:, 1] -= 3.0
    assert d.find_discontinuities(vectors) == ()
    vectors[220:] += rng.normal(size=(1, 10, 3)) * 2
    assert d.find_discontinuities(vectors) == (220,)
    moved = d.Displacements(vectors, vectors[:, 0], np.arange(1), np.arange(1), (220, 299), 0)
    assert moved.pieces() == [slice(0, 220), slice(220, 299)]


def test_a_restart_that_only_the_mobile_ions_show():
    """From the first frame again: the framework, here most of the atoms, stays where it was."""
    rng = np.random.default_rng(3)
    walks, _ = uncorrelated_hops(1, 24, 600, 150, rng, 3.0)
    vectors = np.concatenate([walks[0], np.zeros((600, 48, 3))], axis=1) + 0.1 * rng.normal(size=(600, 72, 3))
    mobile = np.arange(24)
    assert d.find_discontinuities(vectors, mobile) == ()
    vectors[400:, :24] -= walks[0, 400] - walks[0, 0]
    assert d.find_discontinuities(vectors) == ()
    assert d.find_discontinuities(vectors, mobile) == (400,)


@pytest.mark.parametrize("jumps", [150, 1500, 4000, 9000])
def test_independent_hops_are_no_restart_however_coarse_the_dump(jumps):
    rng = np.random.default_rng(jumps)
    walks, _ = uncorrelated_hops(20, 24, 600, jumps, rng, 3.0)
    for vectors in walks + 0.1 * rng.normal(size=walks.shape):
        assert d.find_discontinuities(np.concatenate([vectors, 0 * vectors], axis=1), np.arange(24)) == ()


def test_a_sparse_dump_is_counted():
    wrapped = walk(step=4.0, n_frames=30) % 9.0
    assert d.unwrap(trajectory_of(wrapped, unwrapped=False))[1] > 10


def test_collective_displacement_is_the_charge_weighted_sum():
    vectors = walk(n_atoms=3)
    total = d.collective_displacement(vectors, np.array([1.0, 1.0, -2.0]))
    np.testing.assert_allclose(total[:, 0], vectors[:, 0] + vectors[:, 1] - 2 * vectors[:, 2])
    np.testing.assert_allclose(d.collective_displacement(vectors)[:, 0], vectors.sum(axis=1))


def test_neighbour_distance_and_common_step():
    positions = np.zeros((3, 3, 3)) + np.array([[0.0, 0, 0], [8.0, 0, 0], [4.0, 5, 5]])
    assert d.mean_neighbour_distance(trajectory_of(positions), np.array([0, 1])) == pytest.approx(1.5)
    assert d.mean_neighbour_distance(trajectory_of(positions), np.array([0])) == 3.0
    fine, coarse = trajectory_of(walk()), trajectory_of(walk(), step_ps=0.2)
    assert d.common_time_step([fine, fine]) == pytest.approx(0.1)
    with pytest.raises(TrajectoryError, match="thin the finer ones"):
        d.common_time_step([fine, coarse])


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_published_lips_displacement_curve():
    """The Li curve that kinisi's own tests expect (LiPS, 2688 atoms, triclinic cell)."""
    stored = np.load(REFERENCE / "trajectories" / "LiPS_positions_momenta_200f.npz")
    expected = np.load(REFERENCE / "trajectories" / "LiPS_msd.npy")
    trajectory = Trajectory(
        stored["positions"], stored["lattice"], tuple(stored["species"]), np.arange(200.0), unwrapped=False
    )
    moved = d.displacements(trajectory, "Li")
    vectors = moved.vectors_A[:, moved.mobile]
    curve = d.mean_squared_displacement(vectors)
    # The definition: the mean over all n - lag windows that the frames hold.
    for lag in (1, 2, 20, 150, 199):
        brute = ((vectors[lag:] - vectors[:-lag]) ** 2).sum(-1).mean()
        assert curve[lag] == pytest.approx(brute, rel=1e-12)
    # kinisi counts one window more: a step of no length before the first frame. On that trajectory the two
    # agree to all digits; without it lag 1 is 200/199 of its number, 0.5025 % more, and all others closer.
    padded = d.mean_squared_displacement(np.concatenate([vectors[:1], vectors]))
    np.testing.assert_allclose(padded[1:], expected, rtol=1e-6)
    np.testing.assert_allclose(curve[2:], expected[1:-1], rtol=5e-3)
    assert curve[1] == pytest.approx(expected[0] * 200 / 199, rel=1e-6)
