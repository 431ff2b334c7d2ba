"""From a composition space to a production-ready potential in one flow (Deng 2025).

How many jobs there are is known only as it runs: the job that selects orderings adds their dynamics, labels,
training and gates, and the last job adds the production runs with the potential that came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jobflow import Flow, Job, JobConfig, Maker, OnMissing, Response, job
from pymatgen.core import Structure

from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.label import UnlabelledStructure
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.potential_development import (
    ChosenOrdering,
    DevelopmentOutcome,
    LabellingSelection,
    SnapshotBatch,
)
from sse_screen.documents.potential_gates import PotentialGatesOutput
from sse_screen.documents.training import TrainingOutput
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials.registry import resolve_potential
from sse_screen.structures.distortions import random_strain
from sse_screen.workflows.datasets import DatasetMaker
from sse_screen.workflows.development_section import (
    GpawLabels,
    PotentialDevelopment,
    TeacherLabels,
)
from sse_screen.workflows.development_selection import select_orderings
from sse_screen.workflows.labelling import AseLabelMaker, GpawLabelMaker, LabelMaker, store_batch
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker, derived_seed
from sse_screen.workflows.packing import unpack_structures
from sse_screen.workflows.potential_gates import PotentialGatesMaker, gates_of_training
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest
from sse_screen.workflows.runtime import versions, worker
from sse_screen.workflows.training import FineTuningMaker, LearningCurveFlowMaker
from sse_screen.workflows.vasp_labelling import VaspLabelMaker

Requests = list[DiffusionRequest | HullEntryRequest]
_GO_ON = JobConfig(on_missing_references=OnMissing.NONE)  # one that failed does not stop the others


@dataclass
class PotentialDevelopmentMaker(Maker):
    """Develop a potential for a composition space, then use it.

    Parameters
    ----------
    parent : PotentialIdentity
        What relaxes, samples and is fine-tuned.
    section : PotentialDevelopment
        Of the campaign file; its crystals have been built.
    seed : int
        Every other seed is derived from it.
    """

    parent: PotentialIdentity
    section: PotentialDevelopment
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
        cells = unpack_structures(worker().blobs.get(chosen.structures.sha256))
        jobs: list[Job] = []
        labels: list[Job] = []
        for ordering in chosen.chosen:
            for temperature_K in section.snapshots.temperatures_K:
                cell = cells[ordering.configuration_id]
                steps = self._sampled(ordering, cell, temperature_K)
                jobs += steps
                labels.append(steps[-1])
        dataset = DatasetMaker().make(
            section.name, [made.output.packed for made in labels], [made.uuid for made in labels]
        )
        dataset.name, dataset.config = f"{section.name} dataset", _GO_ON
        packed: list[Any] = [dataset.output.packed]
        curve = LearningCurveFlowMaker(
            FineTuningMaker(self.parent, section.training, section.split, self.seed),
            tuple(section.training_fractions),
            (self.seed,),
        ).make(section.name, packed, [dataset.uuid])
        training = curve.output
        gates = gates_of_training(PotentialGatesMaker(section.gates), training)
        gates.name = f"{section.name} gates"
        produced = self.produce(training, gates.output, production, [training.uuid, gates.uuid])
        produced.name = f"{section.name} production"
        flow = Flow([*jobs, dataset, curve, gates, produced], name=f"{section.name} labels and training")
        return Response(output=chosen, addition=flow)

    def _sampled(self, ordering: ChosenOrdering, cell: Structure, temperature_K: float) -> list[Job]:
        """Dynamics, snapshots and labels of one ordering at one temperature."""
        configuration_id, name = ordering.configuration_id, ordering.composition_name
        asked = self.section.snapshots
        seed = derived_seed(self.seed, configuration_id, temperature_K, 0)
        what = f"{name} {configuration_id[:8]} {temperature_K:g} K"
        maker = MolecularDynamicsMaker(self.parent, asked.protocol, asked.minimum_length_A, stop_early=False)
        material = {
            "material_id": configuration_id,
            "material_name": f"{name} snapshots",
            "mobile_ion": self.section.mobile_ion,
            "charge_number": 1,
        }
        run = maker.make(cell, material, float(temperature_K), seed)
        run.name = f"{what} dynamics"
        sampled = sample_run(
            run.output, configuration_id, asked.n_snapshots, asked.largest_strain, seed, run.uuid
        )
        sampled.name = f"{what} snapshots"
        labelled = label_maker(self.section).make(sampled.output.batch, [sampled.uuid])
        labelled.name = f"{what} labels"
        return [run, sampled, labelled]

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
            The fine-tuning.
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


@job
def sample_run(
    run: MolecularDynamicsOutput | dict[str, Any],
    parent_configuration: str,
    n_snapshots: int,
    largest_strain: float,
    seed: int,
    uuid: str,
) -> Response[SnapshotBatch]:
    """Take random frames of a run after its equilibration, and strain them.

    Parameters
    ----------
    run : MolecularDynamicsOutput
        The run.
    parent_configuration : str
        What keeps its frames together in a split.
    n_snapshots : int
        Frames to take; all when there are fewer.
    largest_strain : float
        Components of the strain are uniform up to it.
    seed : int
        Seed of frames and strains.
    uuid : str
        Job of the run.

    Returns
    -------
    Response
        A :class:`SnapshotBatch`.
    """
    output = MolecularDynamicsOutput.model_validate(run)
    data = worker().blobs.get(output.trajectory.sha256)
    frames = read_trajectory_file(data, output.protocol.n_equilibration_frames)
    rng = np.random.default_rng(seed)
    n_frames = len(frames.positions)
    taken = np.sort(rng.choice(n_frames, size=min(n_snapshots, n_frames), replace=False))
    structures = [
        UnlabelledStructure(
            structure=random_strain(
                Structure(frames.cells[i], frames.species, frames.positions[i], coords_are_cartesian=True),
                largest_strain,
                rng,
            ).as_dict(),
            parent_configuration=parent_configuration,
            source=f"outputs/{uuid} frame {i + output.protocol.n_equilibration_frames}",
        )
        for i in taken.tolist()
    ]
    return Response(
        output=SnapshotBatch(
            calculation_key=content_hash(
                {"kind": "snapshots", "of": output.trajectory.sha256, "n": n_snapshots}
                | {"strain": largest_strain, "seed": seed}
            ),
            batch=store_batch(structures),
            n_structures=len(structures),
            seed=seed,
            inputs=[uuid],
            versions=versions(),
        )
    )


def _request(content: dict[str, Any]) -> DiffusionRequest | HullEntryRequest:
    model = DiffusionRequest if content["kind"] == "diffusion" else HullEntryRequest
    return model.model_validate(content)
