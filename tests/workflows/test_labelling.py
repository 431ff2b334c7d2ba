"""Batches of labels through jobflow and a real MongoDB: once each, restartable, failures with reasons."""

import json

import pytest
from ase.build import bulk
from jobflow import run_locally
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.label import LabelBatchOutput, UnlabelledStructure, unpack_labels
from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator, resolve_potential
from sse_screen.training.gpaw_labels import GpawSettings
from sse_screen.training.labelled import common_level
from sse_screen.training.labelling import CalculatorSpec
from sse_screen.workflows import labelling
from sse_screen.workflows.labelling import AseLabelMaker, GpawLabelMaker, store_batch
from sse_screen.workflows.runtime import worker

SPEC = CalculatorSpec(target="ase.calculators.emt:EMT")


def crystals(numbers, element="Al"):
    made = []
    for seed in numbers:
        atoms = bulk(element, cubic=True)
        atoms.rattle(0.1, seed=seed)
        made.append(
            UnlabelledStructure(
                structure=AseAtomsAdaptor.get_structure(atoms).as_dict(),
                parent_configuration=f"parent {seed % 2}",
                source=f"frame {seed}",
            )
        )
    return made


@pytest.fixture
def run(database, settings_environment):
    def run_job(job):
        responses = run_locally(job, store=job_store(settings_environment), ensure_success=True)
        return responses[job.uuid][1].output

    return run_job


def counted(monkeypatch):
    calls = []
    original = labelling.label_with_calculator
    monkeypatch.setattr(
        labelling, "label_with_calculator", lambda *a, **k: calls.append(k["source"]) or original(*a, **k)
    )
    return calls


def test_every_structure_is_labelled_once_also_over_batches(run, database, monkeypatch):
    calls = counted(monkeypatch)
    maker = AseLabelMaker(teacher=SPEC)
    output = run(maker.make(store_batch(crystals([1, 2, 3, 2]))))
    assert isinstance(output, LabelBatchOutput)
    assert calls == ["frame 1", "frame 2", "frame 3"]
    assert (len(output.labels), output.failures, output.n_reused) == (3, [], 0)
    assert output.cpu_time_s > 0
    stored = database[OUTPUTS].find_one()["output"]
    assert stored["level_identifier"] == SPEC.level_of_theory.identifier
    assert "forces" not in json.dumps(stored)  # arrays are in the blob store
    second = run(maker.make(store_batch(crystals([3, 4]))))
    assert calls[3:] == ["frame 4"]
    assert (len(second.labels), second.n_reused) == (2, 1)
    third = run(maker.make(store_batch(crystals([3, 4]))))  # the same batch again: nothing at all
    assert third.packed == second.packed
    assert len(calls) == 4
    labels = unpack_labels(worker().blobs.get(second.packed.sha256))
    assert {label.source for label in labels} == {"frame 3", "frame 4"}
    assert {label.parent_configuration for label in labels} == {"parent 0", "parent 1"}


def test_another_level_of_theory_labels_again(run, monkeypatch):
    calls = counted(monkeypatch)
    other = CalculatorSpec(target="ase.calculators.emt:EMT", arguments={"asap_cutoff": True})
    batch = store_batch(crystals([11]))
    run(AseLabelMaker(teacher=SPEC).make(batch))
    run(AseLabelMaker(teacher=other).make(batch))
    assert calls == ["frame 11"] * 2


def test_a_killed_batch_goes_on_after_the_last_whole_line(run, settings_environment, tmp_path, monkeypatch):
    structures = crystals([21, 22, 23])
    maker = AseLabelMaker(teacher=SPEC)
    wanted = labelling.unique_structures(structures)
    first, second = {}, {}
    assert labelling._label_each(wanted, first, maker, tmp_path) == {}
    journal = tmp_path / "labels.jsonl"
    lines = [line for line in journal.read_text().splitlines() if line]
    journal.write_text("\n".join([*lines[:2], lines[2][:100]]))
    calls = counted(monkeypatch)
    assert labelling._label_each(wanted, second, maker, tmp_path) == {}
    assert calls == ["frame 23"]
    assert {n: v.label_sha256 for n, v in first.items()} == {n: v.label_sha256 for n, v in second.items()}
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["done"], progress["total"]) == (3, 3)


def test_a_potential_is_a_teacher_by_its_hash(run):
    teacher = resolve_potential("chgnet")
    output = run(AseLabelMaker(teacher=teacher).make(store_batch(crystals([31]))))
    (label,) = unpack_labels(worker().blobs.get(output.packed.sha256))
    atoms = label.to_labelled().to_atoms()
    expected = atoms.get_potential_energy()
    atoms.calc = load_calculator("chgnet", device="cpu")
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-4)
    assert label.level_of_theory.code == "chgnet"
    forged = teacher.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(RuntimeError):
        run(AseLabelMaker(teacher=forged).make(store_batch(crystals([32]))))


def test_a_teacher_must_be_given():
    with pytest.raises(InputError, match="give the teacher"):
        AseLabelMaker()


CHEAP = GpawSettings(cutoff_eV=200, k_point_spacing_per_A=None, smearing_eV=0.2)


def gpaw_batch(*positions):
    made = []
    for number, height in enumerate(positions):
        atoms = bulk("LiCl", "rocksalt", a=5.1)
        atoms.positions[1] = [0.0, 0.0, height]
        structure = AseAtomsAdaptor.get_structure(atoms).as_dict()
        made.append(
            UnlabelledStructure(structure=structure, parent_configuration="licl", source=f"frame {number}")
        )
    return store_batch(made)


def test_gpaw_labels_and_what_fails_says_why_while_the_others_go_on(run, database):
    output = run(GpawLabelMaker(CHEAP).make(gpaw_batch(2.5, 0.01)))
    (label,) = unpack_labels(worker().blobs.get(output.packed.sha256))
    assert label.level_of_theory.functional == "PBE"
    assert label.k_points == (1, 1, 1)
    assert common_level([label.level_of_theory]).identifier == output.level_identifier
    (failure,) = output.failures
    assert failure.source == "frame 1"
    assert "too close" in failure.reason


def test_an_unconverged_batch_fails_and_stores_nothing(run, database):
    maker = GpawLabelMaker(CHEAP.model_copy(update={"maximum_steps": 2}))
    with pytest.raises(RuntimeError):
        run(maker.make(gpaw_batch(2.5)))
    assert database[OUTPUTS].count_documents({}) == 0
