"""Short vectors of many lattices, compiled: a survey reduces hundreds of thousands of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials.vector_math import plain

_TIE = 1e-9


@plain
def _nearest(value: float) -> int:
    """Round to the nearest whole number, halves towards zero."""
    whole = math.ceil(abs(value) - 0.5 - _TIE)
    return -whole if value < 0 else whole


@plain
def _gram_schmidt(gram: NDArray[np.float64], mu: NDArray[np.float64], norms: NDArray[np.float64]) -> None:
    """Write the Gram-Schmidt coefficients and squared norms of three vectors from their scalar products."""
    mu[1, 0], mu[2, 0] = gram[1, 0] / gram[0, 0], gram[2, 0] / gram[0, 0]
    norms[0], norms[1] = gram[0, 0], gram[1, 1] - mu[1, 0] * gram[1, 0]
    rest = gram[2, 1] - mu[2, 0] * gram[1, 0]
    mu[2, 1] = rest / norms[1]
    norms[2] = gram[2, 2] - mu[2, 0] * gram[2, 0] - mu[2, 1] * rest


@plain
def reduce_lattices(grams: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the LLL reductions (Lenstra, Lenstra, Lovász 1982, δ = 3/4) of three vectors each.

    Ties, which symmetric lattices are full of, are broken the same way whatever the last digits are.

    Parameters
    ----------
    grams : ndarray of shape (n, 3, 3)
        Scalar products of the vectors of each lattice; overwritten by those of the reduced ones.

    Returns
    -------
    ndarray of shape (n, 3, 3)
        Whole matrices; their rows times the given vectors are the reduced ones.
    """
    reductions = np.zeros(grams.shape, dtype=np.int64)
    mu, norms = np.zeros((3, 3)), np.zeros(3)
    for n in range(len(grams)):
        gram, rows = grams[n], reductions[n]
        for i in range(3):
            rows[i, i] = 1
        k = 1
        while k < 3:
            for j in range(k - 1, -1, -1):
                _gram_schmidt(gram, mu, norms)
                q = _nearest(mu[k, j])
                if q != 0:
                    for i in range(3):
                        rows[k, i] -= q * rows[j, i]
                        gram[k, i] -= q * gram[j, i]
                    for i in range(3):
                        gram[i, k] -= q * gram[i, j]
            _gram_schmidt(gram, mu, norms)
            if norms[k] >= (0.75 - mu[k, k - 1] ** 2 - _TIE) * norms[k - 1]:
                k += 1
                continue
            for i in range(3):
                rows[k, i], rows[k - 1, i] = rows[k - 1, i], rows[k, i]
                gram[k, i], gram[k - 1, i] = gram[k - 1, i], gram[k, i]
            for i in range(3):
                gram[i, k], gram[i, k - 1] = gram[i, k - 1], gram[i, k]
            k = 1
    return reductions
