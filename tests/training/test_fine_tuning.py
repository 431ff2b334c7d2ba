"""Fine-tuning of CHGNet with another universal potential as the teacher."""

import math

import numpy as np
import pytest
import torch
from training_toys import small_sets

from sse_screen.documents.training import (
    BalancedSquaredLoss,
    HuberLoss,
    LearningRateSchedule,
    TrainingProtocol,
)
from sse_screen.potentials import load_calculator
from sse_screen.potentials.loading import load_chgnet
from sse_screen.potentials.registry import find_potential
from sse_screen.training.checkpoint import read_checkpoint, write_checkpoint
from sse_screen.training.errors import TrainingDivergedError, TrainingInputError
from sse_screen.training.fine_tuning import CHECKPOINT, fine_tune
from sse_screen.training.metrics import predict_with, set_metrics

PARENT = find_potential("chgnet").path
SHORT = TrainingProtocol(maximum_epochs=4, batch_size=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    seen = []
    result = fine_tune(small_sets(), PARENT, SHORT, 1, folder, lambda *now: seen.append(now))
    path = folder / "best.pth.tar"
    path.write_bytes(result.weights)
    return result, path, seen


def test_the_file_is_read_by_the_platform_and_has_learnt(trained):
    result, path, seen = trained
    sets = small_sets()
    parent = predict_with(load_calculator("chgnet"), sets.validation)
    before = set_metrics(sets.validation, parent)
    shifted = set_metrics(sets.validation, parent.shifted(sets.validation, result.reference_shift))
    after = set_metrics(sets.validation, predict_with(load_calculator(str(path)), sets.validation))
    assert before.energy.root_mean_square_error > 2  # the teacher's elements have other energies
    assert shifted.energy.root_mean_square_error < 0.02
    assert after.energy.root_mean_square_error < shifted.energy.root_mean_square_error
    assert after.forces.root_mean_square_error < 0.7 * before.forces.root_mean_square_error
    assert after.stress.root_mean_square_error < before.stress.root_mean_square_error
    assert seen == [(epoch, 4) for epoch in (1, 2, 3, 4)]


def test_the_weights_are_those_of_the_best_epoch(trained):
    result, path, _ = trained
    best = min(result.history, key=lambda record: record.validation_loss)
    assert result.best_epoch == best.epoch
    sets = small_sets()
    found = set_metrics(sets.validation, predict_with(load_calculator(str(path)), sets.validation))
    assert found.forces.root_mean_square_error == pytest.approx(best.force_error_eV_per_A, rel=1e-3)
    assert found.energy.root_mean_square_error == pytest.approx(best.energy_error_eV_per_atom, abs=2e-6)


def test_a_rate_that_is_too_high_does_not_cost_the_best_epoch(tmp_path):
    # constant and high: later epochs are worse than an early one, and patience ends the training
    protocol = TrainingProtocol(
        maximum_epochs=12,
        patience=2,
        batch_size=3,
        learning_rate=0.01,
        schedule=LearningRateSchedule(kind="constant"),
    )
    result = fine_tune(small_sets(3, 2), PARENT, protocol, 1, tmp_path)
    losses = [record.validation_loss for record in result.history]
    assert len(result.history) < protocol.maximum_epochs
    assert len(losses) == result.best_epoch + 2
    assert losses[result.best_epoch - 1] == min(losses) < losses[-1]
    last, best = load_chgnet(PARENT), tmp_path / "best.pth.tar"
    last.load_state_dict(torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"])
    best.write_bytes(result.weights)
    assert not torch.equal(last.bond_embedding.weight, load_chgnet(best).bond_embedding.weight)


def test_frozen_layers_keep_their_values_and_others_move(trained, tmp_path):
    protocol = SHORT.model_copy(
        update={"maximum_epochs": 1, "frozen_layers": ("atom_embedding", "mlp.layers.2")}
    )
    (tmp_path / "f.pth.tar").write_bytes(fine_tune(small_sets(3, 2), PARENT, protocol, 1, tmp_path).weights)
    old, new = load_chgnet(PARENT).state_dict(), load_chgnet(tmp_path / "f.pth.tar").state_dict()
    for name, value in old.items():
        frozen = name.startswith(("atom_embedding.", "mlp.layers.2.", "site_wise."))
        if frozen:
            assert torch.equal(value, new[name]), name
    assert not torch.equal(old["mlp.layers.4.weight"], new["mlp.layers.4.weight"])
    assert not torch.equal(old["bond_embedding.weight"], new["bond_embedding.weight"])
    changed = (old["composition_model.fc.weight"] != new["composition_model.fc.weight"])[0]
    assert torch.nonzero(changed).ravel().tolist() == [2, 16]  # Li and Cl alone


def test_an_unknown_layer_is_refused_with_the_known_ones(tmp_path):
    protocol = SHORT.model_copy(update={"frozen_layers": ("embedding",)})
    with pytest.raises(TrainingInputError, match="'embedding' is no layer; there are angle_basis_expansion"):
        fine_tune(small_sets(3, 2), PARENT, protocol, 1, tmp_path)


def test_element_energies_that_are_off_are_refused(tmp_path):
    protocol = SHORT.model_copy(update={"atom_reference": "keep"})
    with pytest.raises(
        TrainingInputError, match=r"E0s\) are off by 2\.3\d+ eV/atom .*Cl -2\.3.* Li -2\.3.*refit"
    ):
        fine_tune(small_sets(3, 2), PARENT, protocol, 1, tmp_path)


def test_a_training_that_diverges_says_what_to_do(tmp_path):
    protocol = SHORT.model_copy(
        update={"learning_rate": 1e9, "schedule": LearningRateSchedule(kind="constant"), "maximum_epochs": 30}
    )
    with pytest.raises(TrainingDivergedError, match=r"lower learning_rate|validation loss"):
        fine_tune(small_sets(3, 2), PARENT, protocol, 1, tmp_path)


def test_checkpoints_of_another_training_and_damaged_ones_are_refused(tmp_path):
    write_checkpoint(tmp_path / CHECKPOINT, {"identity": "another"})
    with pytest.raises(TrainingInputError, match="other data, parent, protocol or seed"):
        fine_tune(small_sets(3, 2), PARENT, SHORT, 1, tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")
    with pytest.raises(TrainingInputError, match="damaged"):
        read_checkpoint(tmp_path / CHECKPOINT, "x")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (LearningRateSchedule(kind="constant"), [1e-3] * 4),
        (LearningRateSchedule(kind="step", factor=0.9, interval=2), [1e-3, 1e-3, 9e-4, 9e-4]),
        (
            LearningRateSchedule(kind="cosine", factor=0.1),
            [1e-3 * (0.1 + 0.45 * (1 + math.cos(math.pi * k / 3))) for k in range(4)],
        ),
    ],
)
def test_the_learning_rate_follows_its_schedule(tmp_path, schedule, expected):
    loss = BalancedSquaredLoss() if schedule.kind == "step" else HuberLoss(stress_weight=0)
    protocol = SHORT.model_copy(update={"schedule": schedule, "loss": loss, "batch_size": 2})
    result = fine_tune(small_sets(2, 1), PARENT, protocol, 1, tmp_path)
    assert np.allclose([record.learning_rate for record in result.history], expected, rtol=1e-9)
