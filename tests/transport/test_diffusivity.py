"""Verdicts on trajectories that diffuse, and on those that do not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError, concatenate
from sse_screen.transport.diffusivity import A2_PER_PS, estimate_diffusivity
from sse_screen.transport.displacements import SpeciesError
from sse_screen.transport.synthetic import as_trajectory, uncorrelated_hops, vibrations

FRAMES, IONS, STEP_PS = 2000, 24, 0.1


def diffusing(jumps=300, seed=0, **options):
    generator = np.random.default_rng(seed)
    moved, diffusivity = uncorrelated_hops(1, IONS, FRAMES, jumps, generator)
    moved = moved[0] + vibrations((FRAMES, IONS, 3), 0.15, 3.0, generator)
    trajectory = as_trajectory(
        moved, STEP_PS, generator, framework_species=("P",) * 6 + ("S",) * 18, **options
    )
    return trajectory, diffusivity / STEP_PS * A2_PER_PS


def verdict_of(*trajectories, species="Li", hop=2.0, **options):
    return estimate_diffusivity(trajectories, species, hop_distance_A=hop, **options)


def reasons(result):
    return " | ".join(result.tracer_diffusivity.reasons)


def test_unit_factor():
    assert pytest.approx(1e-4) == A2_PER_PS


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_diffusing_crystal_has_a_value_in_its_interval(wrapped):
    trajectory, truth = diffusing(wrapped=wrapped)
    result = verdict_of(trajectory)
    found = result.tracer_diffusivity
    assert found.verdict == "diffusive"
    assert found.lower < truth < found.upper
    assert found.lower < found.value < found.upper
    assert found.unit == "cm2/s"
    assert result.effective_jumps == pytest.approx(300, rel=0.3)
    assert 0.9 < result.local_exponent < 1.1
    assert 0.1 < result.he_2018_log_error < 1


def test_a_frozen_crystal_is_an_upper_limit():
    generator = np.random.default_rng(1)
    frozen = as_trajectory(vibrations((FRAMES, IONS, 3), 0.15, 3.0, generator), STEP_PS, generator)
    result = verdict_of(frozen)
    found = result.tracer_diffusivity
    # Three to four jumps could have been missed: 3.69 × 4 Å² / (6 × 24 × 199.9 ps).
    assert found.verdict == "upper_limit"
    assert found.value is None
    assert result.estimate.verdict in ("unresolved", "refused")
    assert found.lower == 0
    assert found.upper == pytest.approx(3.69 * 4 / (6 * 24 * 199.9) * 1e-4, rel=0.5)
    assert "squared hops" in reasons(result)


def test_atoms_that_never_move_are_an_upper_limit():
    generator = np.random.default_rng(1)
    still = as_trajectory(np.zeros((200, IONS, 3)), STEP_PS, generator, framework_amplitude_A=0.0)
    result = verdict_of(still)
    assert result.tracer_diffusivity.verdict == "upper_limit"
    assert result.tracer_diffusivity.value is None


def test_a_melt_is_refused():
    walk = np.cumsum(np.random.default_rng(2).normal(scale=0.1, size=(FRAMES, 48, 3)), axis=0)
    melt = Trajectory(
        walk, np.eye(3) * 12, ("Li",) * 24 + ("S",) * 24, STEP_PS * np.arange(FRAMES), unwrapped=True
    )
    result = verdict_of(melt)
    assert result.tracer_diffusivity.verdict == "refused"
    assert result.tracer_diffusivity.value is None
    assert "framework flows" in reasons(result)


def test_rotating_ligands_are_a_warning_only():
    """Sulphur swaps places at random within tetrahedra whose phosphorus stays."""
    trajectory, _ = diffusing()
    generator = np.random.default_rng(4)
    turns = generator.random((FRAMES, 18)) < 0.004
    corners = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    corner = np.cumsum(turns * generator.integers(1, 4, size=turns.shape), axis=0) % 4
    positions = trajectory.positions.copy()
    positions[:, 30:] += corners[corner]
    result = verdict_of(
        Trajectory(positions, trajectory.cells, trajectory.species, trajectory.times_ps, True)
    )
    assert result.tracer_diffusivity.verdict == "diffusive"


def test_an_all_mobile_system_is_measured_against_its_centre_of_mass():
    trajectory, truth = diffusing()
    result = verdict_of(trajectory.select_atoms(trajectory.indices("Li")))
    assert result.tracer_diffusivity.verdict == "diffusive"
    assert result.tracer_diffusivity.lower < truth < result.tracer_diffusivity.upper
    assert "no framework" in reasons(result)


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_a_handful_of_frames_is_refused(frames):
    trajectory, _ = diffusing()
    result = verdict_of(trajectory[:frames])
    assert result.tracer_diffusivity.verdict == "refused"
    assert f"{frames} frames are too few" in reasons(result)


def test_one_frame_and_impossible_options_are_input_errors():
    trajectory, _ = diffusing()
    with pytest.raises(TrajectoryError, match="more than one frame"):
        verdict_of(trajectory[:1])
    with pytest.raises(TrajectoryError, match="none given"):
        verdict_of()
    with pytest.raises(TrajectoryError, match="hop_distance_A"):
        verdict_of(trajectory, hop=-1.0)
    with pytest.raises(TrajectoryError, match="window_ps"):
        verdict_of(trajectory, window_ps=(10.0, 5000.0))
    with pytest.raises(SpeciesError, match="Na"):
        verdict_of(trajectory, species="Na")
    with pytest.raises(TrajectoryError, match="compositions"):
        verdict_of(trajectory, trajectory.select_atoms(range(30)))


def test_a_restart_from_other_positions_is_split_and_the_value_stays():
    trajectory, truth = diffusing()
    positions = trajectory.positions.copy()
    positions[900:] += np.random.default_rng(3).normal(scale=1.5, size=(1, 48, 3))
    broken = Trajectory(positions, trajectory.cells, trajectory.species, trajectory.times_ps, True)
    result = verdict_of(broken)
    assert result.n_pieces == 2
    assert "break off at frame 900" in reasons(result)
    assert result.tracer_diffusivity.lower < truth < result.tracer_diffusivity.upper


@pytest.mark.parametrize("wrapped", [False, True])
def test_one_percent_breathing_of_the_cell_leaves_the_value(wrapped):
    trajectory, _ = diffusing()
    plain = verdict_of(trajectory).tracer_diffusivity
    scale = 1 + 0.01 * np.sin(2 * np.pi * np.arange(FRAMES) / 45)[:, None, None]
    positions = trajectory.positions % 12 if wrapped else trajectory.positions
    breathing = Trajectory(
        positions * scale, trajectory.cells * scale, trajectory.species, trajectory.times_ps, not wrapped
    )
    found = verdict_of(breathing).tracer_diffusivity
    assert found.verdict == "diffusive"
    assert found.value == pytest.approx(plain.value, rel=0.01)


def test_a_sparse_dump_is_refused():
    generator = np.random.default_rng(5)
    fast = np.cumsum(generator.normal(scale=3.0, size=(400, IONS, 3)), axis=0)
    result = verdict_of(as_trajectory(fast, 10.0, generator, wrapped=True))
    assert result.tracer_diffusivity.verdict == "refused"
    assert "periodic image is a guess" in reasons(result)


def test_caged_ions_are_sub_diffusive():
    generator = np.random.default_rng(6)
    caged = vibrations((4000, IONS, 3), 1.8, 600.0, generator)
    result = verdict_of(as_trajectory(caged, STEP_PS, generator))
    assert result.tracer_diffusivity.verdict == "upper_limit"
    assert "sub-diffusive" in reasons(result)


def caged(seed):
    """Ions that rattle fast between two sites 3 Å apart, with some 20 jumps on by 3 Å among all of them."""
    generator = np.random.default_rng(seed)
    moved, diffusivity = uncorrelated_hops(1, IONS, FRAMES, 20, generator, hop_A=3.0)
    flips = np.cumsum(generator.random((FRAMES, IONS)) < 0.05, axis=0) + generator.integers(0, 2, IONS)
    rattling = np.zeros((FRAMES, IONS, 3))
    rattling[..., 0] = 3.0 * (flips % 2)
    moved = moved[0] + rattling + generator.normal(0, 0.15, (FRAMES, IONS, 3))
    return as_trajectory(moved, STEP_PS, generator), diffusivity / STEP_PS * A2_PER_PS


def test_a_limit_holds_also_where_no_line_can_be_fitted():
    without_line, missed, ratios = 0, 0, []
    for seed in range(100):
        trajectory, truth = caged(seed)
        result = verdict_of(trajectory, hop=3.0)
        found = result.tracer_diffusivity
        assert found.verdict == "upper_limit"
        missed += found.upper < truth
        ratios.append(found.upper / truth)
        if result.window is None:
            without_line += 1
            assert result.effective_jumps > 0
            assert "does not rise in a straight line" in reasons(result)
    assert without_line >= 5
    assert missed <= 5
    assert np.median(ratios) < 4


def test_a_limit_is_no_larger_for_a_slope_that_says_nothing():
    for seed in range(30):
        generator = np.random.default_rng(seed)
        # slow vibrations: what a fit takes for a slope is noise of them
        frozen = as_trajectory(vibrations((FRAMES, IONS, 3), 0.3, 60.0, generator), STEP_PS, generator)
        found = verdict_of(frozen).tracer_diffusivity
        unseen = 3.69 * 2.0**2 / (6 * IONS * (FRAMES - 1) * STEP_PS) * A2_PER_PS
        assert found.verdict == "upper_limit"
        assert unseen * 0.99 < found.upper < 5 * unseen


def test_few_jumps_are_an_upper_limit_above_the_truth():
    trajectory, truth = diffusing(jumps=12, seed=8)
    found = verdict_of(trajectory).tracer_diffusivity
    assert found.verdict == "upper_limit"
    assert found.lower == 0
    assert found.upper > truth


def test_replicas_are_pooled():
    first, second = (diffusing(seed=seed)[0] for seed in (0, 1))
    alone, both = verdict_of(first), verdict_of(first, second)
    assert both.n_pieces == 2
    assert both.effective_jumps == pytest.approx(
        alone.effective_jumps + verdict_of(second).effective_jumps, rel=0.15
    )
    assert both.window.fit_log_error < alone.window.fit_log_error


def test_drifting_temperature_is_told():
    trajectory, _ = diffusing()
    warming = Trajectory(
        trajectory.positions,
        trajectory.cells,
        trajectory.species,
        trajectory.times_ps,
        True,
        temperatures_K=np.linspace(500, 700, FRAMES),
        potential_energies_eV=np.linspace(-200, -190, FRAMES),
    )
    text = reasons(verdict_of(warming))
    assert "temperature drifts by +17%" in text
    assert "meV/atom" in text


@pytest.mark.parametrize("hop", [2.5, 3.2])
def test_hop_distance_is_seen_in_the_displacements(hop):
    """Ions 4 Å and more apart that hop less far than that."""
    generator = np.random.default_rng(3)
    moved, _ = uncorrelated_hops(1, IONS, FRAMES, 300, generator, hop)
    moved = moved[0] + vibrations((FRAMES, IONS, 3), 0.15, 3.0, generator)
    result = estimate_diffusivity([as_trajectory(moved, STEP_PS, generator, edge_A=40.0)], "Li")
    assert result.hop_distance_A == pytest.approx(hop, rel=0.15)
    assert result.tracer_diffusivity.verdict == "diffusive"


def test_a_run_taken_up_from_older_checkpoints_counts_nothing_twice():
    """Files of a run that was killed three times, 100 frames after its last checkpoint each time."""
    trajectory, _ = diffusing()
    edges = (0, 500, 900, 1400, FRAMES)
    files = [trajectory[a : min(b + 100, FRAMES)] for a, b in pairwise(edges)]
    joined = concatenate(files)
    assert joined.segment_starts == edges[:-1]
    np.testing.assert_array_equal(joined.positions, trajectory.positions)
    result, plain = verdict_of(joined), verdict_of(trajectory)
    assert result.n_pieces == 1
    assert result.tracer_diffusivity == plain.tracer_diffusivity
    with pytest.raises(TrajectoryError, match="trajectory 2 begins at a frame of trajectory 1"):
        verdict_of(*files)


@pytest.mark.parametrize("wrapped", [False, True])
def test_no_window_crosses_a_gap(wrapped):
    trajectory, truth = diffusing(wrapped=wrapped)
    joined = concatenate([trajectory[:900], trajectory[1100:]])
    result = verdict_of(joined)
    assert result.n_pieces == 2
    assert "frames are missing before frame 900" in reasons(result)
    assert result.total_time_ps == pytest.approx((899 + 899) * STEP_PS)
    assert result.tracer_diffusivity.verdict == "diffusive"
    assert result.tracer_diffusivity.lower < truth < result.tracer_diffusivity.upper


def test_a_segment_start_makes_a_small_break_visible():
    """Three of 24 ions are elsewhere after a restart: chance in any frame, a break where a segment begins."""
    trajectory, _ = diffusing(jumps=100)
    positions = trajectory.positions.copy()
    positions[1000:, :3] += [0.0, 2.0, 0.0]
    whole = Trajectory(positions, trajectory.cells, trajectory.species, trajectory.times_ps, True)
    assert verdict_of(whole).n_pieces == 1
    known = replace(whole, segment_starts=(0, 500, 1000))
    result = verdict_of(known)
    assert result.n_pieces == 2
    assert "break off at frame 1000" in reasons(result)
