"""What a training gives, whichever code trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sse_screen.documents.training import EpochRecord
from sse_screen.training.atom_reference import ReferenceShift

#: takes epochs done and the most there will be
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes
    ----------
    weights : bytes
        A file with the weights of the best epoch, as :func:`sse_screen.potentials.load_calculator` reads it.
    reference_shift : ReferenceShift
        What was added to the energies of the elements; empty where they were kept.
    history : list of EpochRecord
        One record an epoch.
    """

    weights: bytes
    reference_shift: ReferenceShift
    history: list[EpochRecord]

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights these are."""
        return best_epoch(self.history)


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Give the epoch with the lowest loss on the validation set.

    Parameters
    ----------
    history : sequence of EpochRecord
        At least one.

    Returns
    -------
    int
        The earliest one of equal loss.
    """
    return min(history, key=lambda record: (record.validation_loss, record.epoch)).epoch


def is_finished(history: Sequence[EpochRecord], maximum_epochs: int, patience: int) -> bool:
    """Say whether a training is over.

    Parameters
    ----------
    history : sequence of EpochRecord
        So far.
    maximum_epochs : int
        Last epoch at the latest.
    patience : int
        Epochs without a lower loss on the validation set after which it ends.

    Returns
    -------
    bool
        Never before the first epoch.
    """
    if not history:
        return False
    return len(history) >= maximum_epochs or len(history) - best_epoch(history) >= patience
