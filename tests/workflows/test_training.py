"""A training as a job, the registry built of it, and its use in a campaign. Real CHGNet, real MongoDB."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from jobflow import run_locally
from training_toys import labelled
from typer.testing import CliRunner

from sse_screen.builders.potential import PotentialBuilder
from sse_screen.builders.run import run_builder
from sse_screen.cli.main import app
from sse_screen.database.blobs import BlobStore
from sse_screen.database.errors import BlobCorruptError
from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.label import Label, pack_labels
from sse_screen.documents.potential import PotentialDoc
from sse_screen.documents.training import MaceProtocol, SplitProtocol, TrainingOutput, TrainingProtocol
from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.potentials.registration import find_registered, register_file, set_alias, weights_file
from sse_screen.training.datasets import dataset_hash
from sse_screen.training.errors import TrainingInputError
from sse_screen.training.sets import split_labels
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.mace_training import MaceTrainingMaker
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.potentials import choose_potential
from sse_screen.workflows.runtime import calculator_for, calculator_of, worker
from sse_screen.workflows.training import FineTuningMaker

PROTOCOL = TrainingProtocol(maximum_epochs=3, batch_size=3)


@pytest.fixture(autouse=True)
def _fresh_worker(settings_environment):
    worker.cache_clear()
    calculator_of.cache_clear()
    yield
    worker.cache_clear()


def stored_labels(database, structures):
    data = pack_labels(Label.of(s, code_version="1", cpu_time_s=0.0) for s in structures)
    return BlobStore(database).put(data, "application/zstd+json")


@pytest.fixture
def trained(database, settings_environment):
    def train(name="licl", structures=None, **options):
        labels = stored_labels(database, structures or labelled(8))
        maker = FineTuningMaker(resolve_potential("chgnet"), protocol=PROTOCOL, **options)
        job = maker.make(name, [labels], ["uuid of the labels"])
        responses = run_locally(job, store=job_store(settings_environment), ensure_success=True)
        return responses[job.uuid][1].output

    return train


def test_a_training_is_stored_registered_and_used_by_name(database, trained, settings_environment):
    nacl = labelled(2, cation="Na", anion="Cl", a=5.6)
    output = trained(structures=labelled(8) + nacl, split=SplitProtocol(unseen_formulas=("NaCl",)))
    assert isinstance(output, TrainingOutput)
    assert (output.n_training, output.n_validation, output.n_test) == (5, 1, 2)
    assert output.elements == ["Cl", "Li"]
    assert output.unseen_composition.formulas == ["NaCl"]
    assert output.unseen_composition.energy.root_mean_square_error > 0.5  # sodium's energy was never fitted
    assert "do not tell the energies" in output.warnings[0]
    parent = output.parent_test.forces.root_mean_square_error
    assert output.test.forces.root_mean_square_error < parent
    assert len(json.dumps(database[OUTPUTS].find_one()["output"])) < 100_000
    # the registry
    assert run_builder(PotentialBuilder()).failed == 0
    found = find_registered(database, "licl")
    assert (found.weights_sha256, found.gate_verdict) == (output.weights.sha256, "not_checked")
    assert found.parent.weights_sha256 == resolve_potential("chgnet").weights_sha256
    assert (found.test, found.validation) == (output.test, output.validation)
    assert found.inputs[0].collection == "outputs"
    bundled = find_registered(database, "chgnet")
    assert (bundled.method, bundled.gate_verdict, len(bundled.elements)) == ("bundled", "published", 89)
    # by name, alias and hash
    set_alias(database, found, "best")
    run_builder(PotentialBuilder())
    for name in ("licl", "best", output.weights.sha256, output.weights.sha256[:10]):
        assert find_registered(database, name).weights_sha256 == output.weights.sha256
    with pytest.raises(
        InputError, match=r"'licl' .* was not checked by the gates; run `sse-screen potential"
    ):
        choose_potential("licl")
    plan = plan_campaign(campaign("best", "licl"))
    assert plan.potential.weights_sha256 == output.weights.sha256
    atoms = labelled(1)[0].to_atoms()
    atoms.calc = calculator_for(plan.potential)
    assert np.isfinite(atoms.get_potential_energy())
    # an element that it does not cover, at submission and at the worker
    with pytest.raises(
        InputError, match=r"materials\.0: lif: .*'best' was not trained on F; it covers Cl, Li"
    ):
        plan_campaign(campaign("best", "lif"))
    sodium = nacl[0].to_atoms()
    sodium.calc = calculator_for(plan.potential)
    with pytest.raises(InputError, match="not trained on Na"):
        sodium.get_potential_energy()
    # the same training again is not repeated
    again = trained(structures=labelled(8) + nacl, split=SplitProtocol(unseen_formulas=("NaCl",)))
    assert again.weights == output.weights
    assert again.total_time_s == output.total_time_s


def campaign(potential, crystal, **material):
    return Campaign.model_validate(
        {
            "name": "one",
            "potential": potential,
            "allow_unchecked_potential": True,
            "molecular_dynamics": {"temperatures_K": [800], "minimum_length_A": 4.0},
            "materials": [{"prototype": crystal, **material}],
        }
    )


def _registered_file(database, tmp_path, content=None, name="mine"):
    source = resolve_and_path("chgnet-r2scan") if content is None else content
    path = tmp_path / "brought.pth.tar"
    path.write_bytes(source)
    blobs = BlobStore(database)
    identity = register_file(database, blobs, path, name, ["Li", "Cl"], "r2SCAN")
    run_builder(PotentialBuilder())
    return identity, blobs


def resolve_and_path(name):
    from sse_screen.potentials.registry import find_potential

    return find_potential(name).path.read_bytes() + b"\0"  # another hash, the same model


def test_damaged_weights_are_refused(database, tmp_path, settings_environment):
    identity, blobs = _registered_file(database, tmp_path)
    cache = tmp_path / "cache"
    path = weights_file(blobs, identity, cache)
    assert path.read_bytes() == (tmp_path / "brought.pth.tar").read_bytes()
    path.write_bytes(b"damaged")  # a damaged cache is fetched again
    assert weights_file(blobs, identity, cache).stat().st_size > 1000
    path.unlink()
    chunk = database["blobs.chunks"].find_one({"files_id": identity.weights_sha256, "n": 0})
    damaged = bytes([chunk["data"][0] ^ 1]) + chunk["data"][1:]
    database["blobs.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": damaged}})
    with pytest.raises(BlobCorruptError, match=identity.weights_sha256):
        weights_file(blobs, identity, cache)
    assert list(cache.iterdir()) == []
    with pytest.raises(BlobCorruptError):
        calculator_for(identity)


@pytest.mark.parametrize("make", [lambda whole: b"corrupt", lambda whole: whole[: len(whole) // 2]])
def test_a_damaged_file_is_not_registered(database, tmp_path, settings_environment, make):
    with pytest.raises(InputError, match=r"brought\.pth\.tar: damaged, or no CHGNet file$"):
        _registered_file(database, tmp_path, make(resolve_and_path("chgnet-r2scan")))
    assert database["blobs.files"].count_documents({}) == 0
    with pytest.raises(InputError, match="'mine': is not registered"):
        find_registered(database, "mine")


def test_gates_of_a_potential_that_cannot_be_loaded_say_why(database, tmp_path, settings_environment):
    identity, _ = _registered_file(database, tmp_path)
    database["blobs.chunks"].delete_many({"files_id": identity.weights_sha256})
    result = CliRunner().invoke(app, ["potential", "check", "mine", "--elements", "Li,Cl"])
    assert isinstance(result.exception, InputError)
    message = str(result.exception)
    assert message.startswith("potential 'mine': the gates could not be run: ")
    assert identity.weights_sha256[:12] in message


def test_weights_that_are_nowhere_or_others_are_refused(database, settings_environment, tmp_path):
    missing = PotentialIdentity(name="gone", code="chgnet", code_version="1", weights_sha256="a" * 64)
    with pytest.raises(InputError, match="'gone': no file here, and its weights aaaaaaaaaaaa… are not in"):
        calculator_for(missing)
    other = resolve_potential("chgnet").model_copy(update={"weights_sha256": "b" * 64})
    with pytest.raises(InputError, match=r"this worker has weights .* submitted with bbbbbbbbbbbb"):
        calculator_for(other)


def test_names_that_mean_nothing_several_or_something_else(database, tmp_path, settings_environment):
    with pytest.raises(InputError, match=r"'nobody': is not registered; there are none .*garnet-buckingham"):
        choose_potential("nobody")
    _, blobs = _registered_file(database, tmp_path)
    found = find_registered(database, "mine")
    for alias, message in {
        "chgnet": "comes with the platform",
        "deadbeef01": "beginning of a hash",
        "Mine": "lower-case",
    }.items():
        with pytest.raises(InputError, match=message):
            set_alias(database, found, alias)
    (tmp_path / "brought.pth.tar").write_bytes(resolve_and_path("chgnet-r2scan") + b"\0")
    register_file(database, blobs, tmp_path / "brought.pth.tar", "mine", ["Li"], "PBE")
    run_builder(PotentialBuilder())
    with pytest.raises(InputError, match="'mine': means several"):
        find_registered(database, "mine")
    # an alias moves to the one it was given last
    set_alias(database, found, "best")
    set_alias(database, find_registered(database, "chgnet-r2scan"), "best")
    run_builder(PotentialBuilder())
    assert find_registered(database, "best").name == "chgnet-r2scan"
    with pytest.raises(InputError, match="Xx is no element"):
        register_file(database, blobs, tmp_path / "brought.pth.tar", "other", ["Xx"], "PBE")


def test_a_file_needs_permission_until_it_passed_the_gates(database, tmp_path, settings_environment):
    from sse_screen.potentials.registry import find_potential

    path = tmp_path / "copy.pth.tar"
    path.write_bytes(find_potential("chgnet").path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="no gates were run on"):
        choose_potential(str(path))
    assert choose_potential(str(path), allow_unchecked=True).name == str(path)
    # the very weights of a published model need none
    path.write_bytes(find_potential("chgnet").path.read_bytes())
    run_builder(PotentialBuilder())
    assert choose_potential(str(path)).weights_sha256 == resolve_potential("chgnet").weights_sha256


def test_building_twice_changes_nothing(database, settings_environment):
    assert run_builder(PotentialBuilder()).built == 2
    before = list(database[PotentialDoc.collection].find({}, {"_id": 0}))
    assert run_builder(PotentialBuilder()).built == 0
    assert list(database[PotentialDoc.collection].find({}, {"_id": 0})) == before
    assert before[0]["built_at"] <= datetime.now(UTC)


def test_splits_keep_configurations_together_and_nest():
    structures = labelled(10)
    whole = split_labels(structures, SplitProtocol(seed=3))
    part = split_labels(structures[::-1], SplitProtocol(seed=3, n_training=4))
    assert {s.content_hash for s in part.training} < {s.content_hash for s in whole.training}
    assert dataset_hash(part.test) == dataset_hash(whole.test)
    assert dataset_hash(part.validation) == dataset_hash(whole.validation)
    assert part.sha256 != whole.sha256
    assert (len(whole.training), len(whole.validation), len(whole.test)) == (7, 1, 2)
    half = split_labels(structures, SplitProtocol(seed=3, training_fraction=0.5))
    assert half.sha256 == part.sha256
    with pytest.raises(TrainingInputError, match="n_training 9: there are 7"):
        split_labels(structures, SplitProtocol(n_training=9))
    with pytest.raises(
        InputError, match=r"2 parent .* cannot be split into 3 parts \(training, validation, t"
    ):
        split_labels(structures[:2], SplitProtocol())
    with pytest.raises(InputError, match="NaCl: not in the set"):
        split_labels(structures, SplitProtocol(unseen_formulas=("Na4Cl4",)))
    with pytest.raises(TrainingInputError, match=r"'Na\(' is no formula"):
        split_labels(structures, SplitProtocol(unseen_formulas=("Na(",)))
    with pytest.raises(ValueError, match=r"add up to 1: nothing is left to learn from"):
        SplitProtocol(test_fraction=0.5, validation_fraction=0.5)


@pytest.mark.parametrize("seed", range(8))
def test_every_element_is_learnt_whatever_the_seed_and_the_size(seed):
    chloride, sodium = labelled(6), labelled(1, cation="Na", a=5.6)
    for n in (None, 2):
        sets = split_labels(chloride + sodium, SplitProtocol(seed=seed, n_training=n))
        assert sets.elements == ["Cl", "Li", "Na"]
        assert sodium[0].content_hash in {s.content_hash for s in sets.training}
    with pytest.raises(InputError, match=r"training has every element \(that takes 2 of them\)"):
        split_labels(chloride[:2] + sodium, SplitProtocol(seed=seed))


def test_a_mace_is_trained_registered_and_used_by_name(database, settings_environment):
    labels = stored_labels(database, labelled(5))
    protocol = MaceProtocol(channels=4, interactions=1, cutoff_A=3.5, maximum_epochs=1)
    job = MaceTrainingMaker(protocol=protocol).make("tiny", [labels], ["uuid of the labels"])
    responses = run_locally(job, store=job_store(settings_environment), ensure_success=True)
    output = responses[job.uuid][1].output
    assert (output.method, output.parent, output.potential.code) == ("MACE scratch", None, "mace")
    assert run_builder(PotentialBuilder()).failed == 0
    chosen = choose_potential("tiny", allow_unchecked=True)
    atoms = labelled(1)[0].to_atoms()
    atoms.calc = calculator_for(chosen)
    assert atoms.get_potential_energy() / len(atoms) == pytest.approx(-6.1, abs=0.5)
    with pytest.raises(InputError, match="is a chgnet, not a MACE"):
        MaceTrainingMaker(resolve_potential("chgnet")).make.original(
            MaceTrainingMaker(resolve_potential("chgnet")), "x", [labels]
        )
