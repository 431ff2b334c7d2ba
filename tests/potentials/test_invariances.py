"""What no potential may break: rotations, permutations, translations, other cells of the same crystal."""

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

SEEDS = st.integers(0, 2**16)


def assert_close(found, expected):
    """Within single precision of the largest value."""
    atol = max(1e-6, 5e-6 * np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=atol)


ONCE = settings(max_examples=12, deadline=None, derandomize=True)


@ONCE
@given(seed=SEEDS, n_atoms=st.integers(1, 10))
def test_rotation(fast, random_crystal, seed, n_atoms):
    atoms = random_crystal(seed, n_atoms)
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    turned = Atoms(atoms.numbers, atoms.positions @ turn.T, cell=atoms.cell.array @ turn.T, pbc=True)
    before, after = fast(atoms), fast(turned)
    assert abs(before.energy - after.energy) < 4e-6 * n_atoms
    assert_close(after.forces, before.forces @ turn.T)
    full = voigt_6_to_full_3x3_stress(before.stress)
    assert_close(voigt_6_to_full_3x3_stress(after.stress), turn @ full @ turn.T)


@ONCE
@given(seed=SEEDS, n_atoms=st.integers(2, 10))
def test_permutation_translation_and_wrapping(fast, random_crystal, seed, n_atoms):
    atoms = random_crystal(seed, n_atoms)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_atoms)
    other = atoms[order]
    other.positions += rng.uniform(-9, 9, 3) + rng.integers(-2, 3, (n_atoms, 3)) @ atoms.cell.array
    before, after = fast(atoms), fast(other)
    assert abs(before.energy - after.energy) < 4e-6 * n_atoms
    assert_close(after.forces, before.forces[order])
    assert_close(after.stress, before.stress)


@ONCE
@given(seed=SEEDS, n_atoms=st.integers(1, 6), times=st.tuples(*[st.integers(1, 2)] * 3))
def test_supercell(fast, random_crystal, seed, n_atoms, times):
    atoms = random_crystal(seed, n_atoms)
    before, after = fast(atoms), fast(atoms * times)
    factor = int(np.prod(times))
    assert abs(before.energy * factor - after.energy) < 4e-6 * n_atoms * factor
    assert_close(after.forces, np.tile(before.forces, (factor, 1)))
    assert_close(after.stress, before.stress)


@ONCE
@given(seed=SEEDS, n_atoms=st.integers(2, 8))
def test_another_cell_of_the_same_lattice(fast, random_crystal, seed, n_atoms):
    atoms = random_crystal(seed, n_atoms)
    other = atoms.copy()
    other.set_cell(np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]]) @ atoms.cell.array, scale_atoms=False)
    assert_close(fast(other).forces, fast(atoms).forces)


@ONCE
@given(seed=SEEDS, n_atoms=st.integers(2, 10))
def test_forces_sum_to_zero(fast, random_crystal, seed, n_atoms):
    forces = fast(random_crystal(seed, n_atoms)).forces
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-12 * n_atoms * max(1, np.abs(forces).max()))
