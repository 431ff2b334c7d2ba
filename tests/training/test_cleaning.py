"""Cleaning by Marcolongo's rules: limits computed by hand, everything rejected is kept with its reason."""

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from label_samples import frame
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.training.cleaning import CleaningRules, clean, minimum_distance_A


def with_energies(*energies_eV_per_atom):
    return [frame(seed, energy_eV=3 * energy) for seed, energy in enumerate(energies_eV_per_atom)]


def test_shortest_distances_of_crystals():
    for name, structure, a, shortest in (
        ("Al", "fcc", 4.05, 4.05 / np.sqrt(2)),
        ("LiCl", "rocksalt", 5.14, 2.57),
    ):
        atoms = bulk(name, structure, a=a)
        assert minimum_distance_A(atoms.cell, atoms.positions) == pytest.approx(shortest)
    assert minimum_distance_A(np.diag([2.0, 30.0, 30.0]), [[0, 0, 0]]) == pytest.approx(2.0)  # its own image


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_shortest_distances_equal_those_of_pymatgen(seed):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3, 9, 3)) + rng.normal(scale=0.8, size=(3, 3))
    structure = Structure(Lattice(cell), ["Li"] * 5, rng.uniform(size=(5, 3)))
    others = structure.distance_matrix[~np.eye(5, dtype=bool)].min()
    images = min(n.nn_distance for n in structure.get_neighbors(structure[0], 30) if n.index == 0)
    assert minimum_distance_A(cell, structure.cart_coords) == pytest.approx(min(others, images))


@pytest.mark.parametrize(
    ("tenth", "rejected"),
    # with a tenth value above nine the quartiles are 3.25, 5.5 and 7.75: the limit is 5.5 + 2 * 4.5;
    # with one below one they are 2.25, 4.5 and 6.75: the limit is 4.5 - 2 * 4.5
    [(14.49, False), (14.51, True), (-4.49, False), (-4.51, True)],
)
def test_energies_outside_two_interquartile_ranges_are_rejected(tenth, rejected):
    frames = [*with_energies(1, 2, 3, 4, 5, 6, 7, 8, 9), frame(50, energy_eV=3 * tenth)]
    result = clean(frames)
    assert [r.structure for r in result.rejected] == frames[9:] * rejected
    assert [r.rule for r in result.rejected] == ["energy_interquartile_ranges"] * rejected
    if tenth == 14.51:
        assert result.rejected[0].reason == (
            "energy of Li2S: 14.5100 eV/atom is outside 5.5000 ± 9.0000 (2 interquartile ranges of 10 frames)"
        )


def test_forces_outside_ten_interquartile_ranges_are_rejected():
    frames = [frame(seed) for seed in range(20)]
    components = np.concatenate([f.forces_eV_per_A.ravel() for f in frames])
    lower, median, upper = np.percentile(components, [25, 50, 75])
    for factor, rejected in ((9.0, 0), (11.0, 1)):
        forces = np.array(frames[7].forces_eV_per_A)
        forces[1, 2] = median + factor * (upper - lower)
        changed = [*frames[:7], frame(7, forces=forces), *frames[8:]]
        result = clean(changed)
        assert [r.rule for r in result.rejected] == ["force_interquartile_ranges"] * rejected
    assert result.rejected[0].structure is changed[7]
    assert len(result.kept) == 19


def test_near_atoms_are_rejected_before_they_widen_the_ranges():
    positions = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.59], [0.0, 0.0, 0.0]])
    near = frame(1, positions=positions, energy_eV=1e6)
    result = clean([near, *[frame(seed) for seed in range(2, 12)]])
    (rejection,) = result.rejected
    assert rejection.rule == "minimum_distance_A"
    assert rejection.reason == "two atoms are 0.590 Å apart, nearer than 0.6 Å"
    assert clean([near], CleaningRules(minimum_distance_A=0.5)).rejected == ()


def test_a_repetition_is_rejected_and_says_of_what():
    result = clean([frame(1), frame(2), frame(1, energy_eV=-8.0)])
    assert [(r.rule, r.reason) for r in result.rejected] == [
        ("repetition", "the same structure as outputs/p frame 1")
    ]


def test_what_cannot_be_told_is_noted():
    result = clean([frame(seed) for seed in range(7)])
    assert result.notes == ("Li2S: 7 frames, fewer than 8: outliers of energy and force were not looked for",)
    alike = [frame(seed, forces=np.zeros((3, 3)), energy_eV=-9.0) for seed in range(10)]
    assert clean(alike).notes == (
        "energy of Li2S: most values are -3 eV/atom, so outliers cannot be told",
        "force in Li2S: most values are 0 eV/Å, so outliers cannot be told",
    )
    off = CleaningRules(energy_interquartile_ranges=None, force_interquartile_ranges=None)
    assert clean(alike, off).notes == ()


def test_compositions_are_compared_with_their_own_kind():
    sulphides = [frame(seed) for seed in range(10)]
    chlorides = [frame(seed, species=("Li", "Cl"), energy_eV=-400.0 - 0.01 * seed) for seed in range(10)]
    assert clean([*sulphides, *chlorides]).rejected == ()


def tetrahedron(bond_A=2.05, second=None):
    """A PS4-like unit and a lithium in a large cell; one bond of another length."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    lengths = np.array([second or bond_A, bond_A, bond_A, bond_A])
    return np.vstack([[0, 0, 0], corners * lengths[:, None], [4.0, 4.0, 4.0]])


def test_a_bond_that_changed_by_more_than_a_fifth_is_rejected():
    species = ("P", "S", "S", "S", "S", "Li")
    cell = np.eye(3) * 8.0
    reference = Structure(cell, species, tetrahedron(), coords_are_cartesian=True)
    rules = CleaningRules(bond_change=0.2)

    def bonded(second, seed, shift=(0, 0, 0)):
        positions = tetrahedron(second=second) + np.array(shift)
        positions[5] += seed  # the mobile ion may go anywhere
        return frame(seed, species=species, positions=positions, cell=cell, forces=np.ones((6, 3)))

    frames = [bonded(2.05, 0), bonded(2.45, 1, (8.0, 0, -8.0)), bonded(2.47, 2), bonded(1.63, 3)]
    result = clean(frames, rules, {"p": reference})
    assert [r.structure for r in result.rejected] == frames[2:]
    assert result.rejected[0].reason == "a P-S bond of 2.050 Å changed by +20 %, more than 20 %"
    with pytest.raises(InputError, match="no reference crystal of parent configuration p"):
        clean(frames, rules)
    with pytest.raises(InputError, match="has other atoms"):
        clean(frames, rules, {"p": Structure.from_sites(reference[1:])})
