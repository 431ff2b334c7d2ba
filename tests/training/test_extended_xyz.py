"""Extended XYZ: all digits there and back, what other programs read and write, what is refused."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from hypothesis import given, settings
from hypothesis import strategies as st
from label_samples import LEVEL, frame

from sse_screen.exceptions import InputError
from sse_screen.training.datasets import dataset_hash
from sse_screen.training.extended_xyz import read_extended_xyz, write_extended_xyz
from sse_screen.training.labelled import LevelOfTheory

SPECIAL = 'a "quoted" name = with \\ and spaces'


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_round_trip_keeps_every_digit(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("xyz") / "set.extxyz"
    frames = [
        frame(seed, parent="parent 1", source="outputs/ab frame 3 strained 1"),
        frame(seed + 1, stress_eV_per_A3=None, cell=np.array([[4, 0.1, 0], [1, 5, 0], [0, 1 / 3, 6]])),
        frame(seed + 2, parent=SPECIAL, source="x"),
    ]
    assert write_extended_xyz(path, frames) == 3
    found = read_extended_xyz(path)
    assert found.notes == ()
    for one, again in zip(frames, found.structures, strict=True):
        assert again.content_hash == one.content_hash
        assert (again.parent_configuration, again.source) == (one.parent_configuration, one.source)
        assert again.level_of_theory == one.level_of_theory
        np.testing.assert_array_equal(again.positions, one.positions)
        np.testing.assert_array_equal(again.forces_eV_per_A, one.forces_eV_per_A)
        assert again.energy_eV == one.energy_eV
        assert (again.stress_eV_per_A3 is None) == (one.stress_eV_per_A3 is None)
    assert dataset_hash(found.structures) == dataset_hash(frames)


def test_ase_reads_the_label(tmp_path):
    one = frame(1)
    write_extended_xyz(tmp_path / "a.extxyz", [one])
    atoms = read(tmp_path / "a.extxyz")
    assert atoms.get_potential_energy() == one.energy_eV
    np.testing.assert_array_equal(atoms.get_forces(), one.forces_eV_per_A)
    np.testing.assert_array_equal(atoms.get_stress(voigt=False), one.stress_eV_per_A3)
    assert atoms.info["level_of_theory"]["code"] == "ase"


@pytest.fixture
def foreign(tmp_path):
    """A file as ASE writes it."""
    crystals = []
    for seed in range(3):
        atoms = bulk("Al", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        atoms.get_forces()
        atoms.get_stress()
        crystals.append(atoms)
    path = tmp_path / "foreign.xyz"
    write(path, crystals, format="extxyz")
    return path


def test_another_programs_file_needs_its_level_said(foreign):
    with pytest.raises(InputError, match=r"foreign.xyz, frame 1: the file does not say its level of theory"):
        read_extended_xyz(foreign)
    level = LevelOfTheory(code="ase", functional="EMT")
    found = read_extended_xyz(foreign, level)
    assert [s.level_of_theory for s in found.structures] == [level] * 3
    assert {s.parent_configuration for s in found.structures} == {"Al"}
    assert found.notes == (
        "3 frames: no parent_configuration: all frames of a composition count as one parent",
    )
    assert found.structures[2].source == "foreign.xyz frame 3"
    atoms = read(foreign, index=2)
    np.testing.assert_allclose(found.structures[2].stress_eV_per_A3, atoms.get_stress(voigt=False))


def test_a_changed_number_is_found(tmp_path):
    path = tmp_path / "a.extxyz"
    one = frame(1)
    write_extended_xyz(path, [frame(0), one])
    text = path.read_text()
    path.write_text(text.replace(repr(one.energy_eV), repr(one.energy_eV + 0.01)))
    with pytest.raises(InputError, match=r"a.extxyz, frame 2: its numbers are not those of label"):
        read_extended_xyz(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no frame|not a readable"),
        ("2\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n", "not a readable extended XYZ file"),
        ("1\nenergy=1.0 Properties=species:S:1:pos:R:3\nLi 0 0 0\n", "it has no cell"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3" energy=1.0 Properties=species:S:1:pos:R:3\nLi 0 0 0\n', "no forces"),
        (
            '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:forces:R:3\nLi 0 0 0 0 0 0\n',
            "no energy; name them energy and forces",
        ),
        (
            '1\nLattice="3 0 0 0 3 0 0 0 3" energy=1 level_of_theory=5 '
            "Properties=species:S:1:pos:R:3:forces:R:3\nLi 0 0 0 0 0 0\n",
            "frame 1: level_of_theory",
        ),
    ],
)
def test_what_is_no_labelled_file_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.extxyz"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_extended_xyz(path, LEVEL)


@pytest.mark.parametrize("name", ["positions", "forces", "stress", "energy"])
def test_a_number_that_is_none_is_said_with_its_frame(tmp_path, name):
    """ASE takes a NaN coordinate for a changed crystal, and then has no stress."""
    lines = {
        "energy": "energy=1.0",
        "stress": 'stress="0 0 0 0 0 0 0 0 0"',
        "positions": "0 0 0",
        "forces": "1 1 1",
    }
    lines[name] = lines[name].replace(" 1 ", " nan ").replace("0 0 0", "nan 0 0", 1).replace("=1.0", "=nan")
    columns = "Properties=species:S:1:pos:R:3:forces:R:3"
    good = f'1\nLattice="3 0 0 0 3 0 0 0 3" energy=1.0 {columns}\nLi 0 0 0 1 1 1\n'
    head = f'Lattice="3 0 0 0 3 0 0 0 3" {lines["energy"]} {lines["stress"]}'
    row = f"Li {lines['positions']} {lines['forces']}"
    path = tmp_path / "nan.extxyz"
    path.write_text(f"{good}1\n{head} {columns}\n{row}\n")
    with pytest.raises(InputError, match=rf"nan.extxyz, frame 2: .*{name} is not finite"):
        read_extended_xyz(path, LEVEL)


def test_files_that_cannot_be_are_said(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_extended_xyz(tmp_path / "none.extxyz")
    with pytest.raises(InputError, match="cannot be written"):
        write_extended_xyz(tmp_path / "no" / "folder.extxyz", [frame(1)])
