"""Batches against one at a time."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.batched import relax_together, run_dynamics_together
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.dynamics.relaxation import RelaxationResult, relax_structure
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator, load_engine
from sse_screen.potentials.batch import evaluate_together
from sse_screen.potentials.calculator import graph_of
from sse_screen.potentials.chgnet_torch import TorchCHGNet

PROTOCOL = MolecularDynamicsProtocol(
    time_step_fs=1.0, equilibration_ps=0.01, production_ps=0.02, frame_interval_fs=5.0, store_velocities=True
)


@pytest.fixture(scope="module")
def engine():
    return load_engine("chgnet", device="cpu")


@pytest.fixture(scope="module")
def calculator():
    return load_calculator("chgnet", device="cpu")


def crystals(amplitude=0.1):
    kinds = [
        bulk("NaCl", "rocksalt", 5.64),
        bulk("LiCl", "rocksalt", 5.1, cubic=True),
        bulk("CsCl", "cesiumchloride", 4.1) * (1, 1, 2),
        bulk("Li") * (2, 1, 1),
        Atoms(
            "Li2O",
            scaled_positions=[[0.25] * 3, [0.75] * 3, [0, 0, 0]],
            cell=2.31 * (1 - np.eye(3)),
            pbc=True,
        ),
    ]
    for seed, atoms in enumerate(kinds):
        atoms.rattle(amplitude, seed=seed)
    return kinds


@pytest.mark.parametrize("kind", ["compiled", "torch"])
def test_crystals_side_by_side_give_what_they_give_alone(engine, calculator, kind):
    evaluator = engine if kind == "compiled" else TorchCHGNet(engine.weights, "cpu")
    structures = [*crystals(), Atoms("Li", cell=[20] * 3, pbc=True)]
    together = evaluate_together(evaluator, [graph_of(atoms, engine) for atoms in structures])
    for atoms, result in zip(structures, together, strict=True):
        atoms.calc = calculator
        assert result.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        np.testing.assert_allclose(result.forces, atoms.get_forces(), atol=5e-6)
        np.testing.assert_allclose(result.magmoms, atoms.get_magnetic_moments(), atol=1e-5)
        stress = result.virial / atoms.get_volume()
        np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-6)


@pytest.mark.parametrize("relax_cell", [False, True])
@pytest.mark.parametrize("atoms_together", [1, 12, 1000])
def test_relaxations_equal_those_one_at_a_time(engine, calculator, relax_cell, atoms_together):
    protocol = RelaxationProtocol(maximum_force_eV_per_A=0.05, maximum_steps=60, relax_cell=relax_cell)
    structures = crystals()
    together = relax_together(structures, engine, protocol, atoms_together=atoms_together)
    for atoms, found in zip(structures, together, strict=True):
        alone = relax_structure(atoms, calculator, protocol)
        assert isinstance(found, RelaxationResult)
        assert (found.n_steps, found.converged) == (alone.n_steps, alone.converged)
        assert found.energy_eV == pytest.approx(alone.energy_eV, abs=1e-4)
        assert 0 < found.potential_time_s < found.total_time_s
        np.testing.assert_allclose(found.atoms.positions, alone.atoms.positions, atol=1e-3)
        np.testing.assert_allclose(found.atoms.cell.array, alone.atoms.cell.array, atol=1e-3)


@pytest.mark.parametrize("ensemble", ["nvt", "nve"])
def test_dynamics_equal_those_one_at_a_time(engine, calculator, ensemble, tmp_path):
    protocol = PROTOCOL.model_copy(update={"ensemble": ensemble})
    structures = crystals(0.02)
    together = run_dynamics_together(structures, engine, protocol, 600.0, range(5), atoms_together=10)
    for seed, (atoms, run) in enumerate(zip(structures, together, strict=True)):
        found = run.trajectory
        assert 0 < run.potential_time_s < run.total_time_s
        run_molecular_dynamics(atoms, calculator, protocol, 600.0, seed, tmp_path / str(seed))
        alone = read_trajectory_file(tmp_path / str(seed) / "trajectory.h5")
        assert found.species == alone.species
        np.testing.assert_allclose(found.times_ps, alone.times_ps)
        np.testing.assert_allclose(found.cells, alone.cells)
        np.testing.assert_allclose(found.positions, alone.positions, atol=2e-3)
        np.testing.assert_allclose(found.temperatures_K, alone.temperatures_K, rtol=1e-3)
        np.testing.assert_allclose(found.potential_energies_eV, alone.potential_energies_eV, atol=1e-4)


def test_a_batch_is_the_same_in_any_company(engine):
    alone = run_dynamics_together(crystals(0.02)[1:2], engine, PROTOCOL, 600.0, [7])[0]
    among = run_dynamics_together(
        crystals(0.02), engine, PROTOCOL, 600.0, [1, 7, 2, 3, 4], atoms_together=99
    )[1]
    np.testing.assert_allclose(among.trajectory.positions, alone.trajectory.positions, atol=1e-5)


def test_nve_keeps_the_energy(engine):
    protocol = PROTOCOL.model_copy(update={"ensemble": "nve", "equilibration_ps": 0.0, "production_ps": 0.1})
    for found in run_dynamics_together(crystals(0.02)[1:3], engine, protocol, 300.0, [1, 2]):
        run = found.trajectory
        masses = Atoms(run.species).get_masses()[None, :, None]
        kinetic = (0.5 * masses * (run.velocities / 0.09822694788) ** 2).sum(axis=(1, 2))
        assert np.ptp(run.potential_energies_eV + kinetic) < 2e-3 * len(run.species)


def test_a_crystal_that_cannot_be_leaves_the_others_alone(engine):
    structures = crystals()
    structures[2].positions[1] = structures[2].positions[0]
    finished = []
    protocol = RelaxationProtocol(maximum_steps=3, relax_cell=False)
    results = relax_together(
        structures, engine, protocol, atoms_together=4, on_finished=lambda number, _: finished.append(number)
    )
    assert isinstance(results[2], InputError)
    assert [isinstance(r, RelaxationResult) for r in results] == [True, True, False, True, True]
    assert sorted(finished) == list(range(5))


def test_places_are_refilled_at_once(engine, monkeypatch):
    """One crystal needs no step, the others some: the batch stays as full as the list allows."""
    import sse_screen.dynamics.batched as module

    sizes = []

    def counting(engine, graphs):
        sizes.append(sum(g.n_atoms for g in graphs))
        return evaluate_together(engine, graphs)

    monkeypatch.setattr(module, "evaluate_together", counting)
    structures = [bulk("NaCl", "rocksalt", 5.64) for _ in range(12)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.02 * seed, seed=seed)
    relax_together(
        structures, engine, RelaxationProtocol(maximum_steps=20, relax_cell=False), atoms_together=6
    )
    assert sizes[0] == 6
    assert sizes == sorted(sizes, reverse=True)  # full until the list ends, then never again


def test_nothing_to_do():
    assert relax_together([], load_engine("chgnet", device="cpu"), RelaxationProtocol()) == []


def test_what_batches_cannot_do_is_refused(engine):
    npt = PROTOCOL.model_copy(update={"ensemble": "npt"})
    with pytest.raises(InputError, match="use run_molecular_dynamics for npt"):
        run_dynamics_together(crystals(), engine, npt, 300.0, range(5))
    with pytest.raises(InputError, match="2 for 5 structures"):
        run_dynamics_together(crystals(), engine, PROTOCOL, 300.0, [1, 2])
    (error,) = run_dynamics_together([bulk("Cu")], engine, PROTOCOL, 300.0, [1])
    assert "does not move" in str(error)
