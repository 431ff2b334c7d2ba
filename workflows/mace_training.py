"""Jobs that train MACE potentials (extra ``mace``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sse_screen.documents.base import content_hash
from sse_screen.documents.training import MaceProtocol
from sse_screen.potentials.loading import choose_device
from sse_screen.potentials.registration import known_elements
from sse_screen.settings import get_settings
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.mace_training import train_mace
from sse_screen.training.reference_set import reference_set
from sse_screen.training.result import Progress, TrainingResult
from sse_screen.training.sets import TrainingSets
from sse_screen.workflows.runtime import calculator_for
from sse_screen.workflows.training import TrainingMaker, read_labels


@dataclass
class MaceTrainingMaker(TrainingMaker):
    """Train a MACE: from scratch, fine-tuned, or fine-tuned with a second head on replayed structures.

    Parameters
    ----------
    parent : PotentialIdentity or None
        Foundation model, which the user brings as a file, told by its sha256; None from scratch.
    protocol : MaceProtocol
        Method, architecture, weights, epochs.
    split : SplitProtocol
        What chooses the epoch and what is only tested on.
    seed : int
        Seed of weights and batches.
    replay : BlobReference or None
        Packed structures with the foundation's labels for the second head; without them, crystals of the
        library that the foundation itself labels.
    """

    protocol: MaceProtocol = field(default_factory=MaceProtocol)
    name: str = "MACE training"
    code = "mace"

    @property
    def method(self) -> str:
        """How it is trained, as the registry names it."""
        return f"MACE {self.protocol.method}"

    def train(
        self, sets: TrainingSets, parent: Path | None, folder: Path, progress: Progress
    ) -> TrainingResult:
        """Train, or go on."""
        return train_mace(
            sets,
            self.protocol,
            self.seed,
            folder,
            foundation=parent,
            replay=self._replayed(parent),
            progress=progress,
            device=choose_device(get_settings().device),
        )

    def _replayed(self, path: Path | None) -> tuple[LabelledStructure, ...]:
        if path is None or self.parent is None or self.protocol.method != "multihead":
            return ()
        if self.replay is not None:
            return tuple(read_labels([self.replay]))
        # a seed of its own: the gates test for forgetting on displaced crystals of the same library
        seed = int(content_hash(["replay", self.seed])[:8], 16)
        return reference_set(calculator_for(self.parent), known_elements(self.parent, path), seed)
