"""One backward pass gives what CHGNet's own evaluation gives; units and signs of labels."""

import numpy as np
import pytest
import torch
from training_toys import labelled

from sse_screen.documents.training import BalancedSquaredLoss, HuberLoss
from sse_screen.potentials import load_calculator
from sse_screen.potentials.loading import load_chgnet
from sse_screen.potentials.registry import find_potential
from sse_screen.training.chgnet_examples import Batch, labels_of, make_examples, predict, predict_in_batches
from sse_screen.training.losses import loss_of


@pytest.fixture(scope="module")
def model():
    return load_chgnet(find_potential("chgnet").path)


def test_predictions_equal_chgnets_own(model):
    structures = labelled(3) + labelled(2, cation="Na", a=5.6)
    examples = make_examples(model, structures)
    found = predict(model, examples, differentiable=True)
    stock = model([example.graph for example in examples], task="efs")
    assert torch.allclose(found.energies, stock["e"], atol=1e-6)
    assert torch.allclose(found.forces, torch.cat(stock["f"]), atol=1e-5)
    assert torch.allclose(found.stresses, torch.stack(stock["s"]), atol=1e-3)
    batched = predict_in_batches(model, examples, 2)
    for name in ("energies", "forces", "stresses", "n_atoms"):
        assert torch.allclose(getattr(batched, name), getattr(found, name).detach(), atol=1e-3), name
    assert not batched.forces.requires_grad


def test_labels_have_the_units_and_sign_of_the_predictions(model):
    """Labels made with the model itself are its predictions: eV/atom, eV/Å, GPa with ASE's sign."""
    structures = labelled(2, seed=3, teacher="chgnet")
    examples = make_examples(model, structures)
    labels, found = labels_of(examples), predict(model, examples, differentiable=False)
    assert torch.allclose(labels.energies, found.energies, atol=1e-5)
    assert torch.allclose(labels.forces, found.forces, atol=1e-4)
    assert torch.allclose(labels.stresses, found.stresses, atol=0.01)
    assert found.stresses.abs().max() > 0.3
    atoms = structures[0].to_atoms()
    atoms.calc = load_calculator("chgnet", variant="stock")
    assert np.allclose(labels.stresses[0] / 160.21766208, atoms.get_stress(voigt=False), atol=1e-4)


def _batches():
    ones = torch.ones(5, 3)
    labels = Batch(torch.zeros(2), torch.zeros(5, 3), torch.zeros(2, 3, 3), torch.tensor([2, 3]))
    predicted = Batch(torch.tensor([0.5, -0.01]), 0.2 * ones, torch.full((2, 3, 3), 2.0), labels.n_atoms)
    return predicted, labels


def test_the_loss_of_yang_2025_by_hand():
    predicted, labels = _batches()
    # per structure: 0.01 (N dE)² + 0.99 / (3 N) * sum of 3 N squares 0.04
    expected = np.mean([0.01 * (2 * 0.5) ** 2, 0.01 * (3 * 0.01) ** 2]) + 0.99 * 0.04
    assert float(loss_of(BalancedSquaredLoss(), predicted, labels)) == pytest.approx(expected, rel=1e-6)


def test_the_huber_loss_by_hand_and_missing_stresses():
    predicted, labels = _batches()
    energy = np.mean([0.1 * (0.5 - 0.05), 0.5 * 0.01**2])
    force, stress = 0.1 * (0.2 - 0.05), 0.1 * (2.0 - 0.05)
    huber = HuberLoss(delta=0.1, energy_weight=2, force_weight=3, stress_weight=4)
    assert float(loss_of(huber, predicted, labels)) == pytest.approx(2 * energy + 3 * force + 4 * stress)
    unknown = Batch(labels.energies, labels.forces, torch.full((2, 3, 3), torch.nan), labels.n_atoms)
    assert float(loss_of(huber, predicted, unknown)) == pytest.approx(2 * energy + 3 * force)


def test_a_loss_that_teaches_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to learn"):
        HuberLoss(energy_weight=0, force_weight=0, stress_weight=0)
