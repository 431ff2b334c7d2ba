"""Two roads to one number: jumps times their correlation factor, and the mean squared displacement."""

import numpy as np
import pytest

from sse_screen.documents.site_network import SiteNetwork
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.transport.analysis import analyze_transport
from sse_screen.transport.site_analysis import analyse_sites

AXES = np.concatenate([np.eye(3), -np.eye(3)]).astype(int)


def back_jumping_walk(back_jump: float, n_frames: int = 4000, n: int = 32) -> Trajectory:
    """Walkers on a simple cubic lattice of 3 Å that undo their last jump at times."""
    rng = np.random.default_rng(7)
    position = rng.integers(0, 3, (n, 3))
    last = rng.integers(0, 6, n)
    frames = np.empty((n_frames, n, 3))
    for t in range(n_frames):
        reverse = (last + 3) % 6
        others = (reverse + 1 + rng.integers(0, 5, n)) % 6
        direction = np.where(rng.random(n) < back_jump, reverse, others)
        moves = rng.random(n) < 0.05
        position = position + AXES[direction] * moves[:, None]
        last = np.where(moves, direction, last)
        frames[t] = position
    lithium = frames * 3.0 + rng.normal(0, 0.15, frames.shape)
    cubes = np.array(list(np.ndindex(3, 3, 3))) + 0.5
    sulphur = cubes * 3.0 + rng.normal(0, 0.05, (n_frames, 27, 3))
    return Trajectory(
        positions=np.concatenate([lithium, sulphur], axis=1),
        cells=np.eye(3) * 9.0,
        species=("Li",) * n + ("S",) * 27,
        times_ps=np.arange(n_frames) * 0.1,
        unwrapped=True,
    )


@pytest.mark.parametrize("back_jump", [1 / 6, 0.6])
def test_correlation_factor_closes_the_gap_to_the_tracer_diffusivity(back_jump: float) -> None:
    trajectory = back_jumping_walk(back_jump)
    network = SiteNetwork.of(analyse_sites([trajectory], "Li"), "Li", 600.0)
    cosine = -back_jump + (1 - back_jump) / 5
    exact = 0.5 * 9.0 / 6 * (1 + cosine) / (1 - cosine) * 1e-4
    from_jumps = network.random_walk_diffusivity.value * network.correlation_factor.value
    assert from_jumps == pytest.approx(exact, rel=0.1)
    tracer = analyze_transport([trajectory], "Li").tracer_diffusivity
    assert tracer.lower < exact < tracer.upper
    assert tracer.lower < from_jumps < tracer.upper
