"""Windowed displacement statistics at chosen lags, and the covariance they have under a hopping model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sse_screen.transport.displacements import displacement_tensor, mean_squared_displacement

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Windows of one lag and piece from which fourth moments are taken; means use all of them.
_MAXIMUM_WINDOWS = 400_000
# Concerted motion: blocks of time to compare, the fewest for a verdict, its confidence, what is a move.
_BLOCKS, _FEWEST_BLOCKS, _CERTAIN, _MOVED_A2 = 25, 8, 0.99, 3.0
_PAIRS = np.array([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)])


@dataclass(frozen=True, eq=False)
class LagStatistics:
    """Squared displacements at chosen lags, pooled over ions, time origins and pieces.

    Parameters
    ----------
    lags : numpy.ndarray
        Lags in frames, shape (n_lags,).
    time_step_ps : float
        Time between frames in ps.
    tensor_A2 : numpy.ndarray
        Mean of Δr_a Δr_b in Å², shape (n_lags, 3, 3).
    fourth_A4 : numpy.ndarray
        Mean of q qᵀ in Å⁴ with q = (xx, yy, zz, xy, xz, yz) of Δr, shape (n_lags, 6, 6).
    frames : tuple of int
        Number of frames of each piece.
    ions : tuple of int
        Number of ions of each piece.
    concerted_ions : float
        Number of ions that move together, by :func:`concerted_ions`.
    """

    lags: IntArray
    time_step_ps: float
    tensor_A2: FloatArray
    fourth_A4: FloatArray
    frames: tuple[int, ...]
    ions: tuple[int, ...]
    concerted_ions: float = 1.0

    @property
    def times_ps(self) -> FloatArray:
        """Lag times in ps, shape (n_lags,)."""
        return np.asarray(self.lags * self.time_step_ps, dtype=np.float64)

    @property
    def msd_A2(self) -> FloatArray:
        """Mean squared displacement in Å², shape (n_lags,)."""
        return np.einsum("lxx->l", self.tensor_A2)

    @property
    def variance_A4(self) -> FloatArray:
        """Variance of |Δr|² over windows and ions in Å⁴, shape (n_lags,)."""
        squares = self.fourth_A4[:, :3, :3].sum(axis=(1, 2))
        return np.asarray(np.maximum(squares - self.msd_A2**2, 0.0))

    def projected(self, projector: FloatArray) -> "LagStatistics":
        """Return the statistics of P Δr for a symmetric projector P, shape (3, 3)."""
        tensor = projector @ self.tensor_A2 @ projector
        # q' = K q with K_(ab),(cd) = P_ac P_bd + P_ad P_bc, each off-diagonal pair of q counted once.
        a, b = _PAIRS.T
        kernel = projector[np.ix_(a, a)] * projector[np.ix_(b, b)]
        swapped = projector[np.ix_(a, b)] * projector[np.ix_(b, a)]
        kernel = np.where((a == b)[None, :], kernel, kernel + swapped)
        fourth = kernel @ self.fourth_A4 @ kernel.T
        return replace(self, tensor_A2=tensor, fourth_A4=fourth)

    @property
    def ion_time_ps(self) -> float:
        """Sum over pieces of ions × duration, in ps."""
        return float(
            sum(n * (t - 1) for n, t in zip(self.ions, self.frames, strict=True)) * self.time_step_ps
        )


def geometric_lags(n_frames: int, count: int = 60, fraction: float = 0.7) -> IntArray:
    """Return about `count` lags from 1 frame to `fraction` of the longest piece, spaced geometrically."""
    last = max(1, int(fraction * (n_frames - 1)))
    return np.unique(np.round(np.geomspace(1, last, count)).astype(int))


def lag_statistics(
    pieces: Sequence[FloatArray], time_step_ps: float, lags: IntArray | None = None
) -> LagStatistics:
    """Return the displacement statistics of several pieces at common lags.

    Parameters
    ----------
    pieces : sequence of numpy.ndarray
        Displacements of the mobile ions in Å, each (n_frames, n_ions, 3); segments and replicas.
    time_step_ps : float
        Time between frames in ps, the same for all pieces.
    lags : numpy.ndarray, optional
        Lags in frames; geometric ones if not given.
    """
    if lags is None:
        lags = geometric_lags(max(len(piece) for piece in pieces))
    tensor, fourth = np.zeros((len(lags), 3, 3)), np.zeros((len(lags), 6, 6))
    windows = np.zeros(len(lags))
    for piece in pieces:
        n_frames, n_ions = piece.shape[:2]
        valid = np.flatnonzero(lags < n_frames)
        count = (n_frames - lags[valid]) * n_ions
        tensor[valid] += count[:, None, None] * displacement_tensor(piece)[lags[valid]]
        parts = np.ascontiguousarray(piece.transpose(2, 0, 1))
        for row, weight in zip(valid, count, strict=True):
            fourth[row] += weight * _fourth_moment(parts, int(lags[row]))
        windows[valid] += count
    tensor /= windows[:, None, None]
    fourth /= windows[:, None, None]
    frames, ions = tuple(len(piece) for piece in pieces), tuple(piece.shape[1] for piece in pieces)
    moved = np.einsum("lxx->l", tensor) >= _MOVED_A2
    lag = int(lags[np.argmax(moved)]) if moved.any() else int(lags[-1])
    return LagStatistics(lags, time_step_ps, tensor, fourth, frames, ions, concerted_ions(pieces, lag))


def concerted_ions(pieces: Sequence[FloatArray], lag: int) -> float:
    """Measure how many ions move together, by which the noise of a mean over ions exceeds independent ones'.

    Squared displacements are averaged over blocks of time, ion by ion. From block to block the mean over N
    independent ions varies by 1/N of what single ions do; the ratio of the two is the design effect of a
    sample of clusters (Kish 1965, Survey Sampling, ch. 5). Ions of a superionic crystal move in strings.

    Parameters
    ----------
    pieces : sequence of numpy.ndarray
        Displacements in Å, each (n_frames, n_ions, 3).
    lag : int
        Time in frames in which ions move; shortened to a quarter of a block.

    Returns
    -------
    float
        1 where it is not larger with 99 % confidence, or cannot be told.
    """
    length = sum(len(piece) for piece in pieces) // _BLOCKS
    lag = min(lag, length // 4)
    if lag < 1:
        return 1.0
    blocks = []
    for piece in pieces:
        squares = np.sum((piece[lag:] - piece[:-lag]) ** 2, axis=2)
        n_blocks = len(squares) // length
        blocks.append(squares[: n_blocks * length].reshape(n_blocks, length, -1).mean(axis=1))
    if len({block.shape[1] for block in blocks}) != 1 or sum(map(len, blocks)) < _FEWEST_BLOCKS:
        return 1.0
    activity = np.concatenate(blocks)
    n_blocks, n_ions = activity.shape
    single = float(activity.var(ddof=1))
    if n_ions < 2 or not single > 0:
        return 1.0
    ratio = n_ions * float(activity.mean(axis=1).var(ddof=1)) / single
    largest_by_chance = scipy.stats.chi2.ppf(_CERTAIN, n_blocks - 1) / (n_blocks - 1)
    return ratio if ratio > largest_by_chance else 1.0


def pooled_curve(pieces: Sequence[FloatArray], lags: IntArray) -> FloatArray:
    """Return the mean squared displacement in Å² of several pieces at some lags, shape (n_lags,)."""
    total, windows = np.zeros(len(lags)), np.zeros(len(lags))
    for piece in pieces:
        valid = lags < len(piece)
        count = (len(piece) - lags[valid]) * piece.shape[1]
        total[valid] += count * mean_squared_displacement(piece)[lags[valid]]
        windows[valid] += count
    return total / np.maximum(windows, 1)


def _fourth_moment(parts: FloatArray, lag: int) -> FloatArray:
    """Return the mean of q qᵀ over some windows of (3, n_frames, n_ions) displacements, shape (6, 6)."""
    # Windows that overlap by three quarters tell next to nothing new, and no hop falls between them.
    stride = max(1, lag // 4, (parts.shape[1] - lag) * parts.shape[2] // _MAXIMUM_WINDOWS)
    steps = (parts[:, lag::stride] - parts[:, :-lag:stride]).reshape(3, -1)
    products = steps[_PAIRS[:, 0]] * steps[_PAIRS[:, 1]]
    return np.asarray(products @ products.T / products.shape[1])


@dataclass(frozen=True, eq=False)
class WindowOverlaps:
    """Integrals of the overlap of time windows over all pairs of origins, pooled over pieces.

    Parameters
    ----------
    first : numpy.ndarray
        Σ n ∬ overlap / (Σ n (T − t_i) Σ n (T − t_j)) in ps, shape (n_lags, n_lags).
    second : numpy.ndarray
        The same of overlap², in ps².
    """

    first: FloatArray
    second: FloatArray


def window_overlaps(statistics: LagStatistics) -> WindowOverlaps:
    """Return the pooled overlap integrals for the lags of `statistics`.

    Two windows of lengths t_i and t_j whose origins differ by s overlap by a piecewise linear function of s,
    and the number of such pairs is piecewise linear too; each product is integrated exactly by two-point
    Gauss quadrature between the break points. This is the finite-length form of the overlap terms of
    Qian, Sheetz, Elson, Biophys. J. 60, 910 (1991), eq. 8.
    """
    times = statistics.times_ps
    first = np.zeros((len(times), len(times)))
    second = np.zeros_like(first)
    origins = np.zeros(len(times))
    unique, counts = np.unique(
        np.stack([statistics.frames, statistics.ions], axis=1), axis=0, return_counts=True
    )
    for (frames, ions), count in zip(unique, counts, strict=True):
        # The origins of a piece of n frames cover n − lag places of one time step each.
        length = frames * statistics.time_step_ps
        valid = times < length - 0.5 * statistics.time_step_ps
        one, two = _piece_overlaps(times[valid], length)
        index = np.ix_(valid, valid)
        first[index] += ions * count * one
        second[index] += ions * count * two
        origins[valid] += ions * count * (length - times[valid])
    scale = np.outer(origins, origins)
    return WindowOverlaps(first / scale, second / scale)


def _piece_overlaps(times: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Return ∬ overlap and ∬ overlap² over the origins of one piece, shape (n, n) each."""
    t1, t2 = np.meshgrid(times, times, indexing="ij")
    low = np.maximum(-t2, -(length - t1))
    high = np.minimum(t1, length - t2)
    edges = np.stack([-t2, t1 - length, t1 - t2, np.zeros_like(t1), t1, length - t2])
    edges = np.sort(np.clip(edges, low, high), axis=0)
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    one, two = np.zeros_like(t1), np.zeros_like(t1)
    for node in (-1 / np.sqrt(3), 1 / np.sqrt(3)):
        s = middle + half * node
        overlap = np.maximum(np.minimum(t1, s + t2) - np.maximum(0.0, s), 0.0)
        pairs = np.maximum(np.minimum(length - t1, length - t2 - s) - np.maximum(0.0, -s), 0.0)
        one += (half * pairs * overlap).sum(axis=0)
        two += (half * pairs * overlap**2).sum(axis=0)
    return one, two
