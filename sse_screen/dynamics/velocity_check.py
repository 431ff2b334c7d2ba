"""Whether the velocities of a run fit its displacements, which they do at one time between frames only."""

from __future__ import annotations

import numpy as np

from sse_screen.dynamics.trajectory import Trajectory

_FRAMES = 200
# Both are far from what rounding, thermostats and the sums over few atoms can do, and near enough for the
# mistakes that are made: steps between frames left out, fs for ASE's unit of time (a factor of 10), half of
# the time step.
_TOO_FAR = 1.2
_TOO_SHORT = 0.8
_BALLISTIC_CORRELATION = 0.9


def frame_interval_of_velocities_fs(trajectory: Trajectory) -> float | None:
    r"""Estimate the time between frames from velocities and displacements, where the stated one cannot be.

    In equilibrium :math:`\langle|\Delta r|^2\rangle = 2\int_0^t (t-s) C(s) ds \le \langle v^2\rangle t^2`
    at any time t, as no autocorrelation of a stationary process exceeds its value at s = 0: atoms that have
    moved farther have moved for longer than is said. That they have moved for a shorter time can be told
    while they move nearly freely, when displacements are parallel to the mean of the velocities before and
    after.

    Parameters
    ----------
    trajectory : Trajectory
        Its first 200 frames up to the first restart are looked at.

    Returns
    -------
    float or None
        fs; the least that is possible where atoms have moved too far. None where the times of the frames can
        be right, without velocities, or with all of them zero.
    """
    end = min([*trajectory.segment_starts[1:2], trajectory.n_frames, _FRAMES])
    if trajectory.velocities is None or end < 2:
        return None
    velocities = trajectory.velocities[:end]
    interval_fs = 1000 * float(np.median(np.diff(trajectory.times_ps[:end])))
    displacements = _displacements(trajectory, end)
    free = interval_fs * (velocities[1:] + velocities[:-1]) / 2
    square, free_square = float(np.mean(displacements**2)), float(np.mean(free**2))
    ballistic = interval_fs**2 * float(np.mean(velocities**2))
    if min(square, free_square) == 0:
        return None
    if square > _TOO_FAR**2 * ballistic:
        return interval_fs * float(np.sqrt(square / ballistic))
    product = float(np.mean(displacements * free))
    slope = product / free_square
    if product > _BALLISTIC_CORRELATION * np.sqrt(square * free_square) and slope < _TOO_SHORT:
        return interval_fs * slope
    return None


def _displacements(trajectory: Trajectory, end: int) -> np.ndarray:
    """Return the displacements from frame to frame, the nearest images of wrapped positions, Å."""
    steps = np.diff(trajectory.positions[:end], axis=0)
    if trajectory.unwrapped:
        return steps
    fractional = np.einsum("tai,tij->taj", steps, np.linalg.inv(trajectory.cells[1:end]))
    return np.einsum("tai,tij->taj", fractional - np.round(fractional), trajectory.cells[1:end])
