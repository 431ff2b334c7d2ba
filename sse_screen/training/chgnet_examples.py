"""Labelled structures as CHGNet's graphs and tensors, and one differentiable evaluation of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from numpy.typing import NDArray

from sse_screen.training.labelled import LabelledStructure

if TYPE_CHECKING:
    from chgnet.model import CHGNet
    from torch import Tensor

EV_PER_A3_IN_GPA = 1.0 / units.GPa


@dataclass(frozen=True)
class Example:
    """One labelled structure as CHGNet's training takes it.

    Attributes
    ----------
    graph : chgnet CrystalGraph
        Made once and kept for all epochs.
    energy : Tensor
        () energy per atom, eV.
    forces : Tensor
        (n_atoms, 3), eV/Å.
    stress : Tensor
        (3, 3) in GPa with ASE's sign, which is CHGNet's (−0.1 times VASP's kbar); NaN where there is none.
    """

    graph: Any
    energy: Tensor
    forces: Tensor
    stress: Tensor


@dataclass(frozen=True)
class Batch:
    """Energies per atom (n,), forces (all atoms, 3), stresses (n, 3, 3) in GPa, atoms of each structure."""

    energies: Tensor
    forces: Tensor
    stresses: Tensor
    n_atoms: Tensor


def make_examples(
    model: CHGNet, structures: Sequence[LabelledStructure], device: str = "cpu"
) -> list[Example]:
    """Make the graphs and tensors of labelled structures.

    Parameters
    ----------
    model : CHGNet
        Its cutoffs count.
    structures : sequence of LabelledStructure
        The data.
    device : str
        Where the tensors go.

    Returns
    -------
    list of Example
        In the same order.
    """
    import torch

    def tensor(values: NDArray[np.float64] | float) -> Tensor:
        """Return single-precision numbers on the device of the model."""
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=device)

    examples = []
    for structure in structures:
        stress = structure.stress_eV_per_A3
        in_GPa = np.full((3, 3), np.nan) if stress is None else stress * EV_PER_A3_IN_GPA
        graph = model.graph_converter(structure.to_structure()).to(device)
        energy = tensor(structure.energy_eV_per_atom)
        examples.append(Example(graph, energy, tensor(structure.forces_eV_per_A), tensor(in_GPa)))
    return examples


def labels_of(examples: Sequence[Example]) -> Batch:
    """Gather the labels of some examples.

    Parameters
    ----------
    examples : sequence of Example
        At least one.

    Returns
    -------
    Batch
        Labels, NaN where a stress is missing.
    """
    import torch

    forces = [example.forces for example in examples]
    return Batch(
        torch.stack([example.energy for example in examples]),
        torch.cat(forces),
        torch.stack([example.stress for example in examples]),
        torch.tensor([len(f) for f in forces], device=forces[0].device),
    )


def predict(model: CHGNet, examples: Sequence[Example], *, differentiable: bool) -> Batch:
    """Evaluate a model with one backward pass for forces and stresses together.

    CHGNet's own ``forward`` makes two, each keeping its graph; the numbers are the same.

    Parameters
    ----------
    model : CHGNet
        On the device of the examples.
    examples : sequence of Example
        At least one.
    differentiable : bool
        Keep what a step of the optimiser needs.

    Returns
    -------
    Batch
        Predictions, detached unless ``differentiable``.
    """
    import torch
    from chgnet.model.model import BatchedGraph

    graphs = [example.graph for example in examples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # chgnet makes the volumes from tensors with gradients
        batch = BatchedGraph.from_graphs(
            graphs, model.bond_basis_expansion, model.angle_basis_expansion, compute_stress=True
        )
    n_atoms = torch.bincount(batch.atom_owners)
    energies = model._compute(batch)["e"]
    positions, strains = list(batch.atom_positions), list(batch.strains)
    total = (energies * n_atoms).sum()
    gradients = torch.autograd.grad(total, [*positions, *strains], create_graph=differentiable)
    forces = -torch.cat(gradients[: len(graphs)])
    stresses = (
        torch.stack(gradients[len(graphs) :])
        / torch.as_tensor(batch.volumes)[:, None, None]
        * EV_PER_A3_IN_GPA
    )
    energies = energies + model.composition_model(graphs)
    if not differentiable:
        energies, forces, stresses = energies.detach(), forces.detach(), stresses.detach()
    return Batch(energies, forces, stresses, n_atoms)


def predict_in_batches(model: CHGNet, examples: Sequence[Example], batch_size: int) -> Batch:
    """Evaluate any number of examples without keeping graphs.

    Parameters
    ----------
    model : CHGNet
        On the device of the examples.
    examples : sequence of Example
        At least one.
    batch_size : int
        Structures at a time.

    Returns
    -------
    Batch
        Predictions in the same order.
    """
    import torch

    parts = [
        predict(model, examples[start : start + batch_size], differentiable=False)
        for start in range(0, len(examples), batch_size)
    ]
    return Batch(
        torch.cat([part.energies for part in parts]),
        torch.cat([part.forces for part in parts]),
        torch.cat([part.stresses for part in parts]),
        torch.cat([part.n_atoms for part in parts]),
    )
