"""Jobs that choose structures to label, and the flow from molecular dynamics to a cleaned set of labels."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jobflow import Flow, Job, JobConfig, Maker, OnMissing, Response, job
from pymatgen.core import Structure

from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.label import UnlabelledStructure
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.snapshots import SnapshotsOutput
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.exceptions import InputError
from sse_screen.potentials.loading import load_chgnet
from sse_screen.potentials.registry import find_potential
from sse_screen.structures.identity import structure_hash
from sse_screen.training.sampling import SamplingProtocol, sample_trajectory
from sse_screen.workflows.datasets import DatasetMaker
from sse_screen.workflows.labelling import GpawLabelMaker, LabelMaker, store_batch
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import once, versions, worker
from sse_screen.workflows.vasp_labelling import VaspLabelMaker

_MEANING_VERSION = "1"


@dataclass
class SnapshotMaker(Maker):
    """Take snapshots of finished runs, at one or several temperatures, and strain and rattle them.

    Parameters
    ----------
    protocol : SamplingProtocol
        Frames of each run, strain, displacements.
    batches : int
        The structures are dealt out to so many batches, one labelling job each.
    seed : int
        Each run's seed is derived from it and the run, so that a run more changes nothing for the others.
    descriptor : PotentialIdentity, optional
        CHGNet whose features tell frames apart, for farthest-point selection.
    """

    protocol: SamplingProtocol = field(default_factory=SamplingProtocol)
    batches: int = 1
    seed: int = 1
    descriptor: PotentialIdentity | None = None
    name: str = "snapshots"

    @job
    def make(
        self, runs: list[MolecularDynamicsOutput | dict[str, Any] | None], inputs: list[str] | None = None
    ) -> Response[SnapshotsOutput]:
        """Take snapshots.

        Parameters
        ----------
        runs : list of MolecularDynamicsOutput
            Finished runs; None for one that failed.
        inputs : list of str, optional
            uuids of their jobs.

        Returns
        -------
        Response
            A :class:`SnapshotsOutput`.

        Raises
        ------
        InputError
            If a run has too few frames, or fewer structures than batches are left.
        """
        finished = [MolecularDynamicsOutput.model_validate(run) for run in runs if run is not None]
        if not finished:
            raise InputError(f"none of {len(runs)} runs finished: there is nothing to sample")
        descriptor = self.descriptor if self.protocol.method == "farthest_point" else None
        key = content_hash(
            {
                "kind": "snapshots",
                "meaning": _MEANING_VERSION,
                "runs": [run.calculation_key for run in finished],
                "protocol": self.protocol.model_dump(mode="json"),
                "batches": self.batches,
                "seed": self.seed,
                "descriptor": descriptor.weights_sha256 if descriptor else None,
            }
        )

        def compute(_folder: Path) -> SnapshotsOutput:
            """Take snapshots of the runs."""
            started = time.perf_counter()
            structures, n_left_out = _sample(self, finished, descriptor)
            if len(structures) < self.batches:
                raise InputError(f"{len(structures)} structures for {self.batches} batches: take more frames")
            parts = np.array_split(np.arange(len(structures)), self.batches)
            parents = [structure.parent_configuration for structure in structures]
            return SnapshotsOutput(
                calculation_key=key,
                protocol=self.protocol,
                seed=self.seed,
                runs=[run.calculation_key for run in finished],
                temperatures_K=[run.temperature_K for run in finished],
                parents={parent: parents.count(parent) for parent in sorted(set(parents))},
                descriptor=descriptor,
                n_structures=len(structures),
                n_left_out=n_left_out,
                batches=[store_batch(structures[i] for i in part) for part in parts],
                inputs=inputs or [],
                total_time_s=time.perf_counter() - started,
                versions=versions(),
            )

        return once(key, SnapshotsOutput, compute)


def _sample(
    maker: SnapshotMaker, runs: list[MolecularDynamicsOutput], descriptor: PotentialIdentity | None
) -> tuple[list[UnlabelledStructure], int]:
    model = None
    if descriptor is not None:
        model = load_chgnet(find_potential(name_or_file(descriptor, worker().blobs)).path)
    structures: list[UnlabelledStructure] = []
    n_left_out = 0
    for run in runs:
        first = run.protocol.n_equilibration_frames
        trajectory = read_trajectory_file(worker().blobs.get(run.trajectory.sha256), first)
        named = f"{maker.seed} {run.calculation_key}"
        found, too_near = sample_trajectory(
            trajectory,
            maker.protocol,
            np.random.default_rng(int(hashlib.sha256(named.encode()).hexdigest()[:16], 16)),
            parent_configuration=run.material_id,
            run=f"run {run.calculation_key[:16]}",
            model=model,
            first_frame=first,
        )
        structures += found
        n_left_out += too_near
    return structures, n_left_out


@dataclass
class LabelledSnapshotsFlowMaker(Maker):
    """Run crystals at several temperatures, take snapshots, label them, and clean the labels into one set.

    Parameters
    ----------
    dynamics : MolecularDynamicsMaker
        Every run.
    labels : LabelMaker or VaspLabelMaker
        What makes the labels.
    temperatures_K : tuple of float
        Temperatures of the runs (K); 800 K in Deng 2025.
    snapshots : SnapshotMaker
        Frames of each run, strain, number of labelling jobs.
    dataset : DatasetMaker
        How labels are cleaned.
    replicas : int
        Runs of each crystal at each temperature, each with its own seed.
    seed : int
        Each run's is derived from it, the crystal, the temperature and the replica.
    """

    dynamics: MolecularDynamicsMaker
    labels: LabelMaker | VaspLabelMaker = field(default_factory=GpawLabelMaker)
    temperatures_K: tuple[float, ...] = (800.0,)
    snapshots: SnapshotMaker = field(default_factory=SnapshotMaker)
    dataset: DatasetMaker = field(default_factory=DatasetMaker)
    replicas: int = 1
    seed: int = 1
    name: str = "labelled snapshots"

    def make(self, structures: dict[str, Structure], mobile_ion: str, charge_number: int = 1) -> Flow:
        """Compose the flow.

        Parameters
        ----------
        structures : dict
            Ordered crystals by name; each is a parent configuration.
        mobile_ion : str
            Mobile element.
        charge_number : int
            Its charge in units of e.

        Returns
        -------
        Flow
            Its output is a :class:`~sse_screen.documents.dataset.DatasetOutput`.
        """
        runs: list[Job] = []
        references: dict[str, Any] = {}
        for name, structure in structures.items():
            made_runs = self._runs(name, structure, mobile_ion, charge_number)
            references[structure_hash(structure)] = made_runs[0].output.structure
            runs += made_runs
        taken: Job = self.snapshots.make([run.output for run in runs], [run.uuid for run in runs])
        taken.config = JobConfig(on_missing_references=OnMissing.NONE)  # a run that failed stops no other
        labelled: list[Job] = []
        for number in range(self.snapshots.batches):
            made: Any = self.labels.make(taken.output.batches[number], [taken.uuid])
            made.name = f"{self.labels.name} {number + 1} of {self.snapshots.batches}"
            labelled.append(made)
        cleaned: Job = self.dataset.make(
            self.name,
            [made.output.packed for made in labelled],
            [made.uuid for made in labelled],
            references,
        )
        cleaned.config = JobConfig(on_missing_references=OnMissing.NONE)
        return Flow([*runs, taken, *labelled, cleaned], cleaned.output, name=self.name)

    def _runs(self, name: str, structure: Structure, mobile_ion: str, charge_number: int) -> list[Job]:
        """Give the runs of one crystal."""
        dynamics = replace(self.dynamics, purpose="sampling")
        material: dict[str, Any] = {
            "material_id": structure_hash(structure),
            "material_name": name,
            "mobile_ion": mobile_ion,
            "charge_number": charge_number,
        }
        runs: list[Job] = []
        for temperature_K in self.temperatures_K:
            for replica in range(self.replicas):
                named = content_hash([self.seed, material["material_id"], float(temperature_K), replica])
                run: Job = dynamics.make(structure, material, float(temperature_K), int(named[:8], 16))
                run.name = f"{name} {temperature_K:g} K run {replica + 1}"
                runs.append(run)
        return runs
