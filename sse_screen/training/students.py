"""Students of a self-consistent loop: what is trained, and how it is trained harder when it broke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from sse_screen.documents.base import PotentialIdentity, Specification
from sse_screen.documents.training import TrainingProtocol
from sse_screen.potentials.registry import find_potential
from sse_screen.training.datasets import Dataset, SplitBy, run_of, split_dataset
from sse_screen.training.linear import LinearProtocol, design_rows, fit_committee, fit_linear_potential

if TYPE_CHECKING:
    from pathlib import Path

    from sse_screen.training.labelled import LabelledStructure
    from sse_screen.training.sets import TrainingSets


class LinearStudent(Specification):
    """A linear potential; when it broke, it is fitted with a larger penalty."""

    kind: Literal["linear"] = "linear"
    protocol: LinearProtocol

    @property
    def code(self) -> str:
        """Code that evaluates it."""
        return "lammps"

    @property
    def parent_identity(self) -> PotentialIdentity | None:
        """What its training begins with: nothing."""
        return None

    def train(
        self, structures: Sequence[LabelledStructure], n_members: int, seed: int, refits: int, _folder: Path
    ) -> list[bytes]:
        """Fit to labels.

        Parameters
        ----------
        structures : sequence of LabelledStructure
            What to learn.
        n_members : int
            Size of the committee, 0 for none.
        seed : int
            Of the committee's draws.
        refits : int
            How often it broke: the penalty is 10 times larger each time.

        Returns
        -------
        list of bytes
            Weights of the student, then of the members.
        """
        protocol = self.protocol.model_copy(update={"ridge": self.protocol.ridge * 10.0**refits})
        rows = design_rows(structures, protocol)
        potentials = [fit_linear_potential(rows, protocol, "student")]
        if n_members:
            potentials += fit_committee(rows, protocol, "member", n_members, seed)
        return [potential.canonical_bytes for potential in potentials]


class FineTunedStudent(Specification):
    """A fine-tuned CHGNet; when it broke, it is trained with a batch twice as large."""

    kind: Literal["fine_tuned"] = "fine_tuned"
    parent: str = Field("chgnet", description="Name or path of the CHGNet to begin with")
    protocol: TrainingProtocol = TrainingProtocol()
    held_out_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the labels, in whole runs, that chooses the epoch"
    )

    @property
    def code(self) -> str:
        """Code that evaluates it."""
        return "chgnet"

    @property
    def parent_identity(self) -> PotentialIdentity | None:
        """What its training begins with."""
        return find_potential(self.parent).identity

    def train(
        self, structures: Sequence[LabelledStructure], n_members: int, seed: int, refits: int, folder: Path
    ) -> list[bytes]:
        """Fine-tune on labels.

        Parameters
        ----------
        structures : sequence of LabelledStructure
            What to learn. Frames of a run are kept together, so that none chooses the epoch for frames a few
            femtoseconds away; only where all are of one run is that run divided.
        n_members : int
            Size of the committee, 0 for none; members differ by their split and their order.
        seed : int
            Of the first split.
        refits : int
            How often it broke: the batch is twice as large each time.
        folder : Path
            Keeps checkpoints, so that a training that was killed goes on.

        Returns
        -------
        list of bytes
            Weights of the student, then of the members.
        """
        from sse_screen.training.fine_tuning import fine_tune

        protocol = self.protocol.model_copy(update={"batch_size": self.protocol.batch_size * 2**refits})
        parent = find_potential(self.parent).path
        trained = []
        for member in range(n_members + 1):
            sets = _split_by_run(structures, self.held_out_fraction, np.random.default_rng([seed, member]))
            mine = folder / f"member_{member}"
            mine.mkdir(parents=True, exist_ok=True)
            trained.append(fine_tune(sets, parent, protocol, seed + member, mine).weights)
        return trained


def _split_by_run(
    structures: Sequence[LabelledStructure], held_out_fraction: float, rng: np.random.Generator
) -> TrainingSets:
    """Hold out whole runs, or frames where there is one run only."""
    from sse_screen.training.sets import TrainingSets

    by: SplitBy = "run" if len({run_of(structure) for structure in structures}) > 1 else "parent"
    fractions = {"training": 1.0 - held_out_fraction, "validation": held_out_fraction}
    parts = split_dataset(Dataset(tuple(structures)), fractions, rng, by=by)
    return TrainingSets(parts["training"].structures, parts["validation"].structures, by=by)


Student = Annotated[LinearStudent | FineTunedStudent, Field(discriminator="kind")]
