"""CHGNet by compiled loops and small matrix products on the CPU, with its derivative written out.

The same function as the chgnet package's model (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)); what differs
is the order of additions. Geometry is in double precision, features in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sse_screen.potentials import basis_kernels, message_kernels
from sse_screen.potentials.basis_kernels import N_BASIS
from sse_screen.potentials.chgnet_weights import WIDTH, CHGNetWeights
from sse_screen.potentials.evaluation import Evaluation
from sse_screen.potentials.graph import CrystalGraph
from sse_screen.potentials.matrix_product import multiply, multiply_add, product
from sse_screen.potentials.prepared_layers import PreparedLayer, PreparedWeights

_NONE_64 = np.zeros((0, WIDTH), dtype=np.float32)
_NONE_128 = np.zeros((0, 2 * WIDTH), dtype=np.float32)
_NONE_INDEX = np.zeros(0, dtype=np.int64)
_NO_WEIGHT = np.zeros((WIDTH, 2 * WIDTH), dtype=np.float32)


class _Workspace:
    """Arrays kept from one evaluation to the next: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray] = {}

    def get(self, name: str, rows: int, columns: int = WIDTH) -> NDArray:
        """Give an array of this shape with whatever it held before (rows, columns), float32."""
        array = self._arrays.get(name)
        if array is None or len(array) < rows or array.shape[1] != columns:
            array = self._arrays[name] = np.empty((int(rows * 1.1) + 16, columns), dtype=np.float32)
        return array[:rows]

    def zeros(self, name: str, rows: int, columns: int = WIDTH) -> NDArray:
        """Give an array of this shape filled with zeros (rows, columns), float32."""
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
        self.prepared = PreparedWeights.of(weights)
        self.memory = _Workspace()

    def __reduce__(self) -> tuple[type[CompiledCHGNet], tuple[CHGNetWeights]]:
        """Travel to another process as parameters only."""
        return type(self), (self.weights,)

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
        self.weights, self.prepared, self.memory = engine.weights, engine.prepared, engine.memory
        self.graph = graph
        self.n_edges, self.n_angles, self.n_short = 2 * graph.n_bonds, graph.n_angles, graph.n_short
        self.short_first = graph.short_bond[graph.angle_first]
        self.short_second = graph.short_bond[graph.angle_second]

    def run(self) -> Evaluation:
        """Go forward, then back."""
        graph, weights, prepared = self.graph, self.weights, self.prepared
        self._embed_bonds()
        if self.n_angles:
            self._embed_angles()
        atoms = weights.atom_embedding[graph.atomic_numbers - 1]
        magmoms = np.zeros(graph.n_atoms)
        n_layers = len(prepared.atom_layers)
        for depth in range(n_layers):
            self._convolve_atoms(depth, atoms)
            if depth == n_layers - 2:
                magmoms = np.abs((atoms * weights.magmom_weight).sum(axis=1) + weights.magmom_bias)
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

    def _embed_bonds(self) -> None:
        """Basis and weights of all bonds, features of the short ones (long ones keep to their basis)."""
        w, prepared, graph, get = self.weights, self.prepared, self.graph, self.memory.get
        vectors = graph.bond_vectors
        self.lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        self.basis, self.slope = get("basis", graph.n_bonds, N_BASIS), get("slope", graph.n_bonds, N_BASIS)
        basis_kernels.radial_basis(
            self.lengths, prepared.bond_frequencies, w.cutoff_A, w.smoothness, self.basis, self.slope
        )
        self.bond_weights = get("weights", graph.n_bonds)
        multiply(self.basis, prepared.bond_weights, self.bond_weights)
        self.short = product(self.basis[: self.n_short], prepared.bond_embedding)

    def _embed_angles(self) -> None:
        """Bases and features of angles, and weights of the short bonds."""
        w, prepared, graph, get = self.weights, self.prepared, self.graph, self.memory.get
        lengths = self.lengths[: self.n_short]
        basis = get("short_basis", self.n_short, N_BASIS)
        self.short_slope = get("short_slope", self.n_short, N_BASIS)
        basis_kernels.radial_basis(
            lengths, prepared.short_frequencies, w.short_cutoff_A, w.smoothness, basis, self.short_slope
        )
        self.short_weights = product(basis, prepared.short_weights)
        units = graph.bond_vectors[: self.n_short] / lengths[:, None]
        self.directions = units[graph.short_bond] * graph.short_sign[:, None]
        self.angle_basis = get("angle_basis", self.n_angles, N_BASIS)
        self.per_sine = np.empty(self.n_angles)
        basis_kernels.angle_basis(
            self.directions,
            graph.angle_first,
            graph.angle_second,
            prepared.angle_frequencies,
            self.angle_basis,
            self.per_sine,
        )
        self.angles = get("angles", self.n_angles)
        multiply(self.angle_basis, prepared.angle_embedding, self.angles)

    def _kept(self, kind: str, depth: int, rows: int, *, slope: bool = True) -> dict[str, NDArray]:
        """Arrays of one layer that its way back needs."""
        get, name = self.memory.get, f"{kind}{depth}"
        kept = {"core": get(f"{name}_core", rows), "gate": get(f"{name}_gate", rows)}
        kept["inverse"] = get(f"{name}_inverse", 2 * rows, 1).reshape(2, rows)
        if slope:
            kept["slope"] = get(f"{name}_slope", rows, 2 * WIDTH)
        return kept

    def _own_angles(self, depth: int) -> NDArray:
        """What the bond and angle layers read of the angles: at first their basis, then their features."""
        return self.angles if depth else self.angle_basis

    def _convolve_atoms(self, depth: int, atoms: NDArray) -> None:
        """Add the messages of all edges to the atoms, in place."""
        layer, graph, n_short = self.prepared.atom_layers[depth], self.graph, self.n_short
        center, bond, neighbor = layer.blocks
        by_bond = self.memory.get("by_bond", graph.n_bonds, 2 * WIDTH)
        multiply(self.short, bond, by_bond[:n_short])
        multiply(self.basis[n_short:], layer.own, by_bond[n_short:])
        total = self.memory.zeros("total", graph.n_atoms)
        message_kernels.convolution(
            _NONE_64,
            _NO_WEIGHT,
            product(atoms, center) + layer.bias,
            graph.edge_center,
            product(atoms, neighbor),
            graph.edge_neighbor,
            by_bond,
            graph.edge_bond,
            layer.second,
            layer.bias_second,
            layer.norm,
            self.bond_weights,
            graph.edge_bond,
            graph.edge_center,
            out=total,
            **self._kept("atom", depth, self.n_edges),
        )
        multiply_add(total, layer.out, atoms)

    def _projections(self, layer: PreparedLayer, atoms: NDArray) -> tuple[NDArray, NDArray]:
        """What a short edge gives to its angles: first with the centre and the bias, and second."""
        first, second, _, center = layer.blocks
        graph = self.graph
        of_center = product(atoms, center) + layer.bias
        x = product(self.short, first)[graph.short_bond]
        x += of_center[graph.short_center]
        return x, product(self.short, second)

    def _convolve_bonds(self, depth: int, atoms: NDArray) -> None:
        """Update the short bonds, then the angles, in place."""
        graph, layer = self.graph, self.prepared.bond_layers[depth]
        x, y = self._projections(layer, atoms)
        total = self.memory.zeros(f"bond{depth}_total", self.n_short)
        message_kernels.convolution(
            self._own_angles(depth),
            layer.own,
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
        multiply_add(total * self.short_weights, layer.out, self.short)
        if depth < len(self.prepared.angle_layers):
            layer = self.prepared.angle_layers[depth]
            x, y = self._projections(layer, atoms)
            message_kernels.angle_update(
                self._own_angles(depth),
                layer.own,
                x,
                graph.angle_first,
                y,
                self.short_second,
                layer.norm,
                angles=self.angles,
                **self._kept("angle", depth, self.n_angles, slope=False),
            )

    def _start_back(self) -> None:
        zeros, graph = self.memory.zeros, self.graph
        self.by_basis = zeros("by_basis", graph.n_bonds, N_BASIS)
        self.by_weights = zeros("by_weights", graph.n_bonds)
        self.by_short = zeros("by_short", self.n_short)
        self.by_short_weights = zeros("by_short_weights", self.n_short)
        self.by_angles = zeros("by_angles", self.n_angles)
        self.by_angle_basis = zeros("by_angle_basis", self.n_angles, N_BASIS)

    def _convolve_atoms_back(self, depth: int, gradient: NDArray) -> None:
        """Carry the gradient by the atoms back through one convolution, in place."""
        layer, graph, zeros = self.prepared.atom_layers[depth], self.graph, self.memory.zeros
        center, bond, neighbor = layer.blocks_t
        by_center = zeros("by_center", graph.n_atoms, 2 * WIDTH)
        by_neighbor = zeros("by_neighbor", graph.n_atoms, 2 * WIDTH)
        by_bond = zeros("by_bond", graph.n_bonds, 2 * WIDTH)
        message_kernels.convolution_gradient(
            product(gradient, layer.out_t),
            layer.second_t,
            layer.norm,
            self.bond_weights,
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
        multiply_add(by_center, center, gradient)
        multiply_add(by_neighbor, neighbor, gradient)
        multiply_add(by_bond[: self.n_short], bond, self.by_short)
        multiply_add(by_bond[self.n_short :], layer.own_t, self.by_basis[self.n_short :])

    def _projections_back(
        self, layer: PreparedLayer, by_x: NDArray, by_y: NDArray, gradient: NDArray
    ) -> None:
        """Way back through :meth:`_projections`."""
        first, second, _, center = layer.blocks_t
        graph, zeros = self.graph, self.memory.zeros
        by_first = zeros("by_first", self.n_short, 2 * WIDTH)
        by_center = zeros("by_center", graph.n_atoms, 2 * WIDTH)
        message_kernels.scatter_add(by_x, graph.short_bond, by_first)
        message_kernels.scatter_add(by_x, graph.short_center, by_center)
        multiply_add(by_first, first, self.by_short)
        multiply_add(by_y, second, self.by_short)
        multiply_add(by_center, center, gradient)

    def _convolve_bonds_back(self, depth: int, gradient: NDArray) -> None:
        """Way back through :meth:`_convolve_bonds`."""
        graph, zeros = self.graph, self.memory.zeros
        n_edges = len(graph.short_bond)
        by_own = self.by_angles if depth else self.by_angle_basis
        if depth < len(self.prepared.angle_layers):
            layer = self.prepared.angle_layers[depth]
            by_x, by_y = zeros("by_x", n_edges, 2 * WIDTH), zeros("by_y", self.n_short, 2 * WIDTH)
            message_kernels.angle_update_gradient(
                self.by_angles,
                layer.own_t,
                layer.norm,
                ix=graph.angle_first,
                iy=self.short_second,
                gradient_x=by_x,
                gradient_y=by_y,
                gradient_own=by_own,
                **self._kept("angle", depth, self.n_angles, slope=False),
            )
            self._projections_back(layer, by_x, by_y, gradient)
        layer = self.prepared.bond_layers[depth]
        by_x, by_y = zeros("by_x", n_edges, 2 * WIDTH), zeros("by_y", self.n_short, 2 * WIDTH)
        incoming = product(self.by_short, layer.out_t)
        self.by_short_weights += incoming * self.memory.get(f"bond{depth}_total", self.n_short)
        message_kernels.convolution_gradient(
            incoming * self.short_weights,
            layer.second_t,
            layer.norm,
            self.short_weights,
            self.short_second,
            self.short_first,
            ix=graph.angle_first,
            iy=self.short_second,
            iz=_NONE_INDEX,
            own_weight_t=layer.own_t,
            weight_gradient=self.by_short_weights,
            gradient_x=by_x,
            gradient_y=by_y,
            gradient_z=_NONE_128,
            gradient_own=by_own,
            **self._kept("bond", depth, self.n_angles),
        )
        self._projections_back(layer, by_x, by_y, gradient)

    def _bond_gradient(self) -> NDArray:
        """Carry the gradients by features on to the bond vectors."""
        prepared, graph, n_short = self.prepared, self.graph, self.n_short
        multiply_add(self.by_weights, prepared.bond_weights_t, self.by_basis)
        multiply_add(self.by_short, prepared.bond_embedding_t, self.by_basis[:n_short])
        by_length = np.einsum("ij,ij->i", self.by_basis, self.slope).astype(np.float64)
        units = graph.bond_vectors / self.lengths[:, None]
        by_unit = np.zeros((n_short, 3))
        if self.n_angles:
            by_short_basis = product(self.by_short_weights, prepared.short_weights_t)
            by_length[:n_short] += np.einsum("ij,ij->i", by_short_basis, self.short_slope)
            by_direction = np.zeros((len(graph.short_bond), 3))
            basis_kernels.angle_gradient(
                self.by_angles,
                self.by_angle_basis,
                prepared.angle_embedding_t,
                self.angle_basis,
                prepared.angle_frequencies,
                self.per_sine,
                self.directions,
                graph.angle_first,
                graph.angle_second,
                by_direction,
            )
            basis_kernels.scatter_vectors(by_direction, graph.short_sign, graph.short_bond, by_unit)
        gradient = units * by_length[:, None]
        along = np.einsum("ij,ij->i", by_unit, units[:n_short])
        gradient[:n_short] += (by_unit - along[:, None] * units[:n_short]) / self.lengths[:n_short, None]
        return gradient


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
        hidden, slope = _silu(product(hidden, weight) + bias)
        slopes.append(slope)
    weight, bias = weights.readout[-1]
    energies = (hidden * weight[:, 0]).sum(axis=1, dtype=np.float64) + bias[0]
    gradient = np.broadcast_to(weight[:, 0], hidden.shape)
    for (weight, _), slope in zip(reversed(weights.readout[:-1]), reversed(slopes), strict=True):
        gradient = product(gradient * slope, np.ascontiguousarray(weight.T))
    gradient = gradient * weights.readout_scale
    mean = gradient.mean(axis=1, keepdims=True)
    along = (gradient * hat).mean(axis=1, keepdims=True)
    return energies, inverse * (gradient - mean - hat * along)
