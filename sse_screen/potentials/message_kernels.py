"""Compiled message passing of CHGNet: gathers, gates, layer norms and their derivatives, by blocks of rows.

Blocks are small enough to stay in a core's cache between the matrix products, so that nothing but what the
way back needs is written to memory. The linear layers in front of layer norms are centred beforehand (their
outputs have mean zero whatever goes in), so that the norms need no mean, forward and on the way back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials.matrix_product import multiply, multiply_add
from sse_screen.potentials.vector_math import exact, exponential, plain, sums

WIDTH = 64
BLOCK = 256

_ZERO, _ONE = np.float32(0), np.float32(1)
_PER_WIDTH = np.float32(1 / WIDTH)
_EPSILON = np.float32(1e-5)  # of torch.nn.LayerNorm


@sums
def scatter_add(rows: NDArray, index: NDArray, out: NDArray) -> None:
    """Add each row to the row of ``out`` that ``index`` names."""
    for row in range(len(index)):
        to = index[row]
        for k in range(2 * WIDTH):
            out[to, k] += rows[row, k]


@exact
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


@sums
def _add_bias(values: NDArray, bias: NDArray, inverse: NDArray) -> None:
    """Add the bias to rows in place; inverse standard deviation of each (their mean is zero)."""
    for row in range(len(values)):
        squares = _ZERO
        for k in range(WIDTH):
            value = values[row, k] + bias[k]
            values[row, k] = value
            squares += value * value
        inverse[row] = _ONE / np.sqrt(squares * _PER_WIDTH + _EPSILON)


@sums
def _add_gathered(
    core: NDArray, gate: NDArray, x: NDArray, ix: NDArray, y: NDArray, iy: NDArray, inverse: NDArray
) -> None:
    """Add x[ix] + y[iy] to core and gate in place; inverse standard deviations."""
    for row in range(len(ix)):
        a, b = ix[row], iy[row]
        squares = _ZERO
        for k in range(WIDTH):
            value = core[row, k] + x[a, k] + y[b, k]
            core[row, k] = value
            squares += value * value
        inverse[0, row] = _ONE / np.sqrt(squares * _PER_WIDTH + _EPSILON)
        squares = _ZERO
        for k in range(WIDTH):
            value = gate[row, k] + x[a, WIDTH + k] + y[b, WIDTH + k]
            gate[row, k] = value
            squares += value * value
        inverse[1, row] = _ONE / np.sqrt(squares * _PER_WIDTH + _EPSILON)


@exact
def _aggregate(
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
    norm: NDArray,
    weights: NDArray,
    iw: NDArray,
    target: NDArray,
    out: NDArray,
) -> None:
    """Add SiLU(norm(core)) sigmoid(norm(gate)) weights[iw] to out[target]."""
    for row in range(len(iw)):
        to, by = target[row], iw[row]
        a, b = inverse[0, row], inverse[1, row]
        for k in range(WIDTH):
            y = core[row, k] * a * norm[0, k] + norm[1, k]
            z = gate[row, k] * b * norm[2, k] + norm[3, k]
            both = (_ONE + exponential(-y)) * (_ONE + exponential(-z))
            out[to, k] += y / both * weights[by, k]


@sums
def _gate_gradient(
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
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
        a, b = inverse[0, row], inverse[1, row]
        for k in range(WIDTH):
            y = core[row, k] * a * norm[0, k] + norm[1, k]
            z = gate[row, k] * b * norm[2, k] + norm[3, k]
            below_y, below_z = _ONE + exponential(-y), _ONE + exponential(-z)
            inverse_of_both = _ONE / (below_y * below_z)
            sigmoid, opening = inverse_of_both * below_z, inverse_of_both * below_y
            message = y * sigmoid * opening
            scratch[0, k] = message
            scratch[1, k] = opening * sigmoid * (_ONE + y * (_ONE - sigmoid)) * norm[0, k]
            scratch[2, k] = message * (_ONE - opening) * norm[2, k]
        for k in range(WIDTH):
            weight_gradient[by, k] += incoming[to, k] * scratch[0, k]
        along_core, along_gate = _ZERO, _ZERO
        for k in range(WIDTH):
            arriving = incoming[to, k] * weights[by, k]
            by_core, by_gate = arriving * scratch[1, k], arriving * scratch[2, k]
            scratch[3, k] = by_core
            scratch[4, k] = by_gate
            along_core += by_core * core[row, k]
            along_gate += by_gate * gate[row, k]
        along_core *= a * a * _PER_WIDTH
        along_gate *= b * b * _PER_WIDTH
        for k in range(WIDTH):
            out_core[row, k] = a * (scratch[3, k] - core[row, k] * along_core)
        for k in range(WIDTH):
            out_gate[row, k] = b * (scratch[4, k] - gate[row, k] * along_gate)


@plain
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
            multiply(own[s:e], own_weight, projected[:n])
            _activate(x, ix[s:e], y, iy[s:e], projected, local, hidden_core, hidden_gate, slope[s:e])
        else:
            _activate(x, ix[s:e], y, iy[s:e], z, iz[s:e], hidden_core, hidden_gate, slope[s:e])
        multiply(hidden_core[:n], second[0], core[s:e])
        multiply(hidden_gate[:n], second[1], gate[s:e])
        _add_bias(core[s:e], bias[:WIDTH], inverse[0, s:e])
        _add_bias(gate[s:e], bias[WIDTH:], inverse[1, s:e])
        _aggregate(core[s:e], gate[s:e], inverse[:, s:e], norm, weights, iw[s:e], target[s:e], out)


@sums
def _chain(
    by_core: NDArray,
    by_gate: NDArray,
    slope: NDArray,
    ix: NDArray,
    iy: NDArray,
    out: NDArray,
    gradient_x: NDArray,
    gradient_y: NDArray,
) -> None:
    """Derivative by the first layer's sum into out, and on to what was gathered."""
    for row in range(len(ix)):
        a, b = ix[row], iy[row]
        for k in range(WIDTH):
            value = slope[row, k] * by_core[row, k]
            out[row, k] = value
            gradient_x[a, k] += value
        for k in range(WIDTH):
            value = slope[row, WIDTH + k] * by_gate[row, k]
            out[row, WIDTH + k] = value
            gradient_x[a, WIDTH + k] += value
        for k in range(2 * WIDTH):
            gradient_y[b, k] += out[row, k]


@plain
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
    by_sum = np.empty((BLOCK, 2 * WIDTH), dtype=np.float32)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        n = e - s
        _gate_gradient(
            core[s:e],
            gate[s:e],
            inverse[:, s:e],
            norm,
            incoming,
            target[s:e],
            weights,
            iw[s:e],
            weight_gradient,
            by_core,
            by_gate,
        )
        multiply(by_core[:n], second_t[0], by_hidden_core[:n])
        multiply(by_gate[:n], second_t[1], by_hidden_gate[:n])
        _chain(by_hidden_core, by_hidden_gate, slope[s:e], ix[s:e], iy[s:e], by_sum, gradient_x, gradient_y)
        if len(gradient_own):
            multiply_add(by_sum[:n], own_weight_t, gradient_own[s:e])
        else:
            scatter_add(by_sum, iz[s:e], gradient_z)


@plain
def angle_update(
    own: NDArray,
    own_weight: NDArray,
    x: NDArray,
    ix: NDArray,
    y: NDArray,
    iy: NDArray,
    norm: NDArray,
    core: NDArray,
    gate: NDArray,
    inverse: NDArray,
    angles: NDArray,
) -> None:
    """Add the one-layer gated MLP of own, x[ix] and y[iy] to the angles, in place (own may be the angles)."""
    ones = np.ones((1, WIDTH), dtype=np.float32)
    same = np.zeros(BLOCK, dtype=np.int64)
    local = np.arange(BLOCK)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        multiply(own[s:e], own_weight[0], core[s:e])
        multiply(own[s:e], own_weight[1], gate[s:e])
        _add_gathered(core[s:e], gate[s:e], x, ix[s:e], y, iy[s:e], inverse[:, s:e])
        _aggregate(core[s:e], gate[s:e], inverse[:, s:e], norm, ones, same[: e - s], local, angles[s:e])


@sums
def _scatter_halves(core: NDArray, gate: NDArray, index: NDArray, out: NDArray) -> None:
    for row in range(len(index)):
        to = index[row]
        for k in range(WIDTH):
            out[to, k] += core[row, k]
        for k in range(WIDTH):
            out[to, WIDTH + k] += gate[row, k]


@plain
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
    gradient_own: NDArray,
) -> None:
    """Way back through :func:`angle_update`: adds to the gradients of x, y and own."""
    ones = np.ones((1, WIDTH), dtype=np.float32)
    unused = np.zeros((1, WIDTH), dtype=np.float32)
    same = np.zeros(BLOCK, dtype=np.int64)
    local = np.arange(BLOCK)
    by_core = np.empty((BLOCK, WIDTH), dtype=np.float32)
    by_gate = np.empty((BLOCK, WIDTH), dtype=np.float32)
    for s in range(0, len(ix), BLOCK):
        e = min(s + BLOCK, len(ix))
        n = e - s
        _gate_gradient(
            core[s:e],
            gate[s:e],
            inverse[:, s:e],
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
        multiply_add(by_core[:n], own_weight_t[0], gradient_own[s:e])
        multiply_add(by_gate[:n], own_weight_t[1], gradient_own[s:e])
