"""Jobs that train MACE potentials (extra ``mace``)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Maker, Response, job

from sse_screen.documents.base import BlobReference, PotentialIdentity, content_hash
from sse_screen.documents.training import MaceProtocol, SplitProtocol, TrainingOutput, training_key
from sse_screen.dynamics.molecular_dynamics import write_durably
from sse_screen.exceptions import InputError
from sse_screen.potentials.loading import choose_device
from sse_screen.potentials.mace_calculator import SUFFIX
from sse_screen.potentials.registry import find_potential
from sse_screen.settings import get_settings
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.mace_training import MaceResult, foundation_energies, train_mace
from sse_screen.training.reference_set import reference_set
from sse_screen.training.sets import TrainingSets, split_labels
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker
from sse_screen.workflows.training import describe_potential, errors_of_parent, read_labels, undetermined


@dataclass
class MaceTrainingMaker(Maker):
    """Train a MACE on labelled structures: from scratch, fine-tuned, or with a second head on replayed ones.

    Parameters
    ----------
    foundation : PotentialIdentity or None
        Model to fine-tune, which the user brings as a file, told by its sha256; None from scratch.
    protocol : MaceProtocol
        Method, architecture, weights, epochs.
    split : SplitProtocol
        What is held out and what is only tested on.
    seed : int
        Seed of weights and batches.
    """

    foundation: PotentialIdentity | None = None
    protocol: MaceProtocol = field(default_factory=MaceProtocol)
    split: SplitProtocol = field(default_factory=SplitProtocol)
    seed: int = 1
    name: str = "MACE training"

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
        if self.foundation is not None and self.foundation.code != "mace":
            raise InputError(f"foundation {self.foundation.name!r}: is a {self.foundation.code}, not a MACE")
        method = f"MACE {self.protocol.method}"
        packed = [BlobReference.model_validate(reference) for reference in labels]
        sets = split_labels(read_labels(packed), self.split)
        named = content_hash([sets.sha256, potential_name])
        key = training_key(named, self.foundation, self.protocol, self.seed, method)

        def compute(folder: Path) -> TrainingOutput:
            started = time.perf_counter()
            result = self._train(sets, folder, potential_name)
            weights = folder / f"weights{SUFFIX}"
            write_durably(weights, result.weights)
            n_epochs = len(result.history)
            return TrainingOutput(
                calculation_key=key,
                **describe_potential(method, potential_name, sets, weights),
                reference_shift_eV=result.reference_shift.shift_eV,
                best_epoch=result.best_epoch,
                n_epochs=n_epochs,
                stopped_early=n_epochs < self.protocol.maximum_epochs,
                history=result.history,
                warnings=undetermined(result.reference_shift),
                labels=packed,
                parent=self.foundation,
                parent_held_out=errors_of_parent(self.foundation, sets) if self.foundation else None,
                protocol=self.protocol,
                split=self.split,
                seed=self.seed,
                total_time_s=time.perf_counter() - started,
                inputs=inputs or [],
                versions=versions(),
            )

        return once(key, TrainingOutput, compute)

    def _train(self, sets: TrainingSets, folder: Path, potential_name: str) -> MaceResult:
        path = None
        replay: tuple[LabelledStructure, ...] = ()
        if self.foundation is not None:
            path = find_potential(name_or_file(self.foundation, worker().blobs)).path
            if self.protocol.method == "multihead":
                from ase.data import chemical_symbols

                known = {chemical_symbols[number] for number in foundation_energies(path)}
                replay = reference_set(calculator_for(self.foundation), known, self.seed)
        return train_mace(
            sets,
            self.protocol,
            self.seed,
            folder,
            foundation=path,
            replay=replay,
            progress=reporter(folder, f"{potential_name} epochs"),
            device=choose_device(get_settings().device),
        )
