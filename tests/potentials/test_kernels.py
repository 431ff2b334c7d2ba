"""The compiled pieces against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.potentials.basis_kernels import N_BASIS, angle_basis, radial_basis
from sse_screen.potentials.matrix_product import multiply, multiply_add, product
from sse_screen.potentials.vector_math import exponential, sine_cosine


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(0, 40),
    depth=st.sampled_from([1, 3, 32, 64, 128]),
    width=st.sampled_from([32, 64, 96, 128]),
    seed=st.integers(0, 99),
)
def test_products_of_all_shapes(n, depth, width, seed):
    rng = np.random.default_rng(seed)
    a, b, start = (
        rng.standard_normal(s).astype(np.float32) for s in ((n, depth), (depth, width), (n, width))
    )
    exact = a.astype(float) @ b.astype(float)
    guarded = np.full((n + 1, width), 7, dtype=np.float32)
    multiply(a, b, guarded[:n])
    np.testing.assert_allclose(guarded[:n], exact, atol=1e-4)
    assert (guarded[n] == 7).all()
    np.testing.assert_array_equal(product(a, b), guarded[:n])
    multiply_add(a, b, start_copy := start.copy())
    np.testing.assert_allclose(start_copy, start + exact, atol=1e-4)


@pytest.mark.parametrize("x", [-40, -20.5, -1, -1e-6, 0, 1e-6, 0.3, 1, 7.7, 39.9])
def test_exponential(x):
    assert exponential(np.float32(x)) == pytest.approx(np.exp(np.float64(np.float32(x))), rel=2e-7)


def test_exponential_is_limited_where_sigmoids_are_0_or_1():
    assert exponential(np.float32(1000)) == pytest.approx(np.exp(40.0), rel=1e-6)
    assert exponential(np.float32(-1000)) == pytest.approx(np.exp(-40.0), rel=1e-6)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(-150, 150))
def test_sine_and_cosine(phase):
    assert sine_cosine(phase) == pytest.approx((np.sin(phase), np.cos(phase)), abs=2e-7)


def test_radial_basis_and_its_slope():
    lengths = np.array([0.8, 1.9, 3.3, 5.9, 6.0, 6.4])
    frequencies = (np.pi * np.arange(1, N_BASIS + 1)).astype(np.float32)

    def values(at):
        basis, slope = (np.empty((len(at), N_BASIS), dtype=np.float32) for _ in range(2))
        radial_basis(at, frequencies, 6.0, 8, basis, slope)
        return basis, slope

    x = lengths[:, None] / 6
    envelope = np.where(x < 1, 1 - 45 * x**8 + 80 * x**9 - 36 * x**10, 0)
    expected = np.sqrt(2 / 6) * np.sin(frequencies * x) / lengths[:, None] * envelope
    basis, slope = values(lengths)
    np.testing.assert_allclose(basis, expected, atol=3e-6)
    h = 1e-3
    numeric = (values(lengths + h)[0].astype(float) - values(lengths - h)[0]) / (2 * h)
    np.testing.assert_allclose(slope, numeric, atol=2e-3 * np.abs(slope).max())
    assert not basis[4:].any()


def test_angle_basis():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((6, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    first, second = np.array([0, 2, 4]), np.array([1, 3, 5])
    frequencies = np.arange(1, 17).astype(np.float32)
    basis, per_sine = np.empty((3, 32), dtype=np.float32), np.empty(3)
    angle_basis(directions, first, second, frequencies, basis, per_sine)
    theta = np.arccos((directions[first] * directions[second]).sum(axis=1) * (1 - 1e-6))
    phase = theta[:, None] * frequencies
    np.testing.assert_allclose(basis, np.hstack([np.sin(phase), np.cos(phase)]) / np.sqrt(np.pi), atol=3e-7)
    np.testing.assert_allclose(per_sine, -(1 - 1e-6) / np.sin(theta), rtol=1e-9)
