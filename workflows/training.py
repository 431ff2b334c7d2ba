"""Jobs that make potentials from labels."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Maker, Response, job

from sse_screen.documents.base import BlobReference, PotentialIdentity, content_hash
from sse_screen.documents.label import unpack_labels
from sse_screen.documents.training import (
    MaceProtocol,
    SetMetrics,
    SplitProtocol,
    TrainingOutput,
    TrainingProtocol,
    training_key,
)
from sse_screen.dynamics.molecular_dynamics import write_durably
from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator
from sse_screen.potentials.registration import SUFFIXES
from sse_screen.potentials.registry import find_potential
from sse_screen.settings import get_settings
from sse_screen.training.atom_reference import fit_reference_shift
from sse_screen.training.datasets import dataset_hash
from sse_screen.training.fine_tuning import fine_tune
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import formulas_of, parity_points, predict_with, set_metrics
from sse_screen.training.result import Progress, TrainingResult
from sse_screen.training.sets import TrainingSets, split_labels
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker

_CODES = {"chgnet": "CHGNet", "mace": "MACE"}
_UNDETERMINED = (
    "the compositions learnt from do not tell the energies of all elements apart; energies of other "
    "compositions may be off by a constant"
)


@dataclass
class TrainingMaker(Maker):
    """Train a potential on labelled structures; a killed training goes on at its last epoch.

    Parameters
    ----------
    parent : PotentialIdentity or None
        What the training begins with, resolved at submission; the worker checks the hash. None from scratch.
    protocol : TrainingProtocol or MaceProtocol
        Loss, learning rate, patience and so on.
    split : SplitProtocol
        What chooses the epoch and what is only tested on.
    seed : int
        Seed of weights that are new and of the order of the structures.
    replay : BlobReference or None
        Packed structures with the parent's labels, for a method that learns them again.
    """

    parent: PotentialIdentity | None = None
    protocol: TrainingProtocol | MaceProtocol = field(default_factory=TrainingProtocol)
    split: SplitProtocol = field(default_factory=SplitProtocol)
    seed: int = 1
    replay: BlobReference | None = None

    @property
    @abstractmethod
    def code(self) -> str:
        """Code that trains, as potentials name it."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How it is trained, as the registry names it."""

    @abstractmethod
    def train(
        self, sets: TrainingSets, parent: Path | None, folder: Path, progress: Progress
    ) -> TrainingResult:
        """Train, or go on.

        Parameters
        ----------
        sets : TrainingSets
            Labelled structures.
        parent : Path or None
            File to begin with.
        folder : Path
            Of this training alone.
        progress : callable
            Takes epochs done and the most there will be.

        Returns
        -------
        TrainingResult
            The weights and their course.
        """

    @job
    def make(
        self,
        potential_name: str,
        labels: list[BlobReference | dict[str, Any]],
        inputs: list[str] | None = None,
    ) -> Response[TrainingOutput]:
        """Train.

        Parameters
        ----------
        potential_name : str
            What to call the new potential.
        labels : list of BlobReference
            Packed labels (``packed`` of label batches).
        inputs : list of str, optional
            uuids of the jobs that the labels are from.

        Returns
        -------
        Response
            A :class:`TrainingOutput`.
        """
        if self.parent is not None and self.parent.code != self.code:
            raise InputError(
                f"parent {self.parent.name!r}: is a {self.parent.code}, not a {_CODES[self.code]}"
            )
        packed = [BlobReference.model_validate(reference) for reference in labels]
        sets = split_labels(read_labels(packed), self.split)
        replayed = None if self.replay is None else self.replay.sha256
        named = content_hash([sets.sha256, potential_name, replayed])
        key = training_key(named, self.parent, self.protocol, self.seed, self.method)

        def compute(folder: Path) -> TrainingOutput:
            """Train and judge."""
            started = time.perf_counter()
            parent = self.parent
            path = None if parent is None else find_potential(name_or_file(parent, worker().blobs)).path
            report = reporter(folder, f"{potential_name} epochs")
            result = self.train(sets, path, folder, report)
            weights = folder / f"weights{SUFFIXES[self.code]}"
            write_durably(weights, result.weights)
            return TrainingOutput(
                calculation_key=key,
                **describe_potential(self.method, potential_name, sets, weights),
                **_course(result, self.protocol),
                labels=packed,
                replay=self.replay,
                parent=parent,
                parent_test=None if parent is None else errors_of_parent(parent, sets),
                protocol=self.protocol,
                split=self.split,
                seed=self.seed,
                total_time_s=time.perf_counter() - started,
                inputs=inputs or [],
                versions=versions(),
            )

        return once(key, TrainingOutput, compute)


@dataclass
class FineTuningMaker(TrainingMaker):
    """Fine-tune a CHGNet.

    Parameters
    ----------
    parent : PotentialIdentity
        The CHGNet to begin with.
    protocol : TrainingProtocol
        Loss, learning rate, patience and so on.
    split : SplitProtocol
        What chooses the epoch and what is only tested on.
    seed : int
        Seed of the order of the structures.
    """

    protocol: TrainingProtocol = field(default_factory=TrainingProtocol)
    name: str = "fine-tuning"
    code = "chgnet"
    method = "fine-tuning"

    def train(
        self, sets: TrainingSets, parent: Path | None, folder: Path, progress: Progress
    ) -> TrainingResult:
        """Fine-tune, or go on."""
        if parent is None:
            raise InputError("FineTuningMaker: give the parent, a CHGNet")
        device = get_settings().device
        return fine_tune(sets, parent, self.protocol, self.seed, folder, progress, device)


def errors_of_parent(parent: PotentialIdentity, sets: TrainingSets) -> SetMetrics:
    """Give a parent's errors on the test set, with energies of the elements from the training set.

    Parameters
    ----------
    parent : PotentialIdentity
        What the training began with.
    sets : TrainingSets
        Labelled structures.

    Returns
    -------
    SetMetrics
        What a new potential has to beat.
    """
    calculator = calculator_for(parent.model_copy(update={"elements": None}))
    learnt = predict_with(calculator, sets.training)
    shift = fit_reference_shift(sets.training, learnt.energies_eV_per_atom)
    return set_metrics(sets.test, predict_with(calculator, sets.test).shifted(sets.test, shift))


def read_labels(packed: list[BlobReference]) -> list[LabelledStructure]:
    """Read labels from the blob store.

    Parameters
    ----------
    packed : list of BlobReference
        Packed labels.

    Returns
    -------
    list of LabelledStructure
        Every label checked against its hash.
    """
    return [
        label.to_labelled()
        for reference in packed
        for label in unpack_labels(worker().blobs.get(reference.sha256))
    ]


def describe_potential(method: str, potential_name: str, sets: TrainingSets, weights: Path) -> dict[str, Any]:
    """Store the weights, load them as production does, and judge them on the sets.

    Parameters
    ----------
    method : str
        How it was trained.
    potential_name : str
        What to call the potential.
    sets : TrainingSets
        Labelled structures.
    weights : Path
        The new file.

    Returns
    -------
    dict
        Fields of :class:`TrainingOutput`.
    """
    level = sets.level_of_theory
    stored = worker().blobs.put_file(weights, "application/x-torch")
    identity = find_potential(str(weights)).identity.model_copy(
        update={
            "name": potential_name,
            "level_of_theory": level.describe(),
            "elements": sets.elements,
        }
    )
    calculator = load_calculator(str(weights), device=get_settings().device)
    tested = predict_with(calculator, sets.test)
    unseen = sets.unseen_composition
    return {
        "name": potential_name,
        "method": method,
        "weights": stored,
        "potential": identity,
        "elements": sets.elements,
        "chemical_system": "-".join(sets.elements),
        "formulas": formulas_of(sets.training),
        "level_of_theory": level.describe(),
        "level_of_theory_id": level.identifier,
        "dataset_sha256": sets.sha256,
        "validation_sha256": dataset_hash(sets.validation),
        "test_sha256": dataset_hash(sets.test),
        "n_training": len(sets.training),
        "n_validation": len(sets.validation),
        "n_test": len(sets.test),
        "training": set_metrics(sets.training, predict_with(calculator, sets.training)),
        "validation": set_metrics(sets.validation, predict_with(calculator, sets.validation)),
        "test": set_metrics(sets.test, tested),
        "unseen_composition": set_metrics(unseen, predict_with(calculator, unseen)) if unseen else None,
        "parity": parity_points(sets.test, tested),
    }


def _course(result: TrainingResult, protocol: TrainingProtocol | MaceProtocol) -> dict[str, Any]:
    return {
        "reference_shift_eV": result.reference_shift.shift_eV,
        "best_epoch": result.best_epoch,
        "n_epochs": len(result.history),
        "stopped_early": len(result.history) < protocol.maximum_epochs,
        "history": result.history,
        "warnings": [] if result.reference_shift.determined else [_UNDETERMINED],
    }


@dataclass
class LearningCurveFlowMaker(Maker):
    """The same training at several sizes of the training set, nested in one another.

    Parameters
    ----------
    training : TrainingMaker
        The training; the seed of its split decides what all are judged by.
    fractions : tuple of float
        Shares of the structures to learn from; the largest one gives the potential.
    seeds : tuple of int
        Seeds of the trainings at each size.
    """

    training: TrainingMaker
    fractions: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    seeds: tuple[int, ...] = (1,)
    name: str = "learning curve"

    def make(
        self,
        potential_name: str,
        labels: list[Any],
        inputs: list[str] | None = None,
    ) -> Flow:
        """Compose the flow.

        Parameters
        ----------
        potential_name : str
            What to call the potential of the largest size and first seed, which the flow's output is of; the
            others get their share and seed added.
        labels : list of BlobReference
            Packed labels.
        inputs : list of str, optional
            uuids of the jobs that the labels are from.

        Returns
        -------
        Flow
            One training a size and seed.
        """
        jobs: dict[str, Flow | Job] = {}
        for fraction in sorted(set(self.fractions)):
            split = self.training.split.model_copy(
                update={"n_training": None, "training_fraction": float(fraction)}
            )
            for seed in self.seeds:
                main = fraction == max(self.fractions) and seed == self.seeds[0]
                label = potential_name if main else f"{potential_name}-{100 * fraction:g}pct-seed{seed}"
                maker = replace(self.training, split=split, seed=seed)
                made: Job = maker.make(label, labels, inputs)
                made.name = f"{label} {maker.method}"
                jobs[label] = made
        chosen = jobs[potential_name]
        return Flow(list(jobs.values()), output=chosen.output, name=f"{potential_name} {self.name}")
