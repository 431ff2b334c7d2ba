"""Compiled bases of CHGNet: of bond lengths and of angles, with their derivatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials.matrix_product import multiply_add
from sse_screen.potentials.vector_math import exact, sine_cosine, sums

N_BASIS = 32
HALF_BASIS = 16
_BLOCK = 256


@exact
def radial_basis(
    lengths: NDArray, frequencies: NDArray, cutoff: float, p: int, basis: NDArray, slope: NDArray
) -> None:
    """Bessel basis times cutoff polynomial, and its derivative by the length.

    Gasteiger et al., arXiv:2003.03123, eqs. 7 and 8, with CHGNet's trained frequencies.
    """
    a, b, c = -(p + 1) * (p + 2) / 2, p * (p + 2), -p * (p + 1) / 2
    norm = np.sqrt(2 / cutoff)
    for bond in range(len(lengths)):
        length = lengths[bond]
        x = length / cutoff
        power = x ** (p - 1)
        envelope = 1 + power * x * (a + x * (b + x * c))
        steepness = power * (p * a + x * ((p + 1) * b + x * (p + 2) * c)) / cutoff
        if x >= 1:
            envelope = steepness = 0.0
        scale = np.float32(norm * envelope / length)
        scale_slope = np.float32(norm * (steepness - envelope / length) / length)
        per_cutoff = np.float32(1 / cutoff)
        for k in range(N_BASIS):
            sine, cosine = sine_cosine(np.float64(frequencies[k]) * x)
            basis[bond, k] = scale * sine
            slope[bond, k] = scale_slope * sine + scale * cosine * (frequencies[k] * per_cutoff)


@exact
def angle_basis(
    directions: NDArray,
    first: NDArray,
    second: NDArray,
    frequencies: NDArray,
    basis: NDArray,
    per_sine: NDArray,
) -> None:
    """Fourier basis of the angles between pairs of unit vectors: 16 sines, 16 cosines.

    ``per_sine`` becomes the derivative of the angle by the vectors' scalar product.
    """
    norm = np.float32(1 / np.sqrt(np.pi))
    for angle in range(len(first)):
        i, j = first[angle], second[angle]
        product = (
            directions[i, 0] * directions[j, 0]
            + directions[i, 1] * directions[j, 1]
            + directions[i, 2] * directions[j, 2]
        )
        cosine_angle = product * (1 - 1e-6)
        theta = np.arccos(cosine_angle)
        per_sine[angle] = -(1 - 1e-6) / np.sqrt(1 - cosine_angle * cosine_angle)
        for k in range(HALF_BASIS):
            sine, cosine = sine_cosine(np.float64(frequencies[k]) * theta)
            basis[angle, k] = norm * sine
            basis[angle, HALF_BASIS + k] = norm * cosine


@sums
def angle_gradient(
    gradient: NDArray,
    basis_gradient: NDArray,
    embedding: NDArray,
    basis: NDArray,
    frequencies: NDArray,
    per_sine: NDArray,
    directions: NDArray,
    first: NDArray,
    second: NDArray,
    direction_gradient: NDArray,
) -> None:
    """Carry derivatives by angle features and by their basis on to the unit vectors of short edges."""
    by_basis = np.empty((_BLOCK, N_BASIS), dtype=np.float32)
    for start in range(0, len(first), _BLOCK):
        stop = min(start + _BLOCK, len(first))
        by_basis[: stop - start] = basis_gradient[start:stop]
        multiply_add(gradient[start:stop], embedding, by_basis[: stop - start])
        for angle in range(start, stop):
            by_angle = np.float32(0)
            for k in range(HALF_BASIS):
                by_angle += frequencies[k] * (
                    by_basis[angle - start, k] * basis[angle, HALF_BASIS + k]
                    - by_basis[angle - start, HALF_BASIS + k] * basis[angle, k]
                )
            by_product = np.float64(by_angle) * per_sine[angle]
            i, j = first[angle], second[angle]
            for axis in range(3):
                direction_gradient[i, axis] += by_product * directions[j, axis]
                direction_gradient[j, axis] += by_product * directions[i, axis]


@sums
def scatter_vectors(rows: NDArray, sign: NDArray, index: NDArray, out: NDArray) -> None:
    """Add each signed vector to the row of ``out`` that ``index`` names."""
    for row in range(len(index)):
        for axis in range(3):
            out[index[row], axis] += sign[row] * rows[row, axis]
