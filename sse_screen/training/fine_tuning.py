"""Fine-tuning of CHGNet: energies of the elements first, then epochs with a checkpoint after each.

A training lives in a folder of its own. After each epoch the file ``checkpoint.pt`` there holds all that the
next one needs (weights, optimiser, schedule, random states) and the best weights so far, so that a training
that was killed goes on at its last epoch: on one thread of the same machine with the same numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sse_screen.documents.base import content_hash
from sse_screen.documents.training import EpochRecord, LearningRateSchedule, TrainingProtocol
from sse_screen.potentials.loading import choose_device, load_chgnet
from sse_screen.training.atom_reference import ReferenceShift, check_reference, fit_reference_shift
from sse_screen.training.checkpoint import read_checkpoint, to_bytes, write_checkpoint
from sse_screen.training.chgnet_examples import (
    Batch,
    Example,
    labels_of,
    make_examples,
    predict,
    predict_in_batches,
)
from sse_screen.training.errors import TrainingDivergedError, TrainingInputError
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.losses import loss_of
from sse_screen.training.result import Progress, TrainingResult, best_epoch, is_finished
from sse_screen.training.sets import TrainingSets

if TYPE_CHECKING:
    from chgnet.model import CHGNet
    from torch.optim import Optimizer

CHECKPOINT = "checkpoint.pt"


@dataclass
class _Training:
    """Everything that changes from epoch to epoch."""

    model: CHGNet
    optimizer: Optimizer
    scheduler: Any
    rng: np.random.Generator
    history: list[EpochRecord] = field(default_factory=list)
    best_state: dict[str, Any] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return all that a training goes on from, for the checkpoint."""
        import torch

        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "torch_random_state": torch.get_rng_state(),
            "numpy_random_state": self.rng.bit_generator.state,
            "history": [record.model_dump() for record in self.history],
            "best_state": self.best_state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        import torch

        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["torch_random_state"])
        self.rng.bit_generator.state = state["numpy_random_state"]
        self.history = [EpochRecord.model_validate(record) for record in state["history"]]
        self.best_state = state["best_state"]


def fine_tune(
    sets: TrainingSets,
    parent: Path,
    protocol: TrainingProtocol,
    seed: int,
    folder: Path,
    progress: Progress = lambda _done, _total: None,
    device: str | None = None,
) -> TrainingResult:
    """Fine-tune a CHGNet, or go on where a killed training stopped.

    Parameters
    ----------
    sets : TrainingSets
        Labelled structures to learn from and to judge by.
    parent : Path
        CHGNet file to begin with.
    protocol : TrainingProtocol
        Loss, learning rate, patience and so on.
    seed : int
        Seed of the order of the structures.
    folder : Path
        Of this training alone; holds the checkpoint.
    progress : callable
        Takes epochs done and the most there will be.
    device : str, optional
        ``cpu``, ``cuda``; by default the GPU when there is one.

    Returns
    -------
    TrainingResult
        With the best weights, read from the disk.

    Raises
    ------
    TrainingInputError
        Unknown layers to freeze, element energies that are off, a checkpoint of another training.
    TrainingDivergedError
        A loss became infinite or no number.
    """
    import torch

    device = choose_device(device)
    torch.manual_seed(seed)
    model = load_chgnet(parent).to(device)
    learnt = make_examples(model, sets.training, device)
    judged = make_examples(model, sets.validation, device)
    shift = _set_reference(model, sets.training, learnt, protocol)
    training = _start(model, protocol, seed)
    path = folder / CHECKPOINT
    began_with = hashlib.sha256(parent.read_bytes()).hexdigest()
    identity = content_hash([sets.sha256, began_with, protocol.model_dump(mode="json"), seed])
    if (state := read_checkpoint(path, identity)) is not None:
        training.restore(state)
    while not is_finished(training.history, protocol.maximum_epochs, protocol.patience):
        _epoch(training, learnt, judged, protocol)
        write_checkpoint(path, training.state() | {"identity": identity})
        progress(len(training.history), protocol.maximum_epochs)
    state = read_checkpoint(path, identity)
    assert state is not None  # at least one epoch was run
    best = {"model_args": dict(model.model_args), "state_dict": state["best_state"]}
    return TrainingResult(to_bytes({"model": best}), shift, training.history)


def _set_reference(
    model: CHGNet,
    structures: Sequence[LabelledStructure],
    examples: Sequence[Example],
    protocol: TrainingProtocol,
) -> ReferenceShift:
    """Refit the elements' energies to the labels, or refuse those that are off."""
    import torch
    from ase.data import atomic_numbers

    predicted = predict_in_batches(model, examples, protocol.batch_size).energies.double().cpu().numpy()
    if protocol.atom_reference == "keep":
        check_reference(structures, predicted, protocol.maximum_reference_error_eV_per_atom)
        return ReferenceShift({}, 0.0, True)
    shift = fit_reference_shift(structures, predicted)
    weights = model.get_parameter("composition_model.fc.weight")
    with torch.no_grad():
        for element, value in shift.shift_eV.items():
            weights[0, atomic_numbers[element] - 1] += value
    return shift


def _start(model: CHGNet, protocol: TrainingProtocol, seed: int) -> _Training:
    """Make the state before the first epoch."""
    import torch

    _freeze(model, ("composition_model", *protocol.frozen_layers))
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not free:
        raise TrainingInputError("frozen_layers: all layers are frozen, so there is nothing to train")
    optimizer = torch.optim.Adam(free, lr=protocol.learning_rate)
    factor = _factor_of(protocol.schedule, protocol.maximum_epochs)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return _Training(model, optimizer, scheduler, np.random.default_rng(seed))


def _freeze(model: CHGNet, prefixes: Sequence[str]) -> None:
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(name == prefix or name.startswith(prefix + ".") for name in names):
            layers = sorted({name.split(".")[0] for name in names})
            raise TrainingInputError(
                f"frozen_layers: {prefix!r} is no layer; there are {', '.join(layers)}, and parts of them "
                "such as atom_conv_layers.0"
            )
    for name, parameter in model.named_parameters():
        frozen = any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
        parameter.requires_grad = not frozen


def _factor_of(schedule: LearningRateSchedule, maximum_epochs: int) -> Callable[[int], float]:
    """Give the learning rate's factor as a function of the epochs done."""
    if schedule.kind == "constant":
        return lambda _epoch: 1.0
    if schedule.kind == "step":
        return lambda epoch: float(schedule.factor ** (epoch // schedule.interval))
    last = max(maximum_epochs - 1, 1)
    low = schedule.factor
    return lambda epoch: low + (1 - low) * (1 + math.cos(math.pi * min(epoch, last) / last)) / 2


def _learn(training: _Training, learnt: Sequence[Example], protocol: TrainingProtocol) -> list[float]:
    """Take the steps of one epoch and give their losses."""
    order = training.rng.permutation(len(learnt))
    losses = []
    for start in range(0, len(order), protocol.batch_size):
        chosen = [learnt[i] for i in order[start : start + protocol.batch_size]]
        training.optimizer.zero_grad()
        loss = loss_of(protocol.loss, predict(training.model, chosen, differentiable=True), labels_of(chosen))
        if not bool(loss.isfinite()):
            raise TrainingDivergedError(
                f"epoch {len(training.history) + 1}: the loss is {float(loss)}; use a lower learning_rate "
                f"than {protocol.learning_rate:g}"
            )
        loss.backward()
        training.optimizer.step()
        losses.append(float(loss.detach()))
    training.scheduler.step()
    return losses


def _epoch(
    training: _Training,
    learnt: Sequence[Example],
    judged: Sequence[Example],
    protocol: TrainingProtocol,
) -> None:
    """Run one epoch, judge it, and remember its weights when they are the best."""
    number = len(training.history) + 1
    learning_rate = float(training.optimizer.param_groups[0]["lr"])
    losses = _learn(training, learnt, protocol)
    predicted, labels = predict_in_batches(training.model, judged, protocol.batch_size), labels_of(judged)
    validation_loss = float(loss_of(protocol.loss, predicted, labels))
    if not math.isfinite(validation_loss):
        raise TrainingDivergedError(f"epoch {number}: the validation loss is {validation_loss}")
    record = EpochRecord(
        epoch=number,
        learning_rate=learning_rate,
        training_loss=float(np.mean(losses)),
        validation_loss=validation_loss,
        energy_error_eV_per_atom=_root_mean_square(predicted, labels, "energies"),
        force_error_eV_per_A=_root_mean_square(predicted, labels, "forces"),
    )
    training.history.append(record)
    if best_epoch(training.history) == number:
        state = training.model.state_dict()
        training.best_state = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _root_mean_square(predicted: Batch, labels: Batch, name: str) -> float:
    difference = (getattr(predicted, name) - getattr(labels, name)).double()
    return float((difference**2).mean().sqrt())
