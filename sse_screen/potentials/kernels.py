"""Compiled loops of the fast CHGNet: gathers, gates, layer norms and their derivatives, by blocks of rows.

Blocks are small enough to stay in a core's cache between the matrix products, so that nothing but what the
way back needs is written to memory. Inner loops write to few arrays each, and none may raise (numpy's error
model): that lets the compiler make vector code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

WIDTH = 64
BLOCK = 256
N_BASIS = 32
HALF_BASIS = 16

_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_PER_WIDTH = np.float32(1 / WIDTH)
_EPSILON = np.float32(1e-5)  # of torch.nn.LayerNorm
_LOG2_E = np.float32(np.log2(np.e))
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUNDER = np.float32(1.5 * 2**23)
_EXP_LIMIT = np.float32(80)
_E5, _E4 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3)
_E3, _E2 = np.float32(8.3334519073e-3), np.float32(4.1665795894e-2)
_E1, _E0 = np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_S2, _S1, _S0 = np.float32(-1.9515295891e-4), np.float32(8.3321608736e-3), np.float32(-1.6666654611e-1)
_C2, _C1, _C0 = (
    np.float32(2.443315711809948e-5),
    np.float32(-1.388731625493765e-3),
    np.float32(4.166664568298827e-2),
)

# Reassociation is for sums only; in the functions of one number it would undo the two-step range reduction.
_plain = njit(cache=True, error_model="numpy")
_exact = njit(cache=True, error_model="numpy", fastmath={"contract", "nsz"})
_sums = njit(cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@intrinsic
def _power_of_two(typing_context: Any, exponent: Any) -> Any:
    """2**n of a float32 that holds an integer, by writing its exponent bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        bits = builder.add(builder.fptosi(arguments[0], integer), ir.Constant(integer, 127))
        return builder.bitcast(builder.shl(bits, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.float32), generate


@_exact
def exponential(x: Any) -> Any:
    """Exp of a float32 to 2 units in the last place (polynomial of the Cephes library), limited to +-80."""
    x = x if x < _EXP_LIMIT else _EXP_LIMIT
    x = x if x > -_EXP_LIMIT else -_EXP_LIMIT
    n = (x * _LOG2_E + _ROUNDER) - _ROUNDER
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return (p * r * r + r + _ONE) * _power_of_two(n)  # type: ignore[call-arg]


@_exact
def _sine_cosine(phase: Any) -> Any:
    """Sine and cosine of a float64 phase, as float32 (polynomials of the Cephes library)."""
    quarter = np.floor(phase * (2 / np.pi) + 0.5)
    r = np.float32(phase - quarter * (np.pi / 2))
    turn = np.int32(quarter)
    square = r * r
    sine = ((_S2 * square + _S1) * square + _S0) * square * r + r
    cosine = ((_C2 * square + _C1) * square + _C0) * square * square - _HALF * square + _ONE
    if turn & 1:
        sine, cosine = cosine, -sine
    if turn & 2:
        sine, cosine = -sine, -cosine
    return sine, cosine


@_exact
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
            sine, cosine = _sine_cosine(np.float64(frequencies[k]) * x)
            basis[bond, k] = scale * sine
            slope[bond, k] = scale_slope * sine + scale * cosine * (frequencies[k] * per_cutoff)


@_exact
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
            sine, cosine = _sine_cosine(np.float64(frequencies[k]) * theta)
            basis[angle, k] = norm * sine
            basis[angle, HALF_BASIS + k] = norm * cosine


@_sums
def angle_gradient(
    gradient: NDArray,
    embedding: NDArray,
    basis: NDArray,
    frequencies: NDArray,
    per_sine: NDArray,
    directions: NDArray,
    first: NDArray,
    second: NDArray,
    direction_gradient: NDArray,
) -> None:
    """Carry the derivative by angle features on to the unit vectors of the short edges."""
    by_basis = np.empty((BLOCK, N_BASIS), dtype=np.float32)
    for start in range(0, len(first), BLOCK):
        stop = min(start + BLOCK, len(first))
        np.dot(gradient[start:stop], embedding, by_basis[: stop - start])
        for angle in range(start, stop):
            by_angle = _ZERO
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


@_sums
def scatter_add(rows: NDArray, index: NDArray, out: NDArray) -> None:
    """Add each row to the row of ``out`` that ``index`` names."""
    for row in range(len(index)):
        to = index[row]
        for k in range(2 * WIDTH):
            out[to, k] += rows[row, k]


@_exact
def _activate(
    x: NDArray,
    ix: NDArray,
    y: NDArray,
    iy: NDArray,
    z: NDArray,
    iz: NDArray,
    core: NDArray,
    gate: NDArray,
    slope: NDArray,
) -> None:
    """SiLU of x[ix] + y[iy] + z[iz] into core and gate, its derivative into slope."""
    for row in range(len(ix)):
        a, b, c = ix[row], iy[row], iz[row]
        for k in range(WIDTH):
            value = x[a, k] + y[b, k] + z[c, k]
            sigmoid = _ONE / (_ONE + exponential(-value))
            core[row, k] = value * sigmoid
            slope[row, k] = sigmoid * (_ONE + value * (_ONE - sigmoid))
        for k in range(WIDTH):
            value = x[a, WIDTH + k] + y[b, WIDTH + k] + z[c, WIDTH + k]
            sigmoid = _ONE / (_ONE + exponential(-value))
            gate[row, k] = value * sigmoid
            slope[row, WIDTH + k] = sigmoid * (_ONE + value * (_ONE - sigmoid))


@_sums
def _normalise(values: NDArray, bias: NDArray, offset: int, inverse: NDArray) -> None:
    """Add the bias and take out mean and standard deviation of each row, in place."""
    for row in range(len(values)):
        total = _ZERO
        for k in range(WIDTH):
            total += values[row, k] + bias[offset + k]
        mean = total * _PER_WIDTH
        squares = _ZERO
        for k in range(WIDTH):
            difference = values[row, k] + bias[offset + k] - mean
            squares += difference * difference
        scale = _ONE / np.sqrt(squares * _PER_WIDTH + _EPSILON)
        inverse[row] = scale
        for k in range(WIDTH):
            values[row, k] = (values[row, k] + bias[offset + k] - mean) * scale


@_exact
def _aggregate(
    core: NDArray, gate: NDArray, norm: NDArray, weights: NDArray, iw: NDArray, target: NDArray, out: NDArray
) -> None:
    """Add SiLU(core) sigmoid(gate) weights[iw] to out[target]."""
    for row in range(len(iw)):
        to, by = target[row], iw[row]
        for k in range(WIDTH):
            y = core[row, k] * norm[0, k] + norm[1, k]
            z = gate[row, k] * norm[2, k] + norm[3, k]
            both = (_ONE + exponential(-y)) * (_ONE + exponential(-z))
            out[to, k] += y / both * weights[by, k]


@_sums
def _gate_slopes(core: NDArray, gate: NDArray, norm: NDArray, row: int, scratch: NDArray) -> None:
    """Into scratch: SiLU of the core, sigmoid of the gate, derivative of the SiLU."""
    for k in range(WIDTH):
        y = core[row, k] * norm[0, k] + norm[1, k]
        z = gate[row, k] * norm[2, k] + norm[3, k]
        sigmoid = _ONE / (_ONE + exponential(-y))
        scratch[0, k] = y * sigmoid
        scratch[1, k] = _ONE / (_ONE + exponential(-z))
        scratch[2, k] = sigmoid * (_ONE + y * (_ONE - sigmoid))


@_sums
def _norm_gradient(hat: NDArray, row: int, inverse: Any, scratch: NDArray, out: NDArray) -> None:
    """Derivative through a layer norm: from scratch[3] to the row of out."""
    total, along = _ZERO, _ZERO
    for k in range(WIDTH):
        total += scratch[3, k]
        along += scratch[3, k] * hat[row, k]
    total *= _PER_WIDTH
    along *= _PER_WIDTH
    for k in range(WIDTH):
        out[row, k] = inverse * (scratch[3, k] - total - hat[row, k] * along)


@_sums
def _gate_gradient(
    core: NDArray,
    gate: NDArray,
    inverse_core: NDArray,
    inverse_gate: NDArray,
    norm: NDArray,
    incoming: NDArray,
    target: NDArray,
    weights: NDArray,
    iw: NDArray,
    weight_gradient: NDArray,
    out_core: NDArray,
    out_gate: NDArray,
) -> None:
    """Derivatives by the rows before the layer norms, and by the weights."""
    scratch = np.empty((5, WIDTH), dtype=np.float32)
    for row in range(len(iw)):
        to, by = target[row], iw[row]
        _gate_slopes(core, gate, norm, row, scratch)
        for k in range(WIDTH):
            weight_gradient[by, k] += incoming[to, k] * scratch[0, k] * scratch[1, k]
        for k in range(WIDTH):
            scratch[4, k] = incoming[to, k] * weights[by, k] * scratch[1, k]
        for k in range(WIDTH):
            scratch[3, k] = scratch[4, k] * scratch[2, k] * norm[0, k]
        _norm_gradient(core, row, inverse_core[row], scratch, out_core)
        for k in range(WIDTH):
            scratch[3, k] = scratch[4, k] * scratch[0, k] * (_ONE - scratch[1, k]) * norm[2, k]
        _norm_gradient(gate, row, inverse_gate[row], scratch, out_gate)


@_plain
def convolution(
    own: NDArray,
    own_weight: NDArray,
    x: NDArray,
    ix: NDArray,
    y: NDArray,
    iy: NDArray,
    z: NDArray,
    iz: NDArray,
    second: NDArray,
    bias: NDArray,
    norm: NDArray,
    weights: NDArray,
    iw: NDArray,
    target: NDArray,
    slope: NDArray,
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
    out: NDArray,
) -> None:
    """Message passing of one layer: out[target] += gated MLP(x[ix] + y[iy] + z[iz]) weights[iw].

    With ``own`` given, its product with ``own_weight`` takes the place of z[iz]. ``slope``, ``core``,
    ``gate`` and ``inverse`` keep what :func:`convolution_gradient` needs.
    """
    hidden_core = np.empty((BLOCK, WIDTH), dtype=np.float32)
    hidden_gate = np.empty((BLOCK, WIDTH), dtype=np.float32)
    projected = np.empty((BLOCK, 2 * WIDTH), dtype=np.float32)
    local = np.arange(BLOCK)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        n = e - s
        if len(own):
            np.dot(own[s:e], own_weight, projected[:n])
            _activate(x, ix[s:e], y, iy[s:e], projected, local, hidden_core, hidden_gate, slope[s:e])
        else:
            _activate(x, ix[s:e], y, iy[s:e], z, iz[s:e], hidden_core, hidden_gate, slope[s:e])
        np.dot(hidden_core[:n], second[0], core[s:e])
        np.dot(hidden_gate[:n], second[1], gate[s:e])
        _normalise(core[s:e], bias, 0, inverse[0, s:e])
        _normalise(gate[s:e], bias, WIDTH, inverse[1, s:e])
        _aggregate(core[s:e], gate[s:e], norm, weights, iw[s:e], target[s:e], out)


@_sums
def _chain(hidden_core: NDArray, hidden_gate: NDArray, slope: NDArray) -> None:
    """Multiply the derivative of the activation by what comes back to it."""
    for row in range(len(slope)):
        for k in range(WIDTH):
            slope[row, k] *= hidden_core[row, k]
        for k in range(WIDTH):
            slope[row, WIDTH + k] *= hidden_gate[row, k]


@_plain
def convolution_gradient(
    incoming: NDArray,
    second_t: NDArray,
    norm: NDArray,
    weights: NDArray,
    iw: NDArray,
    target: NDArray,
    slope: NDArray,
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
    ix: NDArray,
    iy: NDArray,
    iz: NDArray,
    own_weight_t: NDArray,
    weight_gradient: NDArray,
    gradient_x: NDArray,
    gradient_y: NDArray,
    gradient_z: NDArray,
    gradient_own: NDArray,
) -> None:
    """Way back through :func:`convolution`: adds to the gradients of weights, x, y, and z or own."""
    by_core = np.empty((BLOCK, WIDTH), dtype=np.float32)
    by_gate = np.empty((BLOCK, WIDTH), dtype=np.float32)
    by_hidden_core = np.empty((BLOCK, WIDTH), dtype=np.float32)
    by_hidden_gate = np.empty((BLOCK, WIDTH), dtype=np.float32)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        n = e - s
        _gate_gradient(
            core[s:e],
            gate[s:e],
            inverse[0, s:e],
            inverse[1, s:e],
            norm,
            incoming,
            target[s:e],
            weights,
            iw[s:e],
            weight_gradient,
            by_core,
            by_gate,
        )
        np.dot(by_core[:n], second_t[0], by_hidden_core[:n])
        np.dot(by_gate[:n], second_t[1], by_hidden_gate[:n])
        _chain(by_hidden_core, by_hidden_gate, slope[s:e])
        scatter_add(slope[s:e], ix[s:e], gradient_x)
        scatter_add(slope[s:e], iy[s:e], gradient_y)
        if len(gradient_own):
            np.dot(slope[s:e], own_weight_t, by_core[:n])
            add_rows(by_core[:n], gradient_own[s:e])
        else:
            scatter_add(slope[s:e], iz[s:e], gradient_z)


@_sums
def add_rows(rows: NDArray, out: NDArray) -> None:
    """Add ``rows`` to ``out``."""
    for row in range(len(rows)):
        for k in range(WIDTH):
            out[row, k] += rows[row, k]


@_sums
def _add_halves(x: NDArray, ix: NDArray, y: NDArray, iy: NDArray, core: NDArray, gate: NDArray) -> None:
    for row in range(len(ix)):
        a, b = ix[row], iy[row]
        for k in range(WIDTH):
            core[row, k] += x[a, k] + y[b, k]
        for k in range(WIDTH):
            gate[row, k] += x[a, WIDTH + k] + y[b, WIDTH + k]


@_plain
def angle_update(
    angles: NDArray,
    own_weight: NDArray,
    x: NDArray,
    ix: NDArray,
    y: NDArray,
    iy: NDArray,
    norm: NDArray,
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
) -> None:
    """Add the one-layer gated MLP of angles, x[ix] and y[iy] to the angles, in place."""
    bias = np.zeros(2 * WIDTH, dtype=np.float32)
    ones = np.ones((1, WIDTH), dtype=np.float32)
    same = np.zeros(BLOCK, dtype=np.int64)
    local = np.arange(BLOCK)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        np.dot(angles[s:e], own_weight[0], core[s:e])
        np.dot(angles[s:e], own_weight[1], gate[s:e])
        _add_halves(x, ix[s:e], y, iy[s:e], core[s:e], gate[s:e])
        _normalise(core[s:e], bias, 0, inverse[0, s:e])
        _normalise(gate[s:e], bias, 0, inverse[1, s:e])
        _aggregate(core[s:e], gate[s:e], norm, ones, same[: e - s], local, angles[s:e])


@_plain
def angle_update_gradient(
    gradient: NDArray,
    own_weight_t: NDArray,
    norm: NDArray,
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
    ix: NDArray,
    iy: NDArray,
    gradient_x: NDArray,
    gradient_y: NDArray,
) -> None:
    """Way back through :func:`angle_update`; ``gradient`` (by the angles) is updated in place."""
    ones = np.ones((1, WIDTH), dtype=np.float32)
    unused = np.zeros((1, WIDTH), dtype=np.float32)
    same = np.zeros(BLOCK, dtype=np.int64)
    local = np.arange(BLOCK)
    by_core = np.empty((BLOCK, WIDTH), dtype=np.float32)
    by_gate = np.empty((BLOCK, WIDTH), dtype=np.float32)
    back = np.empty((BLOCK, WIDTH), dtype=np.float32)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        n = e - s
        _gate_gradient(
            core[s:e],
            gate[s:e],
            inverse[0, s:e],
            inverse[1, s:e],
            norm,
            gradient[s:e],
            local,
            ones,
            same[:n],
            unused,
            by_core,
            by_gate,
        )
        _scatter_halves(by_core, by_gate, ix[s:e], gradient_x)
        _scatter_halves(by_core, by_gate, iy[s:e], gradient_y)
        np.dot(by_core[:n], own_weight_t[0], back[:n])
        add_rows(back[:n], gradient[s:e])
        np.dot(by_gate[:n], own_weight_t[1], back[:n])
        add_rows(back[:n], gradient[s:e])


@_sums
def _scatter_halves(core: NDArray, gate: NDArray, index: NDArray, out: NDArray) -> None:
    for row in range(len(index)):
        to = index[row]
        for k in range(WIDTH):
            out[to, k] += core[row, k]
        for k in range(WIDTH):
            out[to, WIDTH + k] += gate[row, k]
