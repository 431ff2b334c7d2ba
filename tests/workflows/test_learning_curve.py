"""A learning curve as a flow and as a document. Real CHGNet, real MongoDB."""

import pytest
from jobflow import run_locally
from training_toys import labelled

from sse_screen.builders.learning_curve import LearningCurveBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.label import Label, pack_labels
from sse_screen.documents.learning_curve import LearningCurveDoc
from sse_screen.documents.training import SplitProtocol, TrainingProtocol
from sse_screen.potentials import resolve_potential
from sse_screen.workflows.runtime import worker
from sse_screen.workflows.training import FineTuningMaker, LearningCurveFlowMaker


@pytest.fixture(autouse=True)
def _fresh_worker(settings_environment):
    worker.cache_clear()
    yield
    worker.cache_clear()


def test_trainings_of_a_flow_become_one_curve(database, settings_environment):
    data = pack_labels(Label.of(s, code_version="1", cpu_time_s=0.0) for s in labelled(18))
    labels = BlobStore(database).put(data, "application/zstd+json")
    protocol = TrainingProtocol(maximum_epochs=2, batch_size=4)
    split = SplitProtocol(test_fraction=1 / 6, validation_fraction=1 / 6)
    training = FineTuningMaker(resolve_potential("chgnet"), protocol, split)
    flow = LearningCurveFlowMaker(training).make("licl", [labels])
    run_locally(flow, store=job_store(settings_environment), ensure_success=True)
    assert run_builder(LearningCurveBuilder()).built == 1
    found = LearningCurveDoc.model_validate(database.learning_curve.find_one({}, {"_id": 0}))
    assert [point.n_training for point in found.points] == [3, 6, 9, 12]
    assert found.names[-1] == "licl"
    assert found.names[0] == "licl-25pct-seed1"
    assert {law.quantity for law in found.laws} == {"energy", "forces", "stress"}
    assert found.n_test == 3
    assert len(found.inputs) == 4
    errors = [point.force_error_eV_per_A for point in found.points]
    assert errors[-1] < errors[0]
    # one with another test set is no point of this curve; targets change the verdict, not the points
    stored = database[OUTPUTS].find_one({"output.name": "licl"})
    stored["output"] |= {"test_sha256": "0" * 64, "calculation_key": "other"}
    database[OUTPUTS].insert_one({**stored, "_id": None, "uuid": "other"})
    assert run_builder(LearningCurveBuilder()).built == 0
    assert run_builder(LearningCurveBuilder({"target_force_error_eV_per_A": 10.0})).built == 1
    assert database.learning_curve.find_one()["verdict"] == "enough"


def test_too_few_sizes_are_a_curve_without_a_verdict():
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent.parent / "api"))
    from figure_documents import learning_curve, training_output

    few = LearningCurveDoc.from_trainings(
        [training_output(), training_output(n_training=12), training_output(n_training=6)]
    )
    assert (few.verdict, few.reasons) == ("undecided", ["3 training-set sizes; a curve needs 4"])
    assert [point.n_training for point in few.points] == [6, 12, 24]
    exact = learning_curve()
    assert exact.laws[1].exponent == pytest.approx(0.5)
    assert exact.verdict == "more_data_needed"
    assert exact.laws[1].expected_error_at_twice_the_data == pytest.approx(0.1 * 48**-0.5)
