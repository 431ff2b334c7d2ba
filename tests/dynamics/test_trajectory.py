"""The trajectory array form: validation, slicing, joining and the npz form."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError, concatenate


def make(n_frames=6, n_atoms=3, start_ps=0.0, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "positions": rng.normal(size=(n_frames, n_atoms, 3)),
        "cells": np.eye(3) * 10,
        "species": ("Li", "Li", "S")[:n_atoms],
        "times_ps": start_ps + 0.1 * np.arange(n_frames),
        "unwrapped": True,
    }
    return Trajectory(**(values | changes))


def test_one_cell_is_repeated_and_volumes_follow():
    trajectory = make()
    assert trajectory.cells.shape == (6, 3, 3)
    np.testing.assert_allclose(trajectory.volumes_A3, 1000.0)
    assert trajectory.segment_starts == (0,)
    assert trajectory.indices("Li").tolist() == [0, 1]
    assert trajectory.time_step_ps == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"positions": np.zeros((6, 9))}, "positions"),
        ({"positions": np.full((6, 3, 3), np.nan)}, "positions"),
        ({"cells": np.zeros((3, 3))}, "cells"),
        ({"cells": np.zeros((5, 3, 3))}, "cells"),
        ({"species": ("Li",)}, "species"),
        ({"times_ps": np.zeros(6)}, "times_ps"),
        ({"times_ps": ["a"] * 6}, "times_ps"),
        ({"velocities": np.zeros((6, 2, 3))}, "velocities"),
        ({"temperatures_K": np.zeros(5)}, "temperatures_K"),
        ({"segment_starts": (0, 6)}, "segment_starts"),
    ],
)
def test_impossible_arrays_are_refused_by_name(changes, field):
    with pytest.raises(TrajectoryError, match=field):
        make(**changes)


def test_uneven_times_have_no_time_step():
    with pytest.raises(TrajectoryError, match="equal spacing"):
        _ = make(times_ps=np.array([0, 1, 2, 3, 4, 6.0])).time_step_ps
    with pytest.raises(TrajectoryError, match="one frame"):
        _ = make(n_frames=1).time_step_ps


def test_float32_times_are_equally_spaced():
    times = (1000 + 0.002 * np.arange(50)).astype(np.float32)
    assert make(n_frames=50, times_ps=times).time_step_ps == pytest.approx(0.002, rel=1e-2)


@given(st.integers(0, 10), st.integers(1, 12), st.integers(1, 4))
def test_slices_keep_frames_and_segment_starts_together(start, length, step):
    trajectory = make(n_frames=23, segment_starts=(0, 5, 11, 12), temperatures_K=np.arange(23.0))
    part = trajectory[start : start + length : step]
    np.testing.assert_array_equal(part.temperatures_K, np.arange(23.0)[start : start + length : step])
    for first in part.segment_starts[1:]:
        before, here = part.temperatures_K[first - 1], part.temperatures_K[first]
        assert any(before < old <= here for old in (5, 11, 12))


def test_after_drops_equilibration_and_refuses_to_drop_all():
    assert make().after(0.25).times_ps[0] == pytest.approx(0.3)
    with pytest.raises(TrajectoryError, match="leaves nothing"):
        make().after(1.0)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(TrajectoryError, match="zero or more"):
            make().after(wrong)
    with pytest.raises(TrajectoryError, match="select nothing"):
        _ = make()[4:2]


def test_archive_round_trip_is_exact_and_its_bytes_repeat():
    trajectory = make(
        velocities=np.ones((6, 3, 3), dtype=np.float32),
        temperatures_K=np.arange(6.0),
        segment_starts=(0, 3),
    )
    content = trajectory.to_bytes()
    assert (
        content
        == make(
            velocities=np.ones((6, 3, 3), dtype=np.float32),
            temperatures_K=np.arange(6.0),
            segment_starts=(0, 3),
        ).to_bytes()
    )
    back = Trajectory.from_bytes(content)
    for name in ("positions", "cells", "times_ps", "velocities", "temperatures_K"):
        np.testing.assert_array_equal(getattr(back, name), getattr(trajectory, name))
    assert back.velocities.dtype == np.float32
    assert (back.species, back.unwrapped, back.segment_starts) == (trajectory.species, True, (0, 3))
    assert back.potential_energies_eV is None


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_foreign_bytes_are_refused(content):
    with pytest.raises(TrajectoryError):
        Trajectory.from_bytes(content)
    buffer = io.BytesIO()
    np.savez(buffer, positions=np.zeros(3))
    with pytest.raises(TrajectoryError, match="not a trajectory archive"):
        Trajectory.from_bytes(buffer.getvalue())


def test_segments_join_at_a_repeated_checkpoint():
    whole = make(n_frames=9, temperatures_K=np.arange(9.0))
    joined = concatenate([whole[:5], whole[4:]])
    np.testing.assert_array_equal(joined.positions, whole.positions)
    np.testing.assert_allclose(joined.times_ps, whole.times_ps)
    assert joined.segment_starts == (0, 5)


def test_segments_whose_clock_starts_again_are_shifted():
    whole = make(n_frames=9)
    second = make(n_frames=4, positions=whole.positions[5:])
    joined = concatenate([whole[:5], second])
    np.testing.assert_allclose(joined.times_ps, whole.times_ps)
    assert joined.time_step_ps == pytest.approx(0.1)


def test_segments_of_other_atoms_are_refused():
    with pytest.raises(TrajectoryError, match="species"):
        concatenate([make(), make(species=("Li", "S", "Li"))])
    with pytest.raises(TrajectoryError, match="unwrapped"):
        concatenate([make(), make(unwrapped=False)])
    with pytest.raises(TrajectoryError, match="none given"):
        concatenate([])


def test_atoms_are_selected_with_their_velocities():
    part = make(velocities=np.arange(54.0).reshape(6, 3, 3)).select_atoms([2])
    assert part.species == ("S",)
    np.testing.assert_array_equal(part.velocities[0, 0], [6, 7, 8])


def test_a_segment_from_an_older_checkpoint_replaces_what_was_given_up():
    """Frames 5 to 8 of the first segment were run again, differently: nothing counts twice."""
    whole, again = make(n_frames=9), make(n_frames=12, positions=make(n_frames=12).positions + 0.5)
    joined = concatenate([whole, again[5:]])
    assert joined.segment_starts == (0, 5)
    np.testing.assert_allclose(joined.times_ps, 0.1 * np.arange(12))
    np.testing.assert_array_equal(joined.positions[:5], whole.positions[:5])
    np.testing.assert_array_equal(joined.positions[5:], again.positions[5:])
    assert joined.gaps == ()
    # A third one, on a clock that starts again, and a fourth on that clock.
    third = concatenate([joined, make(n_frames=6), make(n_frames=8)[4:]])
    assert third.segment_starts == (0, 5, 12, 16)
    np.testing.assert_allclose(third.times_ps, 0.1 * np.arange(20))


def test_frames_missing_between_segments_are_a_gap():
    whole = make(n_frames=20)
    joined = concatenate([whole[:8], whole[12:]])
    assert joined.gaps == (8,)
    assert joined.time_step_ps == pytest.approx(0.1)
    parts = joined.continuous_parts()
    assert [len(part) for part in parts] == [8, 8]
    np.testing.assert_array_equal(parts[1].positions, whole.positions[12:])
    assert [len(part) for part in whole.continuous_parts()] == [20]
    single = concatenate([whole[:8], whole[12:13]])
    assert [len(part) for part in single.continuous_parts()] == [8]
