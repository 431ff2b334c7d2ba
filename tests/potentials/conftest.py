"""The stock CHGNet in double precision: the reference that rounding does not touch."""

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms

from benchmarks.double_stock import double_evaluator
from sse_screen.potentials import load_calculator


@dataclass
class Reference:
    energy: float
    forces: np.ndarray
    stress: np.ndarray
    magmoms: np.ndarray


def _evaluate(calculator, atoms: Atoms) -> Reference:
    atoms = atoms.copy()
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    return Reference(energy, forces, atoms.get_stress(), atoms.get_magnetic_moments())


def _double_evaluator(name: str):
    return double_evaluator(name, _evaluate)


@pytest.fixture(scope="session")
def double_of():
    """Give the double-precision stock evaluation of a potential."""
    return _double_evaluator


@pytest.fixture(scope="session")
def double_stock():
    return _double_evaluator("chgnet")


@pytest.fixture(scope="session")
def evaluate():
    return _evaluate


@pytest.fixture(scope="session")
def fast():
    calculator = load_calculator("chgnet", device="cpu")
    return lambda atoms: _evaluate(calculator, atoms)


@pytest.fixture(scope="session")
def stock():
    calculator = load_calculator("chgnet", variant="stock", device="cpu")
    return lambda atoms: _evaluate(calculator, atoms)


OFTEN = [3, 7, 8, 9, 11, 15, 16, 17, 32, 35, 39, 40, 49, 53, 57]


def _random_crystal(seed: int, n_atoms: int, volume_per_atom: float = 16.0, numbers=OFTEN) -> Atoms:
    """A skewed cell with atoms at least 1.5 Å apart."""
    rng = np.random.default_rng(seed)
    cell = np.eye(3) + rng.uniform(-0.45, 0.45, (3, 3))
    cell *= (volume_per_atom * n_atoms / abs(np.linalg.det(cell))) ** (1 / 3)
    atoms = Atoms(cell=cell, pbc=True)
    while len(atoms) < n_atoms:
        trial = atoms + Atoms(numbers=[rng.choice(numbers)], positions=[rng.uniform(size=3) @ cell])
        images = trial * (3, 3, 3)
        distances = np.linalg.norm(
            images.positions - images.positions[13 * len(trial) + len(trial) - 1], axis=1
        )
        if np.sort(distances)[1] > 1.5:
            atoms = trial
    return atoms


@pytest.fixture(scope="session")
def random_crystal():
    return _random_crystal
