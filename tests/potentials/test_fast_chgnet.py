"""The fast CHGNet against the stock one, in double precision where rounding would blur the comparison."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from sse_screen.exceptions import InputError
from sse_screen.potentials import load_calculator, load_chgnet
from sse_screen.potentials.registry import find_potential

FORCE_BAR_EV_PER_A = 3e-5


def assert_equal(found, expected):
    """Within the bar; forces far above 10 eV/Å within single precision of the largest."""
    n_atoms = len(expected.forces)
    atol = max(FORCE_BAR_EV_PER_A, 3e-6 * np.abs(expected.forces).max())
    assert found.energy == pytest.approx(expected.energy, abs=2e-6 * n_atoms)
    np.testing.assert_allclose(found.forces, expected.forces, atol=atol)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-6)
    np.testing.assert_allclose(found.magmoms, expected.magmoms, atol=1e-5)


@pytest.mark.parametrize(("seed", "n_atoms"), [(1, 2), (2, 5), (3, 9), (4, 14), (5, 23), (6, 36)])
def test_skewed_cells_of_many_elements(double_stock, fast, seed, n_atoms, random_crystal):
    atoms = random_crystal(seed, n_atoms)
    assert_equal(fast(atoms), double_stock(atoms))


@pytest.mark.parametrize("first", range(1, 95, 12))
def test_every_element_that_chgnet_knows(double_stock, fast, first):
    numbers = np.arange(first, min(first + 12, 95))
    rng = np.random.default_rng(first)
    grid = np.stack(np.meshgrid(range(3), range(2), range(2), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = 2.6 * grid[: len(numbers)] + rng.uniform(-0.2, 0.2, (len(numbers), 3))
    atoms = Atoms(numbers=numbers, positions=positions, cell=[7.8, 5.2, 5.2], pbc=True)
    assert_equal(fast(atoms), double_stock(atoms))


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Cu"),
        bulk("Li") * (1, 1, 3),
        bulk("NaCl", "rocksalt", 5.64) * (2, 2, 1),
        bulk("CsCl", "cesiumchloride", 4.1),
        bulk("Si") * (3, 1, 1),
        Atoms("Li2O", [[0, 0, 0], [1.2, 1.2, 1.2], [0.1, 1.3, 2.5]], cell=np.diag([2.5, 2.6, 20]), pbc=True),
    ],
    ids=["one atom", "chain of bcc", "rock salt", "cesium chloride", "linear angles", "slab"],
)
def test_crystals_with_symmetric_and_small_cells(double_stock, fast, atoms):
    assert_equal(fast(atoms), double_stock(atoms))
    moved = atoms.copy()
    moved.rattle(0.05, seed=1)
    assert_equal(fast(moved), double_stock(moved))


@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("Li", cell=[20] * 3, pbc=True),
        Atoms("Li2", [[0, 0, 0], [0, 0, 4]], cell=[20] * 3, pbc=True),
        Atoms("Li2", [[0, 0, 0], [0, 0, 2.5]], cell=[20] * 3, pbc=True),
        Atoms("Li3", [[0, 0, 0], [0, 0, 4], [10, 10, 10]], cell=[20] * 3, pbc=True),
        Atoms("OH2", [[0, 0, 0], [0.76, 0, 0.59], [-0.76, 0, 0.59]], cell=[15] * 3, pbc=[True, True, False]),
    ],
    ids=["no bond", "one long bond", "one short bond", "one isolated atom", "open along one axis"],
)
def test_isolated_atoms(double_stock, fast, atoms):
    assert_equal(fast(atoms), double_stock(atoms))


def test_the_stock_calculator_rounds_more_than_the_fast_one(double_stock, fast, stock, random_crystal):
    atoms = random_crystal(7, 24)
    true, quick, usual = (evaluator(atoms).forces for evaluator in (double_stock, fast, stock))
    assert np.abs(quick - true).max() < np.abs(usual - true).max()


@pytest.fixture(scope="module")
def tuned_file(tmp_path_factory):
    """Every parameter of CHGNet moved at random, as fine-tuning does, and saved as its trainer saves."""
    model = load_chgnet(find_potential("chgnet").path)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += (
                0.05 * parameter.std(correction=0) * torch.randn(parameter.shape, generator=generator)
            )
    path = tmp_path_factory.mktemp("tuned") / "tuned.pth.tar"
    torch.save({"model": model.as_dict()}, path)
    return str(path)


@pytest.mark.parametrize("potential", ["tuned", "chgnet-r2scan"])
def test_other_parameters(tuned_file, fast, evaluate, double_of, potential, random_crystal):
    name = tuned_file if potential == "tuned" else potential
    atoms = random_crystal(8, 12)
    found = evaluate(load_calculator(name, device="cpu"), atoms)
    assert_equal(found, double_of(name)(atoms))
    assert abs(found.energy - fast(atoms).energy) > 0.01


def test_the_torch_engine_gives_the_same(fast, evaluate, random_crystal):
    from sse_screen.potentials.calculator import FastCHGNetCalculator
    from sse_screen.potentials.chgnet_torch import TorchCHGNet
    from sse_screen.potentials.loading import load_engine

    by_torch = FastCHGNetCalculator(TorchCHGNet(load_engine("chgnet", device="cpu").weights, "cpu"))
    for atoms in (random_crystal(9, 16), bulk("Cu"), Atoms("Li", cell=[20] * 3, pbc=True)):
        assert_equal(evaluate(by_torch, atoms), fast(atoms))


def test_site_energies_are_the_stock_model_s_and_sum_to_the_energy(random_crystal):
    from chgnet.model.dynamics import CHGNetCalculator

    atoms = random_crystal(14, 7)
    model = load_chgnet(find_potential("chgnet").path)
    results = []
    for calculator in (
        CHGNetCalculator(model, use_device="cpu", return_site_energies=True),
        load_calculator("chgnet", device="cpu"),
    ):
        atoms.calc = calculator
        results.append(atoms.get_potential_energies())
    np.testing.assert_allclose(results[1], results[0], atol=2e-5)
    assert results[1].sum() == pytest.approx(atoms.get_potential_energy())


def test_forces_and_stress_are_derivatives_of_the_energy(fast, random_crystal):
    atoms = random_crystal(10, 6)
    step = 2e-3
    forces = fast(atoms).forces
    for atom, axis in ((0, 0), (3, 2), (5, 1)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(fast(moved).energy)
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=5e-3)
    strained = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * 1e-3 * np.diag([1, 0, 0])), scale_atoms=True)
        strained.append(fast(moved).energy)
    slope = (strained[0] - strained[1]) / 2e-3 / atoms.get_volume()
    assert fast(atoms).stress[0] == pytest.approx(slope, abs=5e-4)


def test_results_are_not_overwritten_by_the_next_evaluation(fast, random_crystal):
    first = fast(random_crystal(11, 8))
    kept = first.forces.copy()
    fast(random_crystal(12, 8))
    np.testing.assert_array_equal(first.forces, kept)


def test_only_what_counts_makes_it_evaluate_anew(random_crystal, monkeypatch):
    atoms = random_crystal(3, 6)
    atoms.calc = load_calculator("chgnet", device="cpu")
    counted = []
    evaluate = atoms.calc.engine.evaluate
    monkeypatch.setattr(atoms.calc.engine, "evaluate", lambda graph: counted.append(1) or evaluate(graph))
    atoms.get_forces()
    atoms.get_potential_energy()
    atoms.set_momenta(np.ones((6, 3)))
    atoms.set_initial_magnetic_moments(np.ones(6))
    atoms.get_forces()
    assert len(counted) == 1
    changes = (
        lambda: atoms.positions.__setitem__((0, 0), np.nextafter(atoms.positions[0, 0], 100)),
        lambda: atoms.set_cell(1.01 * atoms.cell),
        lambda: atoms.set_pbc([True, True, False]),
        lambda: atoms.numbers.__setitem__(0, 3 if atoms.numbers[0] != 3 else 11),
        lambda: atoms.__delitem__(5),
    )
    for number, change in enumerate(changes, start=2):
        change()
        atoms.get_forces()
        atoms.get_forces()
        assert len(counted) == number


def test_loading_prints_nothing():
    code = "from sse_screen.potentials import load_calculator as l; l('chgnet'); l('chgnet', variant='stock')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_matrix_products_stay_on_one_thread_whatever_the_environment_says():
    code = """
import os, time
from ase.build import bulk
from sse_screen.potentials import load_calculator
atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True) * (2, 2, 1)
atoms.calc = load_calculator("chgnet", device="cpu")
atoms.get_forces()
print(len(os.listdir("/proc/self/task")), end=" ")
cpu, wall = time.process_time(), time.thread_time()
atoms.rattle(0.01)
atoms.get_forces()
print(time.process_time() - cpu < 1.5 * (time.thread_time() - wall) + 0.005)
"""
    environment = {key: value for key, value in os.environ.items() if "NUM_THREADS" not in key}
    environment["OMP_NUM_THREADS"] = "4"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    n_threads, alone = done.stdout.split()
    assert int(n_threads) > 1
    assert alone == "True"


def test_a_calculator_can_be_sent_to_another_process(fast, random_crystal):
    atoms = random_crystal(13, 4)
    atoms.calc = pickle.loads(pickle.dumps(load_calculator("chgnet", device="cpu")))
    np.testing.assert_array_equal(atoms.get_forces(), fast(atoms).forces)


def test_another_architecture_is_refused_with_the_way_out(tmp_path):
    from chgnet.model import CHGNet

    path = tmp_path / "small.pth.tar"
    torch.save({"model": CHGNet(atom_fea_dim=32, atom_conv_hidden_dim=64).as_dict()}, path)
    with pytest.raises(InputError, match=r"atom_fea_dim=32.*variant='stock'"):
        load_calculator(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.set_cell(np.zeros((3, 3))), "span no volume"),
        (lambda a: a.positions.__setitem__(1, a.positions[0]), "atoms 0 and 1 are in one place"),
        (lambda a: a.positions.__setitem__(1, np.nan), "not finite"),
    ],
)
def test_crystals_that_cannot_be_are_refused(fast, change, message):
    atoms = bulk("NaCl", "rocksalt", 5.64)
    change(atoms)
    with pytest.raises(InputError, match=message):
        fast(atoms)


def test_element_that_chgnet_does_not_know_is_refused(fast):
    with pytest.raises(InputError, match="Am"):
        fast(bulk("NaCl", "rocksalt", 5.64) + Atoms("Am", [[2.8, 0.1, 0.1]]))


def test_through_atomate2():
    from atomate2.forcefields.md import ForceFieldMDMaker
    from pymatgen.core import Lattice, Structure

    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    maker = ForceFieldMDMaker(
        force_field_name={"@module": "sse_screen.potentials", "@callable": "load_calculator"},
        calculator_kwargs={"name": "chgnet"},
        ensemble="nve",
        n_steps=3,
        time_step=1.0,
        mb_velocity_seed=1,
    )
    document = maker.make.original(maker, structure)
    assert document.output.n_steps == 4
    assert np.shape(document.output.forces) == (8, 3)
