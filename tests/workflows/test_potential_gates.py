"""The job of the gates, what the registry makes of it, and the commands. Real CHGNet, real MongoDB."""

import json

import pytest
from jobflow import run_locally
from training_toys import labelled
from typer.testing import CliRunner

from sse_screen.builders.potential import PotentialBuilder
from sse_screen.builders.run import run_builder
from sse_screen.cli.main import app
from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import job_store
from sse_screen.documents.label import Label, pack_labels
from sse_screen.documents.potential_gates import GateProtocol
from sse_screen.documents.training import TrainingProtocol
from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.potentials.registration import find_registered
from sse_screen.workflows.potential_gates import PotentialGatesMaker, gates_of_training
from sse_screen.workflows.potentials import choose_potential
from sse_screen.workflows.runtime import calculator_of, worker
from sse_screen.workflows.training import FineTuningMaker

QUICK = GateProtocol(
    hot_time_ps=0.05, drift_time_ps=0.1, minimum_length_A=3.0, largest_shift_eV_per_atom=0.05
)


@pytest.fixture(autouse=True)
def _fresh_worker(settings_environment):
    worker.cache_clear()
    calculator_of.cache_clear()
    yield
    worker.cache_clear()


@pytest.fixture
def trained(database, settings_environment):
    data = pack_labels(Label.of(s, code_version="1", cpu_time_s=0.0) for s in labelled(8))
    labels = BlobStore(database).put(data, "application/zstd+json")
    protocol = TrainingProtocol(maximum_epochs=2, batch_size=3, learning_rate=3e-4)
    job = FineTuningMaker(resolve_potential("chgnet"), protocol=protocol).make("licl", [labels])
    return run_locally(job, store=job_store(settings_environment), ensure_success=True)[job.uuid][1].output


def run(job, settings):
    return run_locally(job, store=job_store(settings), ensure_success=True)[job.uuid][1].output


def test_a_potential_is_free_when_it_passed_and_refused_when_it_failed(
    trained, settings_environment, tmp_path
):
    failed = run(
        gates_of_training(
            PotentialGatesMaker(QUICK.model_copy(update={"largest_forgetting": 1e-9})), trained
        ),
        settings_environment,
    )
    assert [r.gate for r in failed.results if not r.passed] == ["forgetting"]
    run_builder(PotentialBuilder())
    with pytest.raises(InputError, match=r"'licl' .* did not pass the gates \(forgetting\)"):
        choose_potential("licl")
    assert choose_potential("licl", allow_unchecked=True).weights_sha256 == trained.weights.sha256
    passed = run(gates_of_training(PotentialGatesMaker(QUICK), trained), settings_environment)
    assert passed.passed, passed.results
    assert [r.gate for r in passed.results] == [
        "dimers",
        "composition_shift",
        "forgetting",
        "energy_drift",
        "hot_dynamics",
    ]
    assert 0 < passed.results[2].value < 0.3
    run_builder(PotentialBuilder())
    chosen = choose_potential("licl")
    assert chosen.elements == ["Cl", "Li"]
    # the commands
    listed = json.loads(invoke("list", "--json").stdout)
    by_name = {row["name"]: row for row in listed}
    assert set(by_name) == {"chgnet", "chgnet-r2scan", "licl"}
    assert by_name["licl"]["gate_verdict"] == "passed"
    assert "licl" in invoke("list").stdout
    shown = invoke("show", "licl").stdout
    assert "fine-tuning from chgnet" in shown
    assert "energy_drift" in shown
    assert json.loads(invoke("show", "licl", "--json").stdout)["weights_sha256"] == trained.weights.sha256
    invoke("use", trained.weights.sha256[:12], "best")
    assert choose_potential("best").weights_sha256 == trained.weights.sha256
    invoke("export", "best", str(tmp_path / "out.pth.tar"))
    assert resolve_potential(str(tmp_path / "out.pth.tar")).weights_sha256 == trained.weights.sha256


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, ["potential", *arguments])
    if code == 0 and result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_a_file_is_added_and_checked_by_command(database, settings_environment, tmp_path):
    from sse_screen.potentials.registry import find_potential

    path = tmp_path / "mine.pth.tar"
    path.write_bytes(find_potential("chgnet").path.read_bytes() + b"\0")
    invoke("add", str(path), "mine", "--elements", "Li, Cl", "--level", "PBE")
    quick = tmp_path / "gates.yaml"
    quick.write_text("{hot_time_ps: 0.05, drift_time_ps: 0.05, minimum_length_A: 2.5, maximum_crystals: 2}")
    result = invoke("check", "mine", "--protocol", str(quick), "--json", code=1)
    results = {r["gate"]: r for r in json.loads(result.stdout)["results"]}
    assert not results["composition_shift"]["passed"]  # there are no labels to compare with
    assert results["dimers"]["passed"]
    assert results["energy_drift"]["passed"]
    assert [g.gate for g in find_registered(database, "mine").gates if not g.passed] == ["composition_shift"]
    quick.write_text("hot_tempreature_K: 3")
    with pytest.raises(InputError, match=r"gates.yaml: hot_tempreature_K: Extra inputs"):
        invoke("check", "mine", "--protocol", str(quick))
    with pytest.raises(InputError, match="covers 89 elements; name those you need"):
        invoke("check", "chgnet")
    with pytest.raises(InputError, match="no such file"):
        invoke("add", str(tmp_path / "nothing"), "x", "--elements", "Li", "--level", "PBE")
