"""CHGNet's layers rearranged for the compiled loops; every rearrangement is exact in exact arithmetic.

- Linear layers in front of layer norms are centred over their outputs: the norm takes the mean out anyway.
- Where a layer reads features that are a linear map of a basis, the two maps are multiplied beforehand.
- Bases are padded to 32 columns, a whole number of vector registers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials.basis_kernels import HALF_BASIS, N_BASIS
from sse_screen.potentials.chgnet_weights import WIDTH, CHGNetWeights, GatedLayer

_NOTHING = np.zeros((1, 1), dtype=np.float32)


@dataclass(frozen=True)
class PreparedLayer:
    """A gated layer as the compiled loops take it; ``_t`` marks transposes.

    Attributes
    ----------
    blocks, blocks_t : tuple of NDArray
        (64, 128): first linear layer by inputs.
    bias : NDArray
        (128,) of the first layer.
    own, own_t : NDArray
        The block whose input is each row's own: (n, 128), or (2, n, 64) in the angle updates.
    second, second_t : NDArray
        (2, 64, 64), core and gate.
    bias_second : NDArray
        (128,).
    norm : NDArray
        (4, 64): scale and shift of the core, scale and shift of the gate.
    out, out_t : NDArray
        (64, 64) behind the aggregation.
    """

    blocks: tuple[NDArray, ...]
    blocks_t: tuple[NDArray, ...]
    bias: NDArray
    own: NDArray
    own_t: NDArray
    second: NDArray
    second_t: NDArray
    bias_second: NDArray
    norm: NDArray
    out: NDArray
    out_t: NDArray


@dataclass(frozen=True)
class PreparedWeights:
    """All of CHGNet but the readout, as the compiled loops take it.

    Attributes
    ----------
    bond_frequencies, short_frequencies : NDArray
        (32,), padded by zeros.
    angle_frequencies : NDArray
        (16,), padded by a zero, whose cosine is the constant.
    bond_embedding, bond_weights, short_weights, angle_embedding : NDArray
        (32, 64), in the order of the padded bases; ``_t`` marks transposes.
    atom_layers, bond_layers, angle_layers : tuple of PreparedLayer
        ``own`` of an atom layer takes the bond basis, of the first bond and angle layers the angle basis.
    """

    bond_frequencies: NDArray
    short_frequencies: NDArray
    angle_frequencies: NDArray
    bond_embedding: NDArray
    bond_embedding_t: NDArray
    bond_weights: NDArray
    bond_weights_t: NDArray
    short_weights: NDArray
    short_weights_t: NDArray
    angle_embedding: NDArray
    angle_embedding_t: NDArray
    atom_layers: tuple[PreparedLayer, ...]
    bond_layers: tuple[PreparedLayer, ...]
    angle_layers: tuple[PreparedLayer, ...]

    @classmethod
    def of(cls, weights: CHGNetWeights) -> PreparedWeights:
        """Rearrange the parameters.

        Parameters
        ----------
        weights : CHGNetWeights
            As read.

        Returns
        -------
        PreparedWeights
            As the compiled loops take them.
        """
        bond_embedding = _padded(weights.bond_embedding, N_BASIS)
        bond_weights = _padded(weights.bond_weights, N_BASIS)
        short_weights = _padded(weights.short_weights, N_BASIS)
        angle_embedding = _angle_rows(weights)
        identity = np.eye(WIDTH, dtype=np.float32)
        return cls(
            bond_frequencies=_padded(weights.bond_frequencies, N_BASIS),
            short_frequencies=_padded(weights.short_frequencies, N_BASIS),
            angle_frequencies=_padded(weights.angle_frequencies, HALF_BASIS),
            bond_embedding=bond_embedding,
            bond_embedding_t=_single(bond_embedding.T),
            bond_weights=bond_weights,
            bond_weights_t=_single(bond_weights.T),
            short_weights=short_weights,
            short_weights_t=_single(short_weights.T),
            angle_embedding=angle_embedding,
            angle_embedding_t=_single(angle_embedding.T),
            atom_layers=tuple(_prepared(layer, 1, bond_embedding) for layer in weights.atom_layers),
            bond_layers=tuple(
                _prepared(layer, 2, identity if depth else angle_embedding)
                for depth, layer in enumerate(weights.bond_layers)
            ),
            angle_layers=tuple(
                _prepared(layer, 2, identity if depth else angle_embedding)
                for depth, layer in enumerate(weights.angle_layers)
            ),
        )


def _padded(array: NDArray, n_rows: int) -> NDArray:
    padded = np.zeros((n_rows, *array.shape[1:]), dtype=np.float32)
    padded[: len(array)] = array
    return padded


def _angle_rows(weights: CHGNetWeights) -> NDArray:
    """Rows in the kernels' order: sines and a zero, cosines and the constant (a cosine of frequency 0)."""
    order = len(weights.angle_frequencies)
    rows = np.zeros((N_BASIS, WIDTH), dtype=np.float32)
    rows[:order] = weights.angle_embedding[1 : order + 1]
    rows[HALF_BASIS : HALF_BASIS + order] = weights.angle_embedding[order + 1 :]
    rows[-1] = weights.angle_embedding[0] * np.float32(np.sqrt(0.5))
    return rows


def _single(array: NDArray) -> NDArray:
    return np.ascontiguousarray(array, dtype=np.float32)


def _centred(array: NDArray) -> NDArray:
    """Take the mean over the 64 outputs of core and gate out of (..., 128)."""
    halves = array.astype(np.float64).reshape(*array.shape[:-1], 2, WIDTH)
    return _single((halves - halves.mean(axis=-1, keepdims=True)).reshape(array.shape))


def _prepared(layer: GatedLayer, own_block: int, embedding: NDArray) -> PreparedLayer:
    """Prepare a layer; its block number ``own_block`` is multiplied by the embedding in front of it."""
    blocks, bias = layer.blocks, layer.bias
    second = second_t = out = _NOTHING
    bias_second = np.zeros(1, dtype=np.float32)
    if layer.core is None or layer.gate is None or layer.bias_second is None:
        blocks, bias = tuple(_centred(block) for block in blocks), _centred(bias)
    else:
        both = _centred(np.concatenate([layer.core, layer.gate], axis=1))
        second = _halved(both)
        second_t = _single(np.swapaxes(second, 1, 2))
        bias_second = _centred(layer.bias_second)
    own = _single(embedding.astype(np.float64) @ blocks[own_block])
    if layer.core is None:
        own = _halved(own)
    if layer.out is not None:
        out = layer.out
    scale, shift = layer.norm_scale, layer.norm_shift
    return PreparedLayer(
        blocks=blocks,
        blocks_t=tuple(_single(block.T) for block in blocks),
        bias=bias,
        own=own,
        own_t=_single(np.swapaxes(own, -1, -2)),
        second=second,
        second_t=second_t,
        bias_second=bias_second,
        norm=np.stack([scale[:WIDTH], shift[:WIDTH], scale[WIDTH:], shift[WIDTH:]]),
        out=out,
        out_t=_single(out.T),
    )


def _halved(matrix: NDArray) -> NDArray:
    """Split (n, 128) into core and gate, (2, n, 64)."""
    return _single(np.stack([matrix[:, :WIDTH], matrix[:, WIDTH:]]))
