"""Jobs that make potentials from labels."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Maker, Response, job

from sse_screen.documents.base import BlobReference, PotentialIdentity, content_hash
from sse_screen.documents.label import unpack_labels
from sse_screen.documents.training import (
    SetMetrics,
    SplitProtocol,
    TrainingOutput,
    TrainingProtocol,
    training_key,
)
from sse_screen.dynamics.molecular_dynamics import write_durably
from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator
from sse_screen.potentials.registry import find_potential
from sse_screen.settings import get_settings
from sse_screen.training.atom_reference import ReferenceShift, fit_reference_shift
from sse_screen.training.fine_tuning import FineTuningResult, fine_tune
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import formulas_of, parity_points, predict_with, set_metrics
from sse_screen.training.sets import TrainingSets, split_labels
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker

METHOD = "fine-tuning"
_UNDETERMINED = (
    "the compositions learnt from do not tell the energies of all elements apart; energies of other "
    "compositions may be off by a constant"
)


@dataclass
class FineTuningMaker(Maker):
    """Fine-tune a CHGNet on labelled structures; a killed training goes on at its last epoch.

    Parameters
    ----------
    parent : PotentialIdentity
        The CHGNet to begin with, resolved at submission; the worker checks the hash.
    protocol : TrainingProtocol
        Loss, learning rate, patience and so on.
    split : SplitProtocol
        What is held out and what is only tested on.
    seed : int
        Seed of the order of the structures.
    """

    parent: PotentialIdentity
    protocol: TrainingProtocol = field(default_factory=TrainingProtocol)
    split: SplitProtocol = field(default_factory=SplitProtocol)
    seed: int = 1
    name: str = "fine-tuning"

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
        if self.parent.code != "chgnet":
            raise InputError(f"parent {self.parent.name!r}: {self.parent.code} cannot be fine-tuned here")
        packed = [BlobReference.model_validate(reference) for reference in labels]
        sets = split_labels(read_labels(packed), self.split)
        named = content_hash([sets.sha256, potential_name])
        key = training_key(named, self.parent, self.protocol, self.seed, METHOD)

        def compute(folder: Path) -> TrainingOutput:
            started = time.perf_counter()
            result = fine_tune(
                sets,
                find_potential(name_or_file(self.parent, worker().blobs)).path,
                self.protocol,
                self.seed,
                folder,
                reporter(folder, f"{potential_name} epochs"),
                get_settings().device,
            )
            weights = folder / "weights.pth.tar"
            write_durably(weights, result.weights)
            described = describe_potential(METHOD, potential_name, sets, weights)
            return TrainingOutput(
                calculation_key=key,
                **described,
                **_course(result),
                labels=packed,
                parent=self.parent,
                parent_held_out=errors_of_parent(self.parent, sets),
                protocol=self.protocol,
                split=self.split,
                seed=self.seed,
                total_time_s=time.perf_counter() - started,
                inputs=inputs or [],
                versions=versions(),
            )

        return once(key, TrainingOutput, compute)


def errors_of_parent(parent: PotentialIdentity, sets: TrainingSets) -> SetMetrics:
    """Give a parent's errors on the held-out set, with energies of the elements from the training set.

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
    return set_metrics(sets.held_out, predict_with(calculator, sets.held_out).shifted(sets.held_out, shift))


def undetermined(shift: ReferenceShift) -> list[str]:
    """Warn of energies of elements that the labels do not tell.

    Parameters
    ----------
    shift : ReferenceShift
        As fitted.

    Returns
    -------
    list of str
        Empty where they do.
    """
    return [] if shift.determined else [_UNDETERMINED]


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
    judged = predict_with(calculator, sets.held_out)
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
        "held_out_sha256": sets.held_out_sha256,
        "n_training": len(sets.training),
        "n_held_out": len(sets.held_out),
        "training": set_metrics(sets.training, predict_with(calculator, sets.training)),
        "held_out": set_metrics(sets.held_out, judged),
        "unseen_composition": set_metrics(unseen, predict_with(calculator, unseen)) if unseen else None,
        "parity": parity_points(sets.held_out, judged),
    }


def _course(result: FineTuningResult) -> dict[str, Any]:
    return {
        "reference_shift_eV": result.reference_shift.shift_eV,
        "best_epoch": result.best_epoch,
        "n_epochs": len(result.history),
        "stopped_early": result.stopped_early,
        "history": result.history,
        "warnings": undetermined(result.reference_shift),
    }


@dataclass
class LearningCurveFlowMaker(Maker):
    """The same training at several sizes of the training set, nested in one another.

    Parameters
    ----------
    training : FineTuningMaker
        The training; the seed of its split decides what is held out from all.
    fractions : tuple of float
        Shares of the structures to learn from; the largest one gives the potential.
    seeds : tuple of int
        Seeds of the trainings at each size.
    """

    training: FineTuningMaker
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
        jobs: list[Flow | Job] = []
        for fraction in sorted(set(self.fractions)):
            split = self.training.split.model_copy(
                update={"n_training": None, "training_fraction": float(fraction)}
            )
            for seed in self.seeds:
                main = fraction == max(self.fractions) and seed == self.seeds[0]
                label = potential_name if main else f"{potential_name}-{100 * fraction:g}pct-seed{seed}"
                maker = replace(self.training, split=split, seed=seed)
                made: Job = maker.make(label, labels, inputs)
                made.name = f"{label} fine-tuning"
                jobs.append(made)
        chosen = next(made for made in jobs if made.name == f"{potential_name} fine-tuning")
        return Flow(jobs, output=chosen.output, name=f"{potential_name} {self.name}")
