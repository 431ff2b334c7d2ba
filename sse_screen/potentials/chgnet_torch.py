"""CHGNet by torch operations on any device: one backward pass to the bond vectors, no parameter gradients.

Geometry is in double precision, features in single precision.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sse_screen.potentials.chgnet_weights import WIDTH, CHGNetWeights, GatedLayer
from sse_screen.potentials.evaluation import Evaluation
from sse_screen.potentials.graph import CrystalGraph


def _to_device(value: Any, device: str) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value).to(device)
    if isinstance(value, tuple):
        return tuple(_to_device(item, device) for item in value)
    if isinstance(value, GatedLayer):
        return GatedLayer(**{f.name: _to_device(getattr(value, f.name), device) for f in fields(value)})
    return value


def _gate(pre: Tensor, layer: Any) -> Tensor:
    """Second linear layers (where there are any), layer norms and the gate."""
    core, gate = pre[:, :WIDTH], pre[:, WIDTH:]
    if layer.core is not None:
        hidden = functional.silu(pre)
        core = torch.addmm(layer.bias_second[:WIDTH], hidden[:, :WIDTH], layer.core)
        gate = torch.addmm(layer.bias_second[WIDTH:], hidden[:, WIDTH:], layer.gate)
    shape = (WIDTH,)
    core = functional.layer_norm(core, shape, layer.norm_scale[:WIDTH], layer.norm_shift[:WIDTH])
    gate = functional.layer_norm(gate, shape, layer.norm_scale[WIDTH:], layer.norm_shift[WIDTH:])
    return functional.silu(core) * torch.sigmoid(gate)


class TorchCHGNet:
    """CHGNet on a torch device.

    Parameters
    ----------
    weights : CHGNetWeights
        Parameters.
    device : str
        Torch device, such as ``cpu`` or ``cuda``.
    """

    def __init__(self, weights: CHGNetWeights, device: str = "cpu") -> None:
        self.weights = weights
        self.device = device
        self._w: Any = CHGNetWeights(
            **{f.name: _to_device(getattr(weights, f.name), self.device) for f in fields(weights)}
        )

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
        vectors = torch.tensor(graph.bond_vectors, dtype=torch.float64, device=self.device)
        vectors.requires_grad_(graph.n_bonds > 0)
        site_energies, magmoms = self._forward(graph, vectors)
        gradient = np.zeros((graph.n_bonds, 3))
        if graph.n_bonds:
            gradient = torch.autograd.grad(site_energies.sum(), vectors)[0].double().cpu().numpy()
        reference = self.weights.reference_energies[graph.atomic_numbers - 1]
        return Evaluation(
            site_energies=site_energies.detach().double().cpu().numpy() + reference,
            bond_gradient=gradient,
            magmoms=magmoms.detach().double().cpu().numpy(),
        )

    def _index(self, array: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _radial(self, lengths: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
        """Bessel basis times cutoff polynomial (Gasteiger et al., arXiv:2003.03123, eqs. 7 and 8)."""
        p, scaled = self._w.smoothness, lengths / cutoff
        envelope = (
            1
            - (p + 1) * (p + 2) / 2 * scaled**p
            + p * (p + 2) * scaled ** (p + 1)
            - p * (p + 1) / 2 * scaled ** (p + 2)
        )
        envelope = torch.where(scaled < 1, envelope, 0.0)
        amplitude = envelope / lengths * (2 / cutoff) ** 0.5
        return (amplitude[:, None] * torch.sin(torch.outer(scaled, frequencies.double()))).float()

    def _angle_basis(self, graph: CrystalGraph, directions: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Fourier basis of the angles between short edges."""
        bond = self._index(graph.short_bond)
        sign = torch.from_numpy(graph.short_sign).to(self.device)
        edges = directions[bond] * sign[:, None]
        angle = torch.acos((edges[first] * edges[second]).sum(dim=1) * (1 - 1e-6))
        phase = torch.outer(angle, self._w.angle_frequencies.double())
        constant = torch.full_like(angle[:, None], 0.5**0.5)
        basis = torch.cat([constant, torch.sin(phase), torch.cos(phase)], dim=1)
        return (basis / np.sqrt(np.pi)).float()

    def _forward(self, graph: CrystalGraph, vectors: Tensor) -> tuple[Tensor, Tensor]:
        w = self._w
        lengths = torch.linalg.norm(vectors, dim=1)
        basis = self._radial(lengths, w.bond_frequencies, w.cutoff_A)
        bonds, weights = basis @ w.bond_embedding, basis @ w.bond_weights
        atoms = w.atom_embedding[self._index(graph.atomic_numbers - 1)]
        edge_bond, neighbor = self._index(graph.edge_bond), self._index(graph.edge_neighbor)
        center = self._index(graph.edge_center)
        edge_weights = weights[edge_bond]
        angular = _AngularPart(self, graph, vectors / lengths[:, None], lengths) if graph.n_angles else None
        magmoms = torch.zeros(graph.n_atoms)
        for depth, layer in enumerate(w.atom_layers):
            w_center, w_bond, w_neighbor = layer.blocks
            pre = (atoms @ w_center + layer.bias)[center] + (bonds @ w_bond)[edge_bond]
            pre = pre + (atoms @ w_neighbor)[neighbor]
            messages = _gate(pre, layer) * edge_weights
            atoms = atoms + torch.zeros_like(atoms).index_add(0, center, messages) @ layer.out
            if depth == len(w.atom_layers) - 2:
                magmoms = torch.abs(atoms @ w.magmom_weight + w.magmom_bias)
            if angular is not None and depth < len(w.bond_layers):
                bonds = angular.update(depth, atoms, bonds)
        hidden = functional.layer_norm(atoms, (WIDTH,), w.readout_scale, w.readout_shift)
        for weight, bias in w.readout[:-1]:
            hidden = functional.silu(torch.addmm(bias, hidden, weight))
        return torch.addmm(w.readout[-1][1], hidden, w.readout[-1][0])[:, 0], magmoms


class _AngularPart:
    """Angle features and what they do to the short bonds."""

    def __init__(self, model: TorchCHGNet, graph: CrystalGraph, directions: Tensor, lengths: Tensor) -> None:
        w, index = model._w, model._index
        first, second = graph.angle_first, graph.angle_second
        self.layers = w
        self.n_short = graph.n_short
        self.center = index(graph.short_center[first])
        self.bond_i, self.bond_j = index(graph.short_bond[first]), index(graph.short_bond[second])
        self.angles = (
            model._angle_basis(graph, directions[: self.n_short], index(first), index(second))
            @ w.angle_embedding
        )
        basis = model._radial(lengths[: self.n_short], w.short_frequencies, w.short_cutoff_A)
        self.weights = basis @ w.short_weights

    def _pre(self, layer: Any, atoms: Tensor, short: Tensor) -> Tensor:
        w_i, w_j, w_angle, w_center = layer.blocks
        pre = torch.addmm(layer.bias, self.angles, w_angle) + (short @ w_i)[self.bond_i]
        return pre + (short @ w_j)[self.bond_j] + (atoms @ w_center)[self.center]

    def update(self, depth: int, atoms: Tensor, bonds: Tensor) -> Tensor:
        """Update the short bonds, then the angles; return the bonds."""
        short, layer = bonds[: self.n_short], self.layers.bond_layers[depth]
        messages = _gate(self._pre(layer, atoms, short), layer)
        messages = messages * self.weights[self.bond_i] * self.weights[self.bond_j]
        short = short + torch.zeros_like(short).index_add(0, self.bond_i, messages) @ layer.out
        if depth < len(self.layers.angle_layers):
            layer = self.layers.angle_layers[depth]
            self.angles = self.angles + _gate(self._pre(layer, atoms, short), layer)
        return torch.cat([short, bonds[self.n_short :]])
