"""Runs at two temperatures, snapshots, real GPAW labels and a cleaned set, as one flow."""

import numpy as np
import pytest
from jobflow import run_locally
from pymatgen.core import Lattice, Structure

from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.dataset import DatasetOutput
from sse_screen.documents.label import unpack_labels, unpack_unlabelled
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.snapshots import SnapshotsOutput
from sse_screen.potentials import resolve_potential
from sse_screen.structures.identity import structure_hash
from sse_screen.training.datasets import Dataset, run_of, split_dataset
from sse_screen.training.gpaw_labels import GpawSettings
from sse_screen.training.sampling import SamplingProtocol
from sse_screen.workflows.labelling import GpawLabelMaker
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.runtime import worker
from sse_screen.workflows.sampling import LabelledSnapshotsFlowMaker, SnapshotMaker

SALT = Structure(
    Lattice([[0, 2.55, 2.55], [2.55, 0, 2.55], [2.55, 2.55, 0]]), ["Li", "Cl"], [[0, 0, 0], [0.5] * 3]
)
CHEAP = GpawSettings(cutoff_eV=200, k_point_spacing_per_A=None, smearing_eV=0.2)


@pytest.fixture
def dynamics():
    protocol = MolecularDynamicsProtocol(equilibration_ps=0.1, production_ps=0.4, time_step_fs=2)
    return MolecularDynamicsMaker(resolve_potential("chgnet"), protocol, minimum_length_A=2.0)


@pytest.fixture
def run(database, settings_environment):
    def run_flow(flow):
        responses = run_locally(flow, store=job_store(settings_environment), log=False, ensure_success=True)
        return [response.output for by_index in responses.values() for response in by_index.values()]

    return run_flow


def test_from_dynamics_to_a_cleaned_set(run, dynamics, database):
    flow_maker = LabelledSnapshotsFlowMaker(
        dynamics,
        GpawLabelMaker(CHEAP),
        temperatures_K=(300.0, 600.0),
        snapshots=SnapshotMaker(SamplingProtocol(frames=4), batches=2),
    )
    outputs = run(flow_maker.make({"licl": SALT}, "Li"))
    taken = next(o for o in outputs if isinstance(o, SnapshotsOutput))
    assert taken.temperatures_K == [300.0, 600.0]
    assert taken.parents == {structure_hash(SALT): 8}
    assert [len(unpack_unlabelled(worker().blobs.get(b.sha256))) for b in taken.batches] == [4, 4]
    dataset = outputs[-1]
    assert isinstance(dataset, DatasetOutput)
    assert dataset.n_labels + len(dataset.rejected) == 8
    assert dataset.level_of_theory.functional == "PBE"
    labels = [label.to_labelled() for label in unpack_labels(worker().blobs.get(dataset.packed.sha256))]
    assert len({run_of(label) for label in labels}) == 2
    assert all(" strained 1" in label.source for label in labels)
    assert Dataset(tuple(labels)).dataset_hash == dataset.dataset_sha256
    # the equilibration of 0.1 ps is 5 frames of 20 fs
    assert min(int(label.source.split(" frame ")[1].split()[0]) for label in labels) >= 5
    assert database[OUTPUTS].count_documents({"output.kind": "label_batch"}) == 2
    parts = split_dataset(Dataset(tuple(labels)), {"a": 0.5, "b": 0.5}, np.random.default_rng(1), by="run")
    assert {len(part.parents) for part in parts.values()} == {1}


def test_farthest_frames_of_stored_runs(run, dynamics):
    maker = SnapshotMaker(
        SamplingProtocol(method="farthest_point", frames=3, maximum_strain=0.0),
        descriptor=resolve_potential("chgnet"),
    )
    job = dynamics.make(
        SALT,
        {"material_id": "m", "material_name": "licl", "mobile_ion": "Li", "charge_number": 1},
        500.0,
        seed=1,
    )
    outputs = run([job, maker.make([job.output], [job.uuid])])
    taken = next(o for o in outputs if isinstance(o, SnapshotsOutput))
    assert taken.descriptor.name == "chgnet"
    assert (taken.n_structures, taken.n_left_out, taken.inputs) == (3, 0, [job.uuid])


def test_more_batches_than_structures_are_refused(run, dynamics):
    job = dynamics.make(
        SALT,
        {"material_id": "m", "material_name": "licl", "mobile_ion": "Li", "charge_number": 1},
        500.0,
        seed=1,
    )
    maker = SnapshotMaker(SamplingProtocol(frames=2), batches=3)
    with pytest.raises(RuntimeError):
        run([job, maker.make([job.output])])
