"""Losses of predictions against labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_screen.documents.training import BalancedSquaredLoss, HuberLoss
from sse_screen.training.chgnet_examples import Batch

if TYPE_CHECKING:
    from torch import Tensor


def loss_of(loss: HuberLoss | BalancedSquaredLoss, predicted: Batch, labels: Batch) -> Tensor:
    """Give the loss of some structures.

    Parameters
    ----------
    loss : HuberLoss or BalancedSquaredLoss
        Which one, with its weights.
    predicted, labels : Batch
        Of the same structures; a stress label may be NaN and then does not count.

    Returns
    -------
    Tensor
        ().
    """
    if isinstance(loss, BalancedSquaredLoss):
        return _balanced_squared(loss, predicted, labels)
    return _huber(loss, predicted, labels)


def _huber(loss: HuberLoss, predicted: Batch, labels: Batch) -> Tensor:
    from torch.nn.functional import huber_loss

    known = ~labels.stresses.isnan()
    total = loss.energy_weight * huber_loss(predicted.energies, labels.energies, delta=loss.delta)
    total = total + loss.force_weight * huber_loss(predicted.forces, labels.forces, delta=loss.delta)
    if loss.stress_weight > 0 and bool(known.any()):
        stress = huber_loss(predicted.stresses[known], labels.stresses[known], delta=loss.delta)
        total = total + loss.stress_weight * stress
    return total


def _balanced_squared(loss: BalancedSquaredLoss, predicted: Batch, labels: Batch) -> Tensor:
    import torch

    n_atoms = labels.n_atoms
    owners = torch.repeat_interleave(torch.arange(len(n_atoms), device=n_atoms.device), n_atoms)
    squares = ((predicted.forces - labels.forces) ** 2).sum(dim=1)
    of_forces = torch.zeros_like(labels.energies).index_add(0, owners, squares) / (3 * n_atoms)
    of_energies = ((predicted.energies - labels.energies) * n_atoms) ** 2
    return ((1 - loss.beta) * of_energies + loss.beta * of_forces).mean()
