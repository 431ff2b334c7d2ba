"""CHGNet by compiled loops and small matrix products on the CPU, with its derivative written out.

The same function as the chgnet package's model (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)); what
differs is the order of additions. Geometry is in double precision, features in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials import kernels
from sse_screen.potentials.chgnet_weights import WIDTH, CHGNetWeights, GatedLayer
from sse_screen.potentials.evaluation import Evaluation
from sse_screen.potentials.graph import CrystalGraph

_NONE_64 = np.zeros((0, WIDTH), dtype=np.float32)
_NONE_128 = np.zeros((0, 2 * WIDTH), dtype=np.float32)
_NONE_INDEX = np.zeros(0, dtype=np.int64)
_NO_WEIGHT = np.zeros((WIDTH, 2 * WIDTH), dtype=np.float32)


def _row_blocks(matrix: NDArray, n_rows: int) -> NDArray:
    padded = np.zeros((n_rows, matrix.shape[1]), dtype=np.float32)
    padded[: len(matrix)] = matrix
    return padded


@dataclass(frozen=True)
class _Layer:
    """A gated layer in the form that the kernels take."""

    blocks: tuple[NDArray, ...]
    blocks_t: tuple[NDArray, ...]
    bias: NDArray
    second: NDArray
    second_t: NDArray
    bias_second: NDArray
    norm: NDArray
    out: NDArray
    out_t: NDArray

    @classmethod
    def of(cls, layer: GatedLayer) -> _Layer:
        halves = (layer.norm_scale[:WIDTH], layer.norm_shift[:WIDTH], layer.norm_scale[WIDTH:])
        two_layers = layer.core is not None and layer.gate is not None
        second = np.stack([layer.core, layer.gate]) if two_layers else np.zeros((2, 1, 1))  # type: ignore[list-item]
        out = layer.out if layer.out is not None else np.zeros((1, 1))
        return cls(
            blocks=layer.blocks,
            blocks_t=tuple(np.ascontiguousarray(block.T) for block in layer.blocks),
            bias=layer.bias,
            second=np.ascontiguousarray(second, dtype=np.float32),
            second_t=np.ascontiguousarray(np.swapaxes(second, 1, 2), dtype=np.float32),
            bias_second=np.zeros(1, np.float32) if layer.bias_second is None else layer.bias_second,
            norm=np.stack([*halves, layer.norm_shift[WIDTH:]]),
            out=np.ascontiguousarray(out, dtype=np.float32),
            out_t=np.ascontiguousarray(out.T, dtype=np.float32),
        )


class _Workspace:
    """Arrays kept from one evaluation to the next: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray] = {}

    def get(self, name: str, rows: int, columns: int = WIDTH) -> NDArray:
        array = self._arrays.get(name)
        if array is None or len(array) < rows or array.shape[1] != columns:
            array = self._arrays[name] = np.empty((int(rows * 1.1) + 16, columns), dtype=np.float32)
        return array[:rows]

    def zeros(self, name: str, rows: int, columns: int = WIDTH) -> NDArray:
        array = self.get(name, rows, columns)
        array.fill(0)
        return array


class CompiledCHGNet:
    """CHGNet on one CPU core.

    Parameters
    ----------
    weights : CHGNetWeights
        Parameters.
    """

    device = "cpu"

    def __init__(self, weights: CHGNetWeights) -> None:
        self.weights = weights
        self._memory = _Workspace()
        self._atom_layers = [_Layer.of(layer) for layer in weights.atom_layers]
        self._bond_layers = [_Layer.of(layer) for layer in weights.bond_layers]
        self._angle_layers = [_Layer.of(layer) for layer in weights.angle_layers]
        n_basis = kernels.N_BASIS
        self._bond_frequencies = _row_blocks(weights.bond_frequencies[:, None], n_basis)[:, 0].copy()
        self._short_frequencies = _row_blocks(weights.short_frequencies[:, None], n_basis)[:, 0].copy()
        self._angle_frequencies = _row_blocks(weights.angle_frequencies[:, None], n_basis // 2)[:, 0].copy()
        self._bond_embedding = _row_blocks(weights.bond_embedding, n_basis)
        self._bond_weights = _row_blocks(weights.bond_weights, n_basis)
        self._short_weights = _row_blocks(weights.short_weights, n_basis)
        self._angle_embedding = self._angle_rows(weights)

    @staticmethod
    def _angle_rows(weights: CHGNetWeights) -> NDArray:
        """Rows in the kernels' order: sines and a zero, cosines and the constant (frequency 0)."""
        half = kernels.HALF_BASIS
        order = len(weights.angle_frequencies)
        rows = np.zeros((2 * half, WIDTH), dtype=np.float32)
        rows[:order] = weights.angle_embedding[1 : order + 1]
        rows[half : half + order] = weights.angle_embedding[order + 1 :]
        rows[-1] = weights.angle_embedding[0] * np.float32(np.sqrt(0.5))
        return rows

    def evaluate(self, graph: CrystalGraph) -> Evaluation:
        """Evaluate energy, its derivative by the bond vectors and magnetic moments.

        Parameters
        ----------
        graph : CrystalGraph
            One crystal or several side by side.

        Returns
        -------
        Evaluation
            Energies by site, derivatives by bond.
        """
        return _Pass(self, graph).run()


class _Pass:
    """One evaluation: the way forward and the way back."""

    def __init__(self, engine: CompiledCHGNet, graph: CrystalGraph) -> None:
        self.engine, self.graph, self.memory = engine, graph, engine._memory
        self.n_edges, self.n_angles = 2 * graph.n_bonds, graph.n_angles
        self.short_first = graph.short_bond[graph.angle_first]
        self.short_second = graph.short_bond[graph.angle_second]

    def run(self) -> Evaluation:
        graph, weights = self.graph, self.engine.weights
        self._embed()
        atoms = weights.atom_embedding[graph.atomic_numbers - 1]
        magmoms = np.zeros(graph.n_atoms)
        n_layers = len(self.engine._atom_layers)
        for depth in range(n_layers):
            self._convolve_atoms(depth, atoms)
            if depth == n_layers - 2:
                magmoms = np.abs(atoms @ weights.magmom_weight + weights.magmom_bias)
            if depth < n_layers - 1 and self.n_angles:
                self._convolve_bonds(depth, atoms)
        energies, gradient = _readout(weights, atoms)
        self._start_back()
        for depth in reversed(range(n_layers)):
            if depth < n_layers - 1 and self.n_angles:
                self._convolve_bonds_back(depth, gradient)
            self._convolve_atoms_back(depth, gradient)
        return Evaluation(
            site_energies=energies + weights.reference_energies[graph.atomic_numbers - 1],
            bond_gradient=self._bond_gradient(),
            magmoms=magmoms.astype(np.float64),
        )

    def _embed(self) -> None:
        """Bases and features of bonds, short bonds and angles."""
        engine, graph, get = self.engine, self.graph, self.memory.get
        n_basis = kernels.N_BASIS
        w = engine.weights
        vectors = graph.bond_vectors
        self.lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        basis, self.slope = (get(name, graph.n_bonds, n_basis) for name in ("basis", "basis_slope"))
        kernels.radial_basis(
            self.lengths, engine._bond_frequencies, w.cutoff_A, w.smoothness, basis, self.slope
        )
        self.bonds = np.matmul(basis, engine._bond_embedding, out=get("bonds", graph.n_bonds))
        self.weights = np.matmul(basis, engine._bond_weights, out=get("weights", graph.n_bonds))
        if not self.n_angles:
            return
        n_short = graph.n_short
        basis, self.short_slope = (
            get(name, n_short, n_basis) for name in ("short_basis", "short_basis_slope")
        )
        short_lengths = self.lengths[:n_short]
        kernels.radial_basis(
            short_lengths, engine._short_frequencies, w.short_cutoff_A, w.smoothness, basis, self.short_slope
        )
        self.short_weights = np.matmul(basis, engine._short_weights, out=get("short_weights", n_short))
        units = vectors[:n_short] / short_lengths[:, None]
        self.directions = units[graph.short_bond] * graph.short_sign[:, None]
        self.angle_basis = get("angle_basis", self.n_angles, n_basis)
        self.per_sine = np.empty(self.n_angles)
        kernels.angle_basis(
            self.directions,
            graph.angle_first,
            graph.angle_second,
            engine._angle_frequencies,
            self.angle_basis,
            self.per_sine,
        )
        self.angles = np.matmul(self.angle_basis, engine._angle_embedding, out=get("angles", self.n_angles))

    def _kept(self, kind: str, depth: int, rows: int, *, slope: bool = True) -> dict[str, NDArray]:
        """Arrays of one layer that its way back needs."""
        get, name = self.memory.get, f"{kind}{depth}"
        kept = {"core": get(f"{name}_core", rows), "gate": get(f"{name}_gate", rows)}
        kept["inverse"] = get(f"{name}_inverse", 2 * rows, 1).reshape(2, rows)
        if slope:
            kept["slope"] = get(f"{name}_slope", rows, 2 * WIDTH)
        return kept

    def _convolve_atoms(self, depth: int, atoms: NDArray) -> None:
        """Add the messages of all edges to the atoms, in place."""
        layer, graph = self.engine._atom_layers[depth], self.graph
        center, bond, neighbor = layer.blocks
        total = self.memory.zeros("total", graph.n_atoms)
        by_bond = np.matmul(self.bonds, bond, out=self.memory.get("by_bond", graph.n_bonds, 2 * WIDTH))
        kernels.convolution(
            _NONE_64,
            _NO_WEIGHT,
            atoms @ center + layer.bias,
            graph.edge_center,
            atoms @ neighbor,
            graph.edge_neighbor,
            by_bond,
            graph.edge_bond,
            layer.second,
            layer.bias_second,
            layer.norm,
            self.weights,
            graph.edge_bond,
            graph.edge_center,
            out=total,
            **self._kept("atom", depth, self.n_edges),
        )
        atoms += total @ layer.out

    def _projections(self, layer: _Layer, atoms: NDArray) -> tuple[NDArray, NDArray]:
        """What a short edge gives to its angles: first with the centre and the bias, and second."""
        first, second, _, center = layer.blocks
        graph, short = self.graph, self.bonds[: self.graph.n_short]
        of_center = atoms @ center + layer.bias
        return (short @ first)[graph.short_bond] + of_center[graph.short_center], short @ second

    def _convolve_bonds(self, depth: int, atoms: NDArray) -> None:
        """Update the short bonds, then the angles, in place."""
        graph, layer = self.graph, self.engine._bond_layers[depth]
        x, y = self._projections(layer, atoms)
        total = self.memory.zeros(f"bond{depth}_total", graph.n_short)
        kernels.convolution(
            self.angles,
            layer.blocks[2],
            x,
            graph.angle_first,
            y,
            self.short_second,
            _NONE_128,
            _NONE_INDEX,
            layer.second,
            layer.bias_second,
            layer.norm,
            self.short_weights,
            self.short_second,
            self.short_first,
            out=total,
            **self._kept("bond", depth, self.n_angles),
        )
        self.bonds[: graph.n_short] += (total * self.short_weights) @ layer.out
        if depth < len(self.engine._angle_layers):
            layer = self.engine._angle_layers[depth]
            x, y = self._projections(layer, atoms)
            kernels.angle_update(
                self.angles,
                _halves(layer.blocks[2]),
                x,
                graph.angle_first,
                y,
                self.short_second,
                layer.norm,
                **self._kept("angle", depth, self.n_angles, slope=False),
            )

    def _start_back(self) -> None:
        zeros, graph = self.memory.zeros, self.graph
        self.by_bonds = zeros("by_bonds", graph.n_bonds)
        self.by_weights = zeros("by_weights", graph.n_bonds)
        self.by_short_weights = zeros("by_short_weights", graph.n_short)
        self.by_angles = zeros("by_angles", self.n_angles)

    def _convolve_atoms_back(self, depth: int, gradient: NDArray) -> None:
        """Carry the gradient by the atoms back through one convolution, in place."""
        layer, graph, zeros = self.engine._atom_layers[depth], self.graph, self.memory.zeros
        center, bond, neighbor = layer.blocks_t
        by_center, by_neighbor = (
            zeros(name, graph.n_atoms, 2 * WIDTH) for name in ("by_center", "by_neighbor")
        )
        by_bond = zeros("by_bond", graph.n_bonds, 2 * WIDTH)
        kernels.convolution_gradient(
            gradient @ layer.out_t,
            layer.second_t,
            layer.norm,
            self.weights,
            graph.edge_bond,
            graph.edge_center,
            ix=graph.edge_center,
            iy=graph.edge_neighbor,
            iz=graph.edge_bond,
            own_weight_t=bond,
            weight_gradient=self.by_weights,
            gradient_x=by_center,
            gradient_y=by_neighbor,
            gradient_z=by_bond,
            gradient_own=_NONE_64,
            **self._kept("atom", depth, self.n_edges),
        )
        gradient += by_center @ center + by_neighbor @ neighbor
        self.by_bonds += by_bond @ bond

    def _projections_back(self, layer: _Layer, by_x: NDArray, by_y: NDArray, gradient: NDArray) -> None:
        """Way back through :meth:`_projections`."""
        first, second, _, center = layer.blocks_t
        graph, zeros = self.graph, self.memory.zeros
        by_first = zeros("by_first", graph.n_short, 2 * WIDTH)
        by_center = zeros("by_center", graph.n_atoms, 2 * WIDTH)
        kernels.scatter_add(by_x, graph.short_bond, by_first)
        kernels.scatter_add(by_x, graph.short_center, by_center)
        self.by_bonds[: graph.n_short] += by_first @ first + by_y @ second
        gradient += by_center @ center

    def _convolve_bonds_back(self, depth: int, gradient: NDArray) -> None:
        """Way back through :meth:`_convolve_bonds`."""
        graph, zeros = self.graph, self.memory.zeros
        n_edges = len(graph.short_bond)
        if depth < len(self.engine._angle_layers):
            layer = self.engine._angle_layers[depth]
            by_x, by_y = zeros("by_x", n_edges, 2 * WIDTH), zeros("by_y", graph.n_short, 2 * WIDTH)
            kernels.angle_update_gradient(
                self.by_angles,
                _halves_t(layer.blocks_t[2]),
                layer.norm,
                ix=graph.angle_first,
                iy=self.short_second,
                gradient_x=by_x,
                gradient_y=by_y,
                **self._kept("angle", depth, self.n_angles, slope=False),
            )
            self._projections_back(layer, by_x, by_y, gradient)
        layer = self.engine._bond_layers[depth]
        by_x, by_y = zeros("by_x", n_edges, 2 * WIDTH), zeros("by_y", graph.n_short, 2 * WIDTH)
        incoming = self.by_bonds[: graph.n_short] @ layer.out_t
        self.by_short_weights += incoming * self.memory.get(f"bond{depth}_total", graph.n_short)
        kernels.convolution_gradient(
            incoming * self.short_weights,
            layer.second_t,
            layer.norm,
            self.short_weights,
            self.short_second,
            self.short_first,
            ix=graph.angle_first,
            iy=self.short_second,
            iz=_NONE_INDEX,
            own_weight_t=layer.blocks_t[2],
            weight_gradient=self.by_short_weights,
            gradient_x=by_x,
            gradient_y=by_y,
            gradient_z=_NONE_128,
            gradient_own=self.by_angles,
            **self._kept("bond", depth, self.n_angles),
        )
        self._projections_back(layer, by_x, by_y, gradient)

    def _bond_gradient(self) -> NDArray:
        """Carry the gradients by features on to the bond vectors."""
        engine, graph = self.engine, self.graph
        by_basis = self.by_bonds @ engine._bond_embedding.T + self.by_weights @ engine._bond_weights.T
        by_length = np.einsum("ij,ij->i", by_basis, self.slope).astype(np.float64)
        units = graph.bond_vectors / self.lengths[:, None]
        gradient = units * by_length[:, None]
        if not self.n_angles:
            return gradient
        n_short = graph.n_short
        by_basis = self.by_short_weights @ engine._short_weights.T
        by_short_length = np.einsum("ij,ij->i", by_basis, self.short_slope)
        by_direction = np.zeros((len(graph.short_bond), 3))
        kernels.angle_gradient(
            self.by_angles,
            np.ascontiguousarray(engine._angle_embedding.T),
            self.angle_basis,
            engine._angle_frequencies,
            self.per_sine,
            self.directions,
            graph.angle_first,
            graph.angle_second,
            by_direction,
        )
        by_unit = np.zeros((n_short, 3))
        np.add.at(by_unit, graph.short_bond, by_direction * graph.short_sign[:, None])
        short_units = units[:n_short]
        along = np.einsum("ij,ij->i", by_unit, short_units)
        gradient[:n_short] += (by_unit - along[:, None] * short_units) / self.lengths[:n_short, None]
        gradient[:n_short] += short_units * by_short_length[:, None]
        return gradient


def _halves(block: NDArray) -> NDArray:
    """(64, 128) as two (64, 64) blocks of outputs."""
    return np.ascontiguousarray(np.stack([block[:, :WIDTH], block[:, WIDTH:]]))


def _halves_t(block: NDArray) -> NDArray:
    """(128, 64) as two (64, 64) blocks of inputs."""
    return np.ascontiguousarray(np.stack([block[:WIDTH], block[WIDTH:]]))


def _silu(x: NDArray) -> tuple[NDArray, NDArray]:
    """SiLU and its derivative."""
    sigmoid = 1 / (1 + np.exp(-np.clip(x, -80, 80)))
    return x * sigmoid, sigmoid * (1 + x * (1 - sigmoid))


def _readout(weights: CHGNetWeights, atoms: NDArray) -> tuple[NDArray, NDArray]:
    """Site energies (float64) and their derivative by the atom features."""
    centered = atoms - atoms.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt((centered**2).mean(axis=1, keepdims=True) + np.float32(1e-5))
    hat = centered * inverse
    hidden = hat * weights.readout_scale + weights.readout_shift
    slopes: list[Any] = []
    for weight, bias in weights.readout[:-1]:
        hidden, slope = _silu(hidden @ weight + bias)
        slopes.append(slope)
    weight, bias = weights.readout[-1]
    energies = (hidden @ weight + bias)[:, 0].astype(np.float64)
    gradient = np.broadcast_to(weight[:, 0], hidden.shape)
    for (weight, _), slope in zip(reversed(weights.readout[:-1]), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ weight.T
    gradient = gradient * weights.readout_scale
    mean = gradient.mean(axis=1, keepdims=True)
    along = (gradient * hat).mean(axis=1, keepdims=True)
    return energies, inverse * (gradient - mean - hat * along)
