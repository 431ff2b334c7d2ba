"""From a composition space to a production-ready potential in one flow (Deng 2025).

How many jobs there are is known only as it runs: the job that selects orderings adds their dynamics, labels,
training and gates, and the last job adds the production runs with the potential that came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Job, JobConfig, Maker, OnMissing, Response, job

from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.potential_development import (
    DevelopmentOutcome,
    LabellingSelection,
)
from sse_screen.documents.potential_gates import PotentialGatesOutput
from sse_screen.documents.training import TrainingOutput
from sse_screen.potentials.registry import resolve_potential
from sse_screen.workflows.development_section import (
    GpawLabels,
    PotentialDevelopment,
    TeacherLabels,
)
from sse_screen.workflows.development_selection import select_orderings
from sse_screen.workflows.labelling import AseLabelMaker, GpawLabelMaker, LabelMaker
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.packing import unpack_structures
from sse_screen.workflows.potential_gates import PotentialGatesMaker, gates_of_training
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest
from sse_screen.workflows.runtime import worker
from sse_screen.workflows.sampling import LabelledSnapshotsFlowMaker, SnapshotMaker
from sse_screen.workflows.training import LearningCurveFlowMaker, TrainingMaker
from sse_screen.workflows.vasp_labelling import VaspLabelMaker

Requests = list[DiffusionRequest | HullEntryRequest]
_GO_ON = JobConfig(on_missing_references=OnMissing.NONE)  # one that failed does not stop the others


@dataclass
class PotentialDevelopmentMaker(Maker):
    """Develop a potential for a composition space, then use it.

    Parameters
    ----------
    parent : PotentialIdentity
        What relaxes and samples.
    section : PotentialDevelopment
        Of the campaign file; its crystals have been built and its files read.
    training : TrainingMaker
        How the new potential is trained.
    seed : int
        Every other seed is derived from it.
    """

    parent: PotentialIdentity
    section: PotentialDevelopment
    training: TrainingMaker
    seed: int = 1
    name: str = "potential development"

    def make(self, relaxations: Sequence[Job | Flow], production: Requests) -> Flow:
        """Compose the flow.

        Parameters
        ----------
        relaxations : sequence of Job or Flow
            Of the orderings of all compositions.
        production : list
            What is to run with the new potential.

        Returns
        -------
        Flow
            Relaxations and the selection, which adds all else.
        """
        made = [one for part in relaxations for one in (part.jobs if isinstance(part, Flow) else [part])]
        selection = self.select(
            [one.output for one in made],
            [one.uuid for one in made],
            [request.model_dump(mode="json") for request in production],
        )
        selection.name = f"{self.section.name} selection"
        selection.config = _GO_ON
        return Flow([*relaxations, selection], name=f"{self.section.name} development")

    @job
    def select(
        self, relaxed: list[Any], inputs: list[str], production: list[dict[str, Any]]
    ) -> Response[LabellingSelection]:
        """Choose orderings by Boltzmann weight and add all that follows.

        Parameters
        ----------
        relaxed : list
            Outputs of the relaxations; None for those that failed.
        inputs : list of str
            Their uuids.
        production : list of dict
            Requests for the new potential.

        Returns
        -------
        Response
            A :class:`LabellingSelection`.
        """
        section = self.section
        chosen = select_orderings(relaxed, section.end_members, section.selection, self.seed, inputs)
        sampled = self._labelled(chosen)
        packed: list[Any] = [sampled.output.packed]
        curve = LearningCurveFlowMaker(self.training, tuple(section.training_fractions), (self.seed,)).make(
            section.name, packed, [sampled.jobs[-1].uuid]
        )
        training = curve.output
        gates = gates_of_training(PotentialGatesMaker(section.gates), training)
        gates.name = f"{section.name} gates"
        produced = self.produce(training, gates.output, production, [training.uuid, gates.uuid])
        produced.name = f"{section.name} production"
        flow = Flow([sampled, curve, gates, produced], name=f"{section.name} labels and training")
        return Response(output=chosen, addition=flow)

    def _labelled(self, chosen: LabellingSelection) -> Flow:
        """Dynamics, snapshots, labels and a clean set of the chosen orderings."""
        section, cells = self.section, unpack_structures(worker().blobs.get(chosen.structures.sha256))
        named = {
            f"{one.composition_name} {one.configuration_id[:8]}": cells[one.configuration_id]
            for one in chosen.chosen
        }
        asked = section.dynamics
        batches = len(named) * len(asked.temperatures_K) * asked.replicas
        return LabelledSnapshotsFlowMaker(
            MolecularDynamicsMaker(self.parent, asked.protocol, asked.minimum_length_A, stop_early=False),
            label_maker(section),
            tuple(asked.temperatures_K),
            SnapshotMaker(section.snapshots, batches, self.seed, self.parent),
            replicas=asked.replicas,
            seed=self.seed,
            name=section.name,
        ).make(named, section.mobile_ion)

    @job
    def produce(
        self,
        training: TrainingOutput | dict[str, Any],
        gates: PotentialGatesOutput | dict[str, Any],
        production: list[dict[str, Any]],
        inputs: list[str],
    ) -> Response[DevelopmentOutcome]:
        """Start the production runs, if the new potential passed all gates.

        Parameters
        ----------
        training : TrainingOutput
            The training.
        gates : PotentialGatesOutput
            What it passed.
        production : list of dict
            Requests.
        inputs : list of str
            uuids of both.

        Returns
        -------
        Response
            A :class:`DevelopmentOutcome`; production runs are added only after all gates were passed.
        """
        trained = TrainingOutput.model_validate(training)
        judged = PotentialGatesOutput.model_validate(gates)
        requests = [_request(content) for content in production] if judged.passed else []
        flows: list[Flow | Job] = [request.flow(trained.potential) for request in requests]
        identity = {"weights": trained.weights.sha256, "production": production}
        outcome = DevelopmentOutcome(
            calculation_key=content_hash({"kind": "potential_development"} | identity),
            potential=trained.potential,
            passed=judged.passed,
            reasons=[f"{r.gate}: {r.detail}" for r in judged.results if not r.passed],
            n_production_jobs=sum(len(flow.jobs) for flow in flows if isinstance(flow, Flow)),
            inputs=inputs,
        )
        if not flows:
            return Response(output=outcome)
        return Response(output=outcome, addition=Flow(flows, name=f"{self.section.name} production runs"))


def label_maker(section: PotentialDevelopment) -> LabelMaker | VaspLabelMaker:
    """Give the maker that labels.

    Parameters
    ----------
    section : PotentialDevelopment
        Of the campaign file.

    Returns
    -------
    LabelMaker or VaspLabelMaker
        Both take a batch of structures.
    """
    labels = section.labels
    if isinstance(labels, GpawLabels):
        return GpawLabelMaker(settings=labels.settings)
    if isinstance(labels, TeacherLabels):
        return AseLabelMaker(teacher=resolve_potential(labels.potential))
    return VaspLabelMaker(settings=labels.settings)


def _request(content: dict[str, Any]) -> DiffusionRequest | HullEntryRequest:
    model = DiffusionRequest if content["kind"] == "diffusion" else HullEntryRequest
    return model.model_validate(content)
