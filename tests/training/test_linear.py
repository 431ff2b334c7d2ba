"""Linear potentials: what is linear is found exactly, a teacher is learnt, the result runs."""

import numpy as np
import pytest
import yaml
from ase.spacegroup import crystal

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator, resolve_potential
from sse_screen.potentials.classical import load_classical, n_components
from sse_screen.potentials.classical_calculator import ClassicalCalculator
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory
from sse_screen.training.linear import (
    LinearProtocol,
    RadialProtocol,
    design_rows,
    fit_committee,
    fit_linear_potential,
)

PROTOCOL = LinearProtocol(charges={"Li": 1, "O": -2}, two_j_max=4, cutoff_A=3.0)
PAIRS = LinearProtocol(charges={"Li": 1, "O": -2}, two_j_max=0, radial=RadialProtocol(cutoff_A=5.0))
BOTH = PROTOCOL.model_copy(update={"radial": PAIRS.radial})


def labelled(calculator, n, seed=0):
    """Label distorted cells of lithium oxide, turned in space."""
    rng = np.random.default_rng(seed)
    sites, made = [(0.25, 0.25, 0.25), (0, 0, 0)], []
    for number in range(n):
        atoms = crystal(["Li", "O"], sites, spacegroup=225, cellpar=[4.75] * 3 + [90] * 3)
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
        strain = rng.normal(0, 0.015, (3, 3))
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
        atoms.rotate(50 * number, (1, 2, 3), rotate_cell=True)
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
                parent_configuration="Li2O",
                source=f"{seed}-{number}",
            )
        )
    return made


def errors(potential, structures):
    """Root mean square errors of energies per atom and force components."""
    calculator = ClassicalCalculator(potential)
    energies, forces = [], []
    for structure in structures:
        atoms = structure.to_atoms()
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms) - structure.energy_eV_per_atom)
        forces.append(atoms.get_forces() - structure.forces_eV_per_A)
    return np.sqrt(np.mean(np.square(energies))), np.sqrt(np.mean(np.square(forces)))


@pytest.fixture(scope="module")
def taught():
    """Labels of the Buckingham potential, to learn from and to judge by."""
    calculator = load_calculator("garnet-buckingham")
    return labelled(calculator, 20, seed=1), labelled(calculator, 6, seed=2)


@pytest.mark.parametrize(("two_j_max", "count"), [(2, 5), (4, 14), (6, 30), (8, 55)])
def test_the_number_of_components_is_that_of_the_literature(two_j_max, count):
    assert n_components(two_j_max, 1) == count
    assert n_components(two_j_max, 3) == 27 * count


def coefficients_of(potential):
    """The numbers of a potential in the order of the columns."""
    radial = potential.radial
    found = [] if radial is None else [radial.coefficients_eV[pair] for pair in ("Li-Li", "Li-O", "O-O")]
    if potential.many_body is None:
        return np.concatenate([*found, [potential.element_energies_eV[e] for e in ("Li", "O")]])
    return np.concatenate([*found, *(potential.many_body.coefficients_eV[e] for e in ("Li", "O"))])


@pytest.mark.parametrize("protocol", [PROTOCOL, PAIRS, BOTH], ids=["many-body", "pairs", "both"])
def test_the_rows_times_the_coefficients_are_what_the_potential_gives(taught, protocol):
    learnt, judged = taught
    potential = fit_linear_potential(design_rows(learnt, protocol), protocol, "student")
    coefficients = coefficients_of(potential)
    for structure, row in zip(judged, design_rows(judged, protocol), strict=True):
        missed = row.rows @ coefficients - row.targets  # of LAMMPS' orientation: lengths count
        energy, force = errors(potential, [structure])
        assert abs(missed[0]) == pytest.approx(energy, abs=1e-5)
        assert np.sqrt(np.mean(missed[1:] ** 2)) == pytest.approx(force, abs=1e-5)


def test_a_potential_of_the_same_form_is_found_again(taught):
    first = fit_linear_potential(design_rows(taught[0], PROTOCOL), PROTOCOL, "first")
    again, judged = (labelled(ClassicalCalculator(first), n, seed) for n, seed in ((20, 3), (4, 4)))
    second = fit_linear_potential(design_rows(again, PROTOCOL), PROTOCOL, "second")
    energy, force = errors(second, judged)
    assert energy < 1e-3
    assert force < 0.01 * np.std(np.concatenate([s.forces_eV_per_A for s in judged]))


def test_the_teacher_is_learnt_and_more_labels_help(taught):
    learnt, judged = taught
    rows = design_rows(learnt, PROTOCOL)
    few, many = (fit_linear_potential(rows[:n], PROTOCOL, "student") for n in (5, 20))
    spread = np.std(np.concatenate([s.forces_eV_per_A for s in judged]))
    assert errors(many, judged)[1] < errors(few, judged)[1]
    assert errors(many, judged)[1] < 0.06 * spread
    assert errors(many, judged)[0] < 3e-3


def test_a_teacher_of_pairs_is_learnt_nearly_exactly_by_pairs(taught):
    learnt, judged = taught
    potential = fit_linear_potential(design_rows(learnt, PAIRS), PAIRS, "student")
    energy, force = errors(potential, judged)
    spread = np.std(np.concatenate([s.forces_eV_per_A for s in judged]))
    assert force < 0.01 * spread
    assert energy < 1e-3
    # the function itself, up to what a constant in a cell of fixed composition cannot tell
    r = np.linspace(1.8, 2.6, 30)
    slope = potential.radial.energy_and_slope("Li-O", r)[1]
    np.testing.assert_allclose(slope, -632.1018 / 0.2906 * np.exp(-r / 0.2906), atol=0.1)


def test_a_committee_disagrees_less_with_more_labels(taught):
    rows = design_rows(taught[0], PROTOCOL)
    spreads = []
    for n in (6, 20):
        members = fit_committee(rows[:n], PROTOCOL, "student", 3, seed=1)
        assert len({m.parameters_sha256 for m in members}) == 3
        atoms = taught[1][0].to_atoms()
        forces = []
        for member in members:
            atoms.calc = ClassicalCalculator(member)
            forces.append(atoms.get_forces())
        spreads.append(np.std(forces, axis=0).max())
    assert spreads[1] < spreads[0]


def test_it_is_a_file_like_any_other_and_runs_exactly(taught, tmp_path):
    potential = fit_linear_potential(design_rows(taught[0], PROTOCOL), PROTOCOL, "student")
    path = tmp_path / "student.yaml"
    path.write_text(yaml.safe_dump(potential.model_dump(mode="json")))
    assert load_classical(str(path)) == potential
    assert resolve_potential(str(path)).weights_sha256 == potential.parameters_sha256
    atoms = crystal(
        ["Li", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[4.75] * 3 + [90] * 3
    )
    protocol = MolecularDynamicsProtocol(
        ensemble="nve", time_step_fs=1.0, equilibration_ps=0.1, production_ps=0.5, frame_interval_fs=10
    )
    calculator = load_calculator(str(path))
    result = run_molecular_dynamics(atoms, calculator, protocol, 500.0, 1, tmp_path / "run")
    trajectory = read_trajectory_file(result.trajectory_file, 10)
    kinetic = 1.5 * (len(atoms) - 1) * 8.617333e-5 * trajectory.temperatures_K
    assert np.std(trajectory.potential_energies_eV + kinetic) < 0.03 * np.std(kinetic)
    atoms.positions = trajectory.positions[-1]
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(trajectory.potential_energies_eV[-1], abs=0.01)


def test_faults_are_refused(taught):
    without = LinearProtocol(charges={"Li": 1})
    with pytest.raises(InputError, match="O is in the labels"):
        design_rows(taught[0][:1], without)
    with pytest.raises(ValueError, match="two_j_max: give 2 or more, or 0 and a radial part"):
        LinearProtocol(charges={"Li": 1}, two_j_max=0)
    with pytest.raises(InputError, match="no labelled structures"):
        fit_linear_potential([], PROTOCOL, "none")
    potential = fit_linear_potential(design_rows(taught[0][:2], PROTOCOL), PROTOCOL, "student")
    content = potential.model_dump(mode="json")
    content["many_body"]["coefficients_eV"]["Li"].pop()
    with pytest.raises(ValueError, match="Li has 112 numbers instead of 113"):
        type(potential).model_validate(content)
