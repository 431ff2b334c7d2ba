"""Sets that leak or mix levels are refused; errors and element energies against numbers by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_toys import TEACHER, labelled, small_sets

from sse_screen.training.atom_reference import check_reference, fit_reference_shift
from sse_screen.training.datasets import LeakError
from sse_screen.training.errors import TrainingInputError
from sse_screen.training.labelled import LabelError
from sse_screen.training.metrics import Predictions, error_statistics, parity_points, set_metrics
from sse_screen.training.sets import TrainingSets


def test_a_structure_in_two_sets_is_refused():
    a, b, c = labelled(3)
    copied = replace(a, parent_configuration="another name")
    with pytest.raises(LeakError, match=r"structure \w+ is in training and in validation"):
        TrainingSets((a, b), (copied, c))
    with pytest.raises(LeakError, match="in training and in test"):
        TrainingSets((a,), (b,), (copied,))
    with pytest.raises(LeakError, match="in validation and in test"):
        TrainingSets((b,), (a,), (copied,))
    with pytest.raises(LeakError, match="in training and in unseen_composition"):
        TrainingSets((a,), (b,), (), (copied,))


def test_a_configuration_or_a_run_in_two_sets_is_refused():
    a, b = labelled(2)
    sibling = replace(b, parent_configuration=a.parent_configuration)
    with pytest.raises(LeakError, match="parent configuration LiCl 0 0 is in training and in validation"):
        TrainingSets((a,), (sibling,))
    assert TrainingSets((a,), (sibling,), by="run").by == "run"
    with pytest.raises(LeakError, match="run toy 7 is in training"):
        TrainingSets((replace(a, source="toy 7 frame 1"),), (replace(b, source="toy 7 frame 9"),), by="run")


def test_two_levels_of_theory_are_refused():
    a, b = labelled(2)
    other = replace(b, level_of_theory=TEACHER.model_copy(update={"functional": "SCAN"}))
    with pytest.raises(LabelError, match="two levels of theory"):
        TrainingSets((a,), (other,))


def test_empty_sets_and_seen_compositions_are_refused():
    a, b, c = labelled(3)
    with pytest.raises(TrainingInputError, match="validation: no labelled"):
        TrainingSets((a,), ())
    with pytest.raises(TrainingInputError, match="LiCl is a composition of the other sets"):
        TrainingSets((a,), (b,), (), (c,))


def test_an_element_that_is_not_learnt_is_refused():
    a, b = labelled(2)
    (sodium,) = labelled(1, cation="Na", a=5.6)
    for sets in (((a,), (sodium,)), ((a,), (b,), (sodium,))):
        with pytest.raises(TrainingInputError, match="has Na, which no structure to learn from has"):
            TrainingSets(*sets)
    assert TrainingSets((a,), (b,), (), (sodium,)).elements == ["Cl", "Li"]


def test_the_hash_of_the_sets_is_of_their_contents_and_uses():
    a, b, c = labelled(3)
    assert TrainingSets((a, b), (c,)).sha256 == TrainingSets((b, a), (c,)).sha256
    assert TrainingSets((a, b), (c,)).sha256 != TrainingSets((a, c), (b,)).sha256
    assert TrainingSets((a,), (b,), (c,)).sha256 != TrainingSets((a,), (c,), (b,)).sha256


def _predicted(structures, energies):
    return Predictions(
        np.array(energies), tuple(s.forces_eV_per_A for s in structures), np.zeros((len(structures), 3, 3))
    )


def test_element_energies_are_recovered_from_three_compositions():
    structures = labelled(2) + labelled(2, cation="Na", a=5.6) + labelled(1, anion="F", a=4.1)
    truth = {"Cl": 0.3, "F": -1.0, "Li": 2.0, "Na": -0.7}
    added = [sum(truth[e] for e in s.species) / len(s) for s in structures]
    labels = np.array([s.energy_eV_per_atom for s in structures])
    found = fit_reference_shift(structures, labels - added)
    assert (
        not found.determined
    )  # one cation more would tell them apart: equal numbers of both ions everywhere
    assert [found.of(s) for s in structures] == pytest.approx(added, abs=1e-9)
    assert found.explained_eV_per_atom == pytest.approx(np.sqrt(np.mean(np.square(added))))
    # least norm: no other shifts that explain the same are smaller
    assert np.linalg.norm(list(found.shift_eV.values())) < np.linalg.norm(list(truth.values()))
    check_reference(structures, labels - 1e-3, 0.05)
    with pytest.raises(TrainingInputError, match="E0s"):
        check_reference(structures, labels - added, 0.05)


def test_errors_by_hand():
    found = error_statistics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 2.0]), "eV")
    assert found.mean_absolute_error == pytest.approx(0.5)
    assert found.root_mean_square_error == pytest.approx(np.sqrt(1.25 / 3))
    assert found.r_squared == pytest.approx(1 - 1.25 / 2)
    assert error_statistics(np.zeros(4), np.ones(4), "eV").r_squared is None


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20), st.floats(-5, 5))
def test_mae_is_not_above_rmse_and_shifts_of_both_change_nothing(values, shift):
    labels, predicted = np.array(values), np.array(values[::-1])
    found = error_statistics(labels, predicted, "eV")
    moved = error_statistics(labels + shift, predicted + shift, "eV")
    assert found.mean_absolute_error <= found.root_mean_square_error * (1 + 1e-12) + 1e-12
    assert moved.root_mean_square_error == pytest.approx(found.root_mean_square_error, abs=1e-9)


def test_metrics_of_a_set_skip_missing_stresses():
    kept = small_sets().validation
    bare = tuple(replace(s, stress_eV_per_A3=None) for s in kept)
    energies = [s.energy_eV_per_atom + 0.01 for s in kept]
    found = set_metrics(bare, _predicted(bare, energies))
    assert found.stress is None
    assert found.forces.root_mean_square_error == 0
    assert found.energy.mean_absolute_error == pytest.approx(0.01)
    assert found.formulas == ["LiCl"]
    assert set_metrics(kept, _predicted(kept, energies)).stress.n_values == 27
    points = parity_points(kept, _predicted(kept, energies))
    assert len(points.force_label_eV_per_A) == 3 * 2 * 3
    assert points.energy_predicted_eV_per_atom == pytest.approx(energies, rel=1e-7)
