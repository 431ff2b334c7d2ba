"""The job that puts a potential through the gates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobflow import Job, Maker, Response, job

from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.potential_gates import GateProtocol, GateResult, PotentialGatesOutput, gates_key
from sse_screen.documents.training import SplitProtocol
from sse_screen.exceptions import InputError
from sse_screen.potentials.registration import known_elements
from sse_screen.potentials.registry import find_potential
from sse_screen.training.gates import (
    check_composition_shift,
    check_dimers,
    check_energy_drift,
    check_forgetting,
    check_hot_dynamics,
)
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import predict_with
from sse_screen.training.reference_set import crystals_to_run, reference_set
from sse_screen.training.sets import split_labels
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker
from sse_screen.workflows.training import read_labels

_N_GATES = 5


@dataclass
class PotentialGatesMaker(Maker):
    """Judge whether a potential may be used in production.

    Parameters
    ----------
    protocol : GateProtocol
        How the gates are run and what they allow.
    """

    protocol: GateProtocol = field(default_factory=GateProtocol)
    name: str = "potential gates"

    @job
    def make(
        self,
        potential: PotentialIdentity | dict[str, Any],
        parent: PotentialIdentity | dict[str, Any] | None = None,
        labels: list[BlobReference | dict[str, Any]] | None = None,
        split: SplitProtocol | dict[str, Any] | None = None,
        inputs: list[str] | None = None,
    ) -> Response[PotentialGatesOutput]:
        """Run all gates.

        Parameters
        ----------
        potential : PotentialIdentity
            Which one; its ``elements`` say what it covers.
        parent : PotentialIdentity, optional
            What its training began with.
        labels : list of BlobReference, optional
            Packed labels; those that it did not learn from are used.
        split : SplitProtocol, optional
            How its training divided the labels; without one, all count as not learnt from.
        inputs : list of str, optional
            uuids of the jobs that it is from.

        Returns
        -------
        Response
            A :class:`PotentialGatesOutput`.
        """
        tested = PotentialIdentity.model_validate(potential)
        origin = None if parent is None else PotentialIdentity.model_validate(parent)
        if tested.elements is None:
            raise InputError(f"potential {tested.name!r}: say which elements it covers")
        structures = _not_learnt_from(labels or [], split)
        hashes = [structure.content_hash for structure in structures]
        key = gates_key(tested, origin, [*hashes, *tested.elements], self.protocol)

        def compute(folder: Path) -> PotentialGatesOutput:
            """Put the potential through the gates."""
            started = time.perf_counter()
            results = self._results(tested, origin, structures, folder)
            return PotentialGatesOutput(
                calculation_key=key,
                weights_sha256=tested.weights_sha256,
                potential=tested,
                protocol=self.protocol,
                results=results,
                passed=all(result.passed for result in results),
                checked_at=datetime.now(UTC),
                inputs=inputs or [],
                total_time_s=time.perf_counter() - started,
                versions=versions(),
            )

        return once(key, PotentialGatesOutput, compute)

    def _results(
        self,
        tested: PotentialIdentity,
        parent: PotentialIdentity | None,
        structures: list[LabelledStructure],
        folder: Path,
    ) -> list[GateResult]:
        protocol, elements = self.protocol, tested.elements or []
        report = reporter(folder, f"{tested.name} gates")
        # the reference set has elements that a fine-tuned model's labels do not cover, but its parent knew
        calculator = calculator_for(tested.model_copy(update={"elements": None}))
        crystals = crystals_to_run(structures, elements, protocol.minimum_length_A, protocol.maximum_crystals)
        if not crystals:
            raise InputError(
                f"potential {tested.name!r}: no labels, and no crystal of the library is covered"
            )
        reference: tuple[LabelledStructure, ...] = ()
        if parent is not None:
            path = find_potential(name_or_file(parent, worker().blobs)).path
            reference = reference_set(calculator_for(parent), known_elements(parent, path), protocol.seed)
        gates: tuple[Callable[[], GateResult], ...] = (
            lambda: check_dimers(calculator, elements, protocol),
            lambda: check_composition_shift(structures, predict_with(calculator, structures), protocol),
            lambda: check_forgetting(calculator, reference, protocol),
            lambda: check_energy_drift(calculator, crystals, protocol, folder / "runs"),
            lambda: check_hot_dynamics(calculator, crystals, protocol, folder / "runs"),
        )
        results = []
        for number, gate in enumerate(gates, 1):
            results.append(gate())
            report(number, _N_GATES)
        return results


def gates_of_training(maker: PotentialGatesMaker, training: Any) -> Job:
    """Give the job that puts a newly trained potential through the gates.

    Parameters
    ----------
    maker : PotentialGatesMaker
        How the gates are run.
    training : TrainingOutput or OutputReference
        A finished training, or the output of one to come.

    Returns
    -------
    Job
        With the labels that it did not learn from.
    """
    job: Job = maker.make(training.potential, training.parent, training.labels, training.split)
    return job


def _not_learnt_from(
    labels: list[BlobReference | dict[str, Any]], split: SplitProtocol | dict[str, Any] | None
) -> list[LabelledStructure]:
    structures = read_labels([BlobReference.model_validate(reference) for reference in labels])
    if split is None:
        return structures
    sets = split_labels(structures, SplitProtocol.model_validate(split))
    return [*sets.validation, *sets.test, *sets.unseen_composition]
