"""The training that a campaign chooses: refused at submission where a file or a package lacks, and run."""

import importlib.util

import pytest
import yaml
from jobflow import run_locally
from test_potential_development import campaign
from training_toys import labelled, small_sets

from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import job_store
from sse_screen.documents.label import Label, pack_labels
from sse_screen.documents.training import MaceProtocol
from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.training.extended_xyz import write_extended_xyz
from sse_screen.training.mace_training import train_mace
from sse_screen.workflows.campaign import load_campaign
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.potential_gates import PotentialGatesMaker
from sse_screen.workflows.runtime import calculator_of, worker
from sse_screen.workflows.training import LearningCurveFlowMaker

TINY = {"channels": 4, "interactions": 1, "cutoff_A": 3.5, "maximum_epochs": 1, "batch_size": 4}
LICL = {
    "compositions": [{"prototype": "licl"}],
    "selection": {"n_orderings": 1},
    "dynamics": {"replicas": 3, "minimum_length_A": 2.0},
    "split": {"by": "run"},
}


@pytest.fixture(autouse=True)
def _fresh_worker(settings_environment):
    worker.cache_clear()
    calculator_of.cache_clear()
    yield
    worker.cache_clear()


@pytest.fixture(scope="module")
def foundation(tmp_path_factory):
    """A model of a few hundred numbers that knows Li and Cl."""
    folder = tmp_path_factory.mktemp("foundation")
    path = folder / "tiny.model"
    path.write_bytes(train_mace(small_sets(), MaceProtocol.model_validate(TINY), 1, folder).weights)
    return path


def developed(training, **section):
    return campaign(section={"training": training, **section})


def test_a_second_head_on_replayed_structures_from_a_campaign_file(
    database, settings_environment, foundation, tmp_path
):
    write_extended_xyz(tmp_path / "replay.extxyz", labelled(8, seed=3))
    (tmp_path / "tiny.model").write_bytes(foundation.read_bytes())
    training = {"trainer": "mace", "method": "multihead", "foundation": "tiny.model"}
    asked = developed({**TINY, **training, "replay": "replay.extxyz"}, **LICL)
    content = asked.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(content))
    plan = plan_campaign(load_campaign(tmp_path / "campaign.yaml"))
    development = plan.development
    assert len(development.training.hashes) == 2
    assert "foundation': None" in str(development.maker.section.model_dump())
    # the files are in the blob store, whatever happens to those of the user
    maker = development.training.uploaded(BlobStore(database).put)
    for name in ("replay.extxyz", "tiny.model"):
        (tmp_path / name).unlink()
    data = pack_labels(Label.of(s, code_version="1", cpu_time_s=0.0) for s in labelled(8, teacher="chgnet"))
    labels = BlobStore(database).put(data, "application/zstd+json")
    maker.split = maker.split.model_copy(update={"by": "parent"})
    flow = LearningCurveFlowMaker(maker, (1.0,)).make("two-heads", [labels])
    responses = run_locally(flow, store=job_store(settings_environment), ensure_success=True)
    output = responses[flow.jobs[0].uuid][1].output
    assert output.method == "MACE multihead"
    assert output.parent.weights_sha256 == resolve_potential(str(foundation)).weights_sha256
    assert output.parent.elements == ["Cl", "Li"]
    assert output.replay.sha256 == maker.replay.sha256
    assert output.parent_test.forces.n_values == output.test.forces.n_values > 0
    # the labels' energies are 2.3 eV/atom from the foundation's
    assert output.test.energy.root_mean_square_error < 0.5
    assert output.reference_shift_eV["Li"] == pytest.approx(2.3, abs=0.5)
    # its gates know what its parent knew
    gates = PotentialGatesMaker(development.maker.section.gates)
    job = gates.make(output.potential, output.parent, output.labels, maker.split)
    judged = run_locally(job, store=job_store(settings_environment), ensure_success=True)
    results = {result.gate: result for result in judged[job.uuid][1].output.results}
    assert results["forgetting"].value is not None


def test_from_scratch_needs_no_file_and_any_parent_samples():
    plan = plan_campaign(developed({**TINY, "trainer": "mace"}, **LICL)).development
    assert (plan.maker.parent.code, plan.training.maker.code) == ("chgnet", "mace")
    assert (plan.training.maker.parent, plan.training.maker.method) == (None, "MACE scratch")


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"trainer": "vasp"}, "trainer: must be chgnet"),
        ({"trainer": "mace", "frozen_layers": []}, "frozen_layers"),
        ({"trainer": "mace", "foundation": "a.model"}, "method scratch takes none"),
        ({"trainer": "mace", "method": "naive", "replay": "a.xyz"}, "is for method multihead, not naive"),
        ({"replay": "a.xyz"}, "replay"),
    ],
)
def test_fields_that_do_not_go_together(training, message):
    with pytest.raises(ValueError, match=message):
        developed(training)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"trainer": "mace", "method": "naive"},
            r"naive: needs a foundation model; give training\.foundation",
        ),
        ({"trainer": "mace", "method": "naive", "foundation": "gone.model"}, r"gone\.model: no such file"),
        ({"trainer": "mace", "method": "naive", "foundation": __file__}, r"MACE model file ends in \.model"),
    ],
)
def test_files_are_asked_for_at_submission(training, message, settings_environment):
    with pytest.raises(InputError, match=message):
        plan_campaign(developed(training))


def test_models_that_are_damaged_or_do_not_know_an_element(foundation, tmp_path, settings_environment):
    naive = {"trainer": "mace", "method": "naive"}
    with pytest.raises(InputError, match=r"potential 'tiny' was not trained on Br; it covers Cl, Li"):
        plan_campaign(developed(naive | {"foundation": str(foundation)}))
    (tmp_path / "half.model").write_bytes(foundation.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"half\.model: damaged, or cannot be read as a MACE model"):
        plan_campaign(developed(naive | {"foundation": str(tmp_path / "half.model")}))
    multihead = {"method": "multihead", "foundation": str(foundation), "replay": "gone.xyz"}
    with pytest.raises(InputError, match=r"training\.replay: gone\.xyz: no such file"):
        plan_campaign(developed(naive | multihead, **LICL))
    write_extended_xyz(tmp_path / "replay.extxyz", labelled(2, cation="Na", a=5.6))
    replayed = {"method": "multihead", "foundation": str(foundation), "replay": tmp_path / "replay.extxyz"}
    with pytest.raises(InputError, match=r"replay\.extxyz: the potential 'tiny' was not trained on Na"):
        plan_campaign(developed(naive | replayed, **LICL))


def test_without_the_extra_one_sentence_says_what_to_do(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mace" else found(name))
    with pytest.raises(
        InputError, match=r"trainer mace: MACE is not installed: pip install 'sse-screen\[mace"
    ):
        plan_campaign(developed({"trainer": "mace"}))


def test_keys_allowed_are_those_of_the_trainer(tmp_path):
    content = developed({}).model_dump(mode="json", exclude_unset=True)
    content["potential_development"]["training"] = {"trainer": "mace", "frozen_layers": []}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"frozen_layers: unknown key; allowed here: .*channels") as refused:
        load_campaign(tmp_path / "campaign.yaml")
    assert "schedule" not in str(refused.value)
