"""Tiny MACE models: from scratch, fine-tuned, and with replay; what is wrong is said."""

import hashlib

import numpy as np
import pytest
from training_toys import labelled, small_sets

from sse_screen.documents.training import MaceProtocol
from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator, load_engine, resolve_potential
from sse_screen.training.errors import TrainingInputError
from sse_screen.training.mace_training import foundation_energies, train_mace
from sse_screen.training.metrics import predict_with, set_metrics
from sse_screen.training.sets import TrainingSets

TINY = MaceProtocol(
    channels=4, interactions=1, cutoff_A=3.5, maximum_epochs=4, batch_size=3, energy_weight=100.0
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mace")
    seen = []
    result = train_mace(small_sets(), TINY, 1, folder, progress=lambda *now: seen.append(now))
    path = folder / "mine.model"
    path.write_bytes(result.weights)
    return result, path, seen


def test_a_model_from_scratch_is_a_potential_of_the_platform(scratch):
    result, path, seen = scratch
    assert [record.epoch for record in result.history] == [1, 2, 3, 4]
    assert seen[-1][1] == 4
    identity = resolve_potential(str(path))
    assert (identity.code, identity.code_version) == ("mace", "0.3.16")
    assert identity.weights_sha256 == hashlib.sha256(result.weights).hexdigest()
    sets = small_sets()
    found = set_metrics(
        sets.validation, predict_with(load_calculator(str(path), device="cpu"), sets.validation)
    )
    best = result.history[result.best_epoch - 1]
    assert found.forces.root_mean_square_error == pytest.approx(best.force_error_eV_per_A, rel=0.02)
    assert found.energy.root_mean_square_error == pytest.approx(best.energy_error_eV_per_atom, rel=0.02)
    mean = np.mean([s.energy_eV_per_atom for s in sets.training])
    assert foundation_energies(path) == pytest.approx({3: mean, 17: mean}, rel=1e-3)
    with pytest.raises(InputError, match="only CHGNet has a batched engine"):
        load_engine(str(path))


def test_fine_tuning_fits_the_energies_of_the_elements_and_refuses_those_off(scratch, tmp_path):
    _, path, _ = scratch
    other = labelled(6, seed=5, teacher="chgnet")  # energies 2.3 eV/atom higher
    sets = TrainingSets(other[:4], other[4:])
    naive = TINY.model_copy(update={"method": "naive", "maximum_epochs": 1})
    keep = naive.model_copy(update={"atom_reference": "keep"})
    with pytest.raises(TrainingInputError, match=r"E0s\) are off by 2\.\d+ eV/atom"):
        train_mace(sets, keep, 1, tmp_path, foundation=path)
    result = train_mace(sets, naive, 1, tmp_path, foundation=path)
    assert result.reference_shift.shift_eV["Li"] == pytest.approx(2.3, abs=0.5)
    assert result.history[-1].energy_error_eV_per_atom < 0.3


def test_two_heads_with_replay_give_the_head_of_the_labels(scratch, tmp_path):
    _, path, _ = scratch
    other = labelled(6, seed=5, teacher="chgnet")
    sets = TrainingSets(other[:4], other[4:])
    protocol = TINY.model_copy(update={"method": "multihead", "maximum_epochs": 1})
    replay = labelled(6)
    result = train_mace(sets, protocol, 1, tmp_path, foundation=path, replay=replay)
    (tmp_path / "two.model").write_bytes(result.weights)
    found = predict_with(load_calculator(str(tmp_path / "two.model"), device="cpu"), sets.validation)
    labels = [s.energy_eV_per_atom for s in sets.validation]
    assert np.abs(found.energies_eV_per_atom - labels).max() < 0.5  # not those of the other head, 2.3 eV off


def test_what_does_not_fit_together_is_refused(tmp_path, scratch):
    _, path, _ = scratch
    with pytest.raises(TrainingInputError, match="naive: needs a foundation model"):
        train_mace(small_sets(), TINY.model_copy(update={"method": "naive"}), 1, tmp_path)
    with pytest.raises(TrainingInputError, match="scratch: takes no foundation model"):
        train_mace(small_sets(), TINY, 1, tmp_path, foundation=path)
    with pytest.raises(TrainingInputError, match="replay set is for multihead"):
        train_mace(
            small_sets(), TINY.model_copy(update={"method": "multihead"}), 1, tmp_path, foundation=path
        )
    sodium = labelled(4, cation="Na", a=5.6)
    with pytest.raises((TrainingInputError, ValueError), match=r"11|Na"):
        train_mace(
            TrainingSets(sodium[:2], sodium[2:]),
            TINY.model_copy(update={"method": "naive"}),
            1,
            tmp_path,
            foundation=path,
        )
    (tmp_path / "no.model").write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot be read as a MACE model"):
        load_calculator(str(tmp_path / "no.model"))


def test_without_the_extra_one_sentence_says_what_to_do(monkeypatch, scratch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mace" else found(name))
    with pytest.raises(InputError, match=r"MACE is not installed: pip install 'sse-screen\[mace\]'"):
        load_calculator(str(scratch[1]))
