"""The process that trains a MACE: MACE's own program, with a loop over epochs that goes on after a kill.

MACE 0.3.16 keeps the best epoch only, and takes it up without the order of the structures, the patience and
the last step of the schedule, so that a training that goes on ends with other numbers. Here all of that is on
the disk after each epoch; steps, losses and the model stay MACE's.

Run as ``python -m sse_screen.training.mace_process IDENTITY OPTIONS``, in the folder of the training, with
the options of ``mace_run_train``.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from sse_screen.documents.training import EpochRecord
from sse_screen.dynamics.molecular_dynamics import write_durably
from sse_screen.training.checkpoint import read_checkpoint, write_checkpoint
from sse_screen.training.errors import TrainingDivergedError
from sse_screen.training.result import best_epoch, is_finished

CHECKPOINT = Path("checkpoint.pt")
HISTORY = Path("history.json")
_HISTORY = TypeAdapter(list[EpochRecord])


@dataclass
class _Steps:
    """Stands in for MACE's record of steps, and keeps their losses."""

    losses: list[float] = field(default_factory=list)

    def log(self, entry: dict[str, Any]) -> None:
        """Take the loss of a step."""
        self.losses.append(float(entry["loss"]))


@dataclass
class _Training:
    """Everything that changes from epoch to epoch."""

    model: Any
    optimizer: Any
    scheduler: Any
    order: Any  # generator of the order of the structures
    history: list[EpochRecord] = field(default_factory=list)
    best_state: dict[str, Any] = field(default_factory=dict)

    def save(self, identity: str) -> None:
        """Write the state, then the history for the process that waits."""
        import torch

        state = {
            "identity": identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "torch_random_state": torch.get_rng_state(),
            "order": self.order.get_state(),
            "history": [record.model_dump() for record in self.history],
            "best_state": self.best_state,
        }
        write_checkpoint(CHECKPOINT, state)
        write_durably(HISTORY, _HISTORY.dump_json(self.history))

    def restore(self, identity: str) -> None:
        """Go on where a training of the same identity was killed, if there is one."""
        import torch

        state = read_checkpoint(CHECKPOINT, identity)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["torch_random_state"])
        self.order.set_state(state["order"])
        self.history = [EpochRecord.model_validate(record) for record in state["history"]]
        self.best_state = state["best_state"]


def read_history(folder: Path) -> list[EpochRecord]:
    """Read the epochs that a training has done.

    Parameters
    ----------
    folder : Path
        Of the training.

    Returns
    -------
    list of EpochRecord
        Empty before the first one ended.
    """
    path = folder / HISTORY
    return _HISTORY.validate_json(path.read_bytes()) if path.exists() else []


def main() -> None:
    """Run MACE's program with the loop of this module."""
    import mace  # noqa: F401 - has to be imported before e3nn
    from mace import tools
    from mace.cli import run_train

    identity, options = sys.argv[1], sys.argv[2:]
    parent = os.getppid()

    def train(**given: Any) -> None:
        """Stand in for MACE's own loop."""
        _train(identity, parent, **given)

    vars(tools)["train"] = train  # the program looks it up when it comes to it
    run_train.run(tools.build_default_arg_parser().parse_args(options))


def _train(
    identity: str,
    parent: int,
    *,
    model: Any,
    train_loader: Any,
    valid_loaders: dict[str, Any],
    optimizer: Any,
    lr_scheduler: Any,
    max_num_epochs: int,
    patience: int,
    checkpoint_handler: Any,
    **given: Any,
) -> None:
    """Train as ``mace.tools.train`` does; the last head is that of the labels."""
    from mace.tools import CheckpointState

    training = _Training(model, optimizer, lr_scheduler, train_loader.generator)
    training.restore(identity)
    *_, judged = valid_loaders.values()
    while not is_finished(training.history, max_num_epochs, patience):
        _epoch(training, train_loader, judged, given)
        training.save(identity)
        if os.getppid() != parent:
            sys.exit("the process that waits for this training is gone")
    model.load_state_dict(training.best_state)
    # MACE ends with its latest checkpoint, which becomes the model
    checkpoint_handler.save(CheckpointState(model, optimizer, lr_scheduler), best_epoch(training.history))


def _epoch(training: _Training, train_loader: Any, judged: Any, given: dict[str, Any]) -> None:
    from mace.tools.train import evaluate, train_one_epoch

    number = len(training.history) + 1
    if number > 1:
        training.scheduler.step(metrics=training.history[-1].validation_loss)
    shared = {name: given[name] for name in ("loss_fn", "output_args", "device")}
    steps: Any = _Steps()
    train_one_epoch(
        model=training.model,
        data_loader=train_loader,
        optimizer=training.optimizer,
        epoch=number,
        max_grad_norm=given["max_grad_norm"],
        ema=None,
        logger=steps,
        distributed=False,
        **shared,
    )
    loss, errors = evaluate(model=training.model, data_loader=judged, **shared)
    if not math.isfinite(float(loss)):
        raise TrainingDivergedError(f"epoch {number}: the validation loss is {float(loss)}")
    training.history.append(
        EpochRecord(
            epoch=number,
            learning_rate=float(training.optimizer.param_groups[0]["lr"]),
            training_loss=float(np.mean(steps.losses)),
            validation_loss=float(loss),
            energy_error_eV_per_atom=float(errors["rmse_e_per_atom"]),
            force_error_eV_per_A=float(errors["rmse_f"]),
        )
    )
    if best_epoch(training.history) == number:
        state = training.model.state_dict()
        training.best_state = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


if __name__ == "__main__":
    main()
