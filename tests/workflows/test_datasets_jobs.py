"""From batches of labels to the collection, to a cleaned set, and labels brought from elsewhere."""

import sys
from pathlib import Path

import numpy as np
import pytest
from jobflow import run_locally

from sse_screen.builders.labelled_structure import LabelledStructureBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.stores import job_store
from sse_screen.documents.dataset import DatasetOutput
from sse_screen.documents.label import unpack_labels
from sse_screen.documents.labelled_structure import LabelledStructureDoc
from sse_screen.training.cleaning import CleaningRules
from sse_screen.training.datasets import dataset_hash
from sse_screen.workflows.datasets import DatasetMaker, ImportLabelsMaker, store_labelled
from sse_screen.workflows.runtime import worker

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from label_samples import LEVEL, frame


@pytest.fixture
def run(database, settings_environment):
    def run_job(job):
        responses = run_locally(job, store=job_store(settings_environment), log=False, ensure_success=True)
        return responses[job.uuid][1].output

    return run_job


def imported(run, frames):
    return run(ImportLabelsMaker().make(store_labelled(frames, "3.1")))


def test_each_label_is_one_document_whatever_the_batches(run, database):
    shared = frame(1, parent="a", source="first frame 1")
    again = frame(1, parent="b", source="second frame 9")
    imported(run, [shared, frame(2, parent="a")])
    imported(run, [again, frame(3, parent="b", stress_eV_per_A3=None)])
    report = run_builder(LabelledStructureBuilder())
    assert (report.built, report.failures) == (3, {})
    document = LabelledStructureDoc.model_validate(
        database["labelled_structure"].find_one({"label_sha256": shared.content_hash}, {"_id": 0})
    )
    assert document.parent_configurations == ["a", "b"]
    assert document.sources == ["first frame 1", "second frame 9"]
    assert len(document.inputs) == 2
    assert document.to_labelled().content_hash == shared.content_hash
    assert (document.formula, document.chemical_system, document.n_atoms) == ("Li2S", "Li-S", 3)
    assert document.energy_eV_per_atom == pytest.approx(shared.energy_eV / 3)
    assert document.maximum_force_eV_per_A == pytest.approx(
        np.linalg.norm(shared.forces_eV_per_A, axis=1).max()
    )
    assert document.pressure_GPa == pytest.approx(-0.01 * 160.21766208)  # the stress is 0.01 eV/Å^3
    assert document.level_identifier == LEVEL.identifier
    without = database["labelled_structure"].find_one({"parent_configurations": "b", "pressure_GPa": None})
    assert without["stress_eV_per_A3"] is None
    assert run_builder(LabelledStructureBuilder()).built == 0  # nothing has changed


def test_a_batch_is_unpacked_once_however_its_labels_are_named(run, database, monkeypatch):
    from sse_screen.builders import labelled_structure

    for batch in range(4):
        imported(run, [frame(100 * batch + i) for i in range(10)])
    unpacked = []
    original = labelled_structure.unpack_labels
    monkeypatch.setattr(
        labelled_structure, "unpack_labels", lambda data: unpacked.append(1) or original(data)
    )
    assert run_builder(LabelledStructureBuilder()).built == 40
    assert len(unpacked) == 4


def test_a_cleaned_set_keeps_what_it_rejected(run, database):
    frames = [frame(seed, parent=f"p{seed % 3}") for seed in range(12)]
    far = frame(50, energy_eV=1000.0)
    first, second = imported(run, frames[:7]), imported(run, [*frames[7:], far])
    output = run(DatasetMaker().make("li2s", [first.packed, second.packed], ["uuid-1"]))
    assert isinstance(output, DatasetOutput)
    assert (output.n_labels, output.parents) == (12, {"p0": 4, "p1": 4, "p2": 4})
    assert output.dataset_sha256 == dataset_hash(frames)
    (rejected,) = output.rejected
    assert (rejected.rule, rejected.label_sha256) == ("energy_interquartile_ranges", far.content_hash)
    (kept_away,) = unpack_labels(worker().blobs.get(output.packed_rejected.sha256))
    assert kept_away.energy_eV == 1000.0
    assert len(unpack_labels(worker().blobs.get(output.packed.sha256))) == 12
    turned = run(DatasetMaker().make("li2s", [second.packed, first.packed]))
    assert turned.calculation_key == output.calculation_key


def test_bonds_are_counted_from_the_reference_of_each_parent(run, database):
    species, cell = ("P", "S", "Li"), np.eye(3) * 8.0

    def molecule(bond_A, seed):
        positions = np.array([[0, 0, 0], [bond_A, 0, 0], [4.0, 4.0, 4.0 + 0.01 * seed]])
        return frame(seed, species=species, positions=positions, cell=cell, forces=np.ones((3, 3)))

    reference = molecule(2.05, 0).to_structure()
    batch = imported(run, [molecule(2.0, 1), molecule(2.1, 2), molecule(2.6, 3)])
    maker = DatasetMaker(CleaningRules(bond_change=0.2))
    output = run(maker.make("thiophosphate", [batch.packed], None, {"p": reference.as_dict()}))
    (rejected,) = output.rejected
    assert rejected.reason == "a P-S bond of 2.050 Å changed by +27 %, more than 20 %"
    longer = molecule(2.3, 0).to_structure()
    assert len(run(maker.make("thiophosphate", [batch.packed], None, {"p": longer})).rejected) == 0


def test_what_a_set_cannot_be(run, database):
    one = imported(run, [frame(1)])
    other = imported(run, [frame(2, level_of_theory=LEVEL.model_copy(update={"functional": "else"}))])
    near = imported(run, [frame(3, positions=np.outer([0, 0.1, 2], [1, 1, 1]))])
    for maker, batches in (
        (DatasetMaker(), [one.packed, other.packed]),
        (DatasetMaker(), [near.packed]),
        (DatasetMaker(CleaningRules(bond_change=0.2)), [one.packed]),
    ):
        with pytest.raises(RuntimeError):
            run(maker.make("wrong", batches))
    assert database["outputs"].count_documents({"output.kind": "dataset"}) == 0
