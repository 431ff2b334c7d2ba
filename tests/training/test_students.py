"""Students of the loop: weights that load by themselves, committees that differ, harder training."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase.spacegroup import crystal

from sse_screen.documents.training import TrainingProtocol
from sse_screen.potentials import load_calculator
from sse_screen.training import fine_tuning
from sse_screen.training.datasets import run_of
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory
from sse_screen.training.linear import LinearProtocol
from sse_screen.training.students import FineTunedStudent, LinearStudent


@pytest.fixture(scope="module")
def labels():
    """Label distorted cells of lithium oxide by the classical potential."""
    calculator, rng, made = load_calculator("garnet-buckingham"), np.random.default_rng(5), []
    for number in range(6):
        sites = [(0.25, 0.25, 0.25), (0, 0, 0)]
        atoms = crystal(
            ["Li", "O"], sites, spacegroup=225, cellpar=[4.75] * 3 + [90] * 3, primitive_cell=True
        )
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        atoms.calc = calculator
        made.append(
            LabelledStructure(
                species=tuple(atoms.get_chemical_symbols()),
                positions=atoms.positions,
                cell=atoms.cell[:],
                energy_eV=atoms.get_potential_energy(),
                forces_eV_per_A=atoms.get_forces(),
                stress_eV_per_A3=None,
                level_of_theory=LevelOfTheory(code="lammps", functional="teacher"),
                parent_configuration=str(number),
                source=str(number),
            )
        )
    return made


def energies(weights, suffix, structure, folder):
    """Load every member from its bytes and evaluate a structure."""
    found = []
    for content in weights:
        path = folder / (hashlib.sha256(content).hexdigest() + suffix)
        path.write_bytes(content)
        atoms = structure.to_atoms()
        atoms.calc = load_calculator(str(path))
        found.append(atoms.get_potential_energy())
    return found


def test_a_linear_student_and_its_committee(labels, tmp_path):
    student = LinearStudent(protocol=LinearProtocol(charges={"Li": 1, "O": -2}, two_j_max=2, cutoff_A=3.0))
    weights = student.train(labels, 2, 1, 0, tmp_path)
    found = energies(weights, ".json", labels[0], tmp_path)
    assert len(set(found)) == 3
    assert found[0] == pytest.approx(labels[0].energy_eV, abs=0.3)
    assert student.train(labels, 2, 1, 0, tmp_path) == weights
    assert student.train(labels, 2, 1, 3, tmp_path)[0] != weights[0]  # a larger penalty
    assert student.code == "lammps"


def test_a_fine_tuned_student_and_its_committee(labels, tmp_path, monkeypatch):
    batch_sizes, fine_tune = [], fine_tuning.fine_tune

    def noted(sets, parent, protocol, *rest):
        batch_sizes.append((protocol.batch_size, len(sets.training), len(sets.validation)))
        return fine_tune(sets, parent, protocol, *rest)

    monkeypatch.setattr(fine_tuning, "fine_tune", noted)
    student = FineTunedStudent(protocol=TrainingProtocol(maximum_epochs=1, batch_size=2))
    weights = student.train(labels, 1, 1, 1, tmp_path)
    assert batch_sizes == [(4, 5, 1)] * 2
    found = energies(weights, ".pth.tar", labels[0], tmp_path)
    assert found[0] != found[1]
    assert student.code == "chgnet"


@pytest.mark.parametrize(("n_runs", "sizes"), [(3, [(4, 2)] * 4), (1, [(5, 1)] * 4)])
def test_no_run_is_both_learnt_from_and_chooses_the_epoch(labels, tmp_path, monkeypatch, n_runs, sizes):
    found = []

    def noted(sets, *_rest):
        found.append(sets)
        return SimpleNamespace(weights=b"")

    monkeypatch.setattr(fine_tuning, "fine_tune", noted)
    frames = [replace(x, source=f"loop 1, {k % n_runs} K frame {k}") for k, x in enumerate(labels)]
    FineTunedStudent().train(frames, 3, 1, 0, tmp_path)
    assert [(len(sets.training), len(sets.validation)) for sets in found] == sizes
    assert len({tuple(x.geometry_hash for x in sets.validation) for sets in found}) > 1
    if n_runs > 1:
        for sets in found:
            assert not {run_of(x) for x in sets.training} & {run_of(x) for x in sets.validation}
