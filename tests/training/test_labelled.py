"""What a label is: refused when impossible, one hash whatever the order, orientation and cell image."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sse_screen.training.labelled import LabelError, LabelledStructure, LevelOfTheory, common_level

LEVEL = LevelOfTheory(
    code="gpaw",
    functional="PBE",
    cutoff_eV=340,
    k_point_spacing_per_A=0.5,
    pseudopotentials=("Li abc", "Cl def"),
    settings={"occupations": "fixed", "width_eV": 0},
)


def labelled(seed=1, n=6, **changes):
    rng = np.random.default_rng(seed)
    stress = rng.normal(size=(3, 3)) * 0.01
    fields = {
        "species": tuple(rng.choice(["Li", "Cl", "S"], n)),
        "positions": rng.uniform(0, 5, (n, 3)),
        "cell": np.diag([5.0, 5.5, 6.0]) + rng.normal(scale=0.3, size=(3, 3)),
        "energy_eV": float(rng.normal(scale=20)),
        "forces_eV_per_A": rng.normal(size=(n, 3)),
        "stress_eV_per_A3": stress + stress.T,
        "level_of_theory": LEVEL,
        "parent_configuration": "p",
        "source": "test",
    }
    return LabelledStructure(**(fields | changes))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_hash_knows_neither_order_nor_orientation_nor_cell_image_nor_noise(seed):
    rng = np.random.default_rng(seed)
    one = labelled(seed)
    order = rng.permutation(len(one))
    turn = Rotation.random(random_state=seed).as_matrix()
    images = rng.integers(-2, 3, size=(len(one), 3)) @ one.cell
    noise = 1e-11 * rng.normal(size=(len(one), 3))
    other = LabelledStructure(
        species=tuple(one.species[i] for i in order),
        positions=((one.positions + images + noise) @ turn.T)[order],
        cell=one.cell @ turn.T,
        energy_eV=one.energy_eV + 1e-12,
        forces_eV_per_A=(one.forces_eV_per_A @ turn.T)[order],
        stress_eV_per_A3=turn @ one.stress_eV_per_A3 @ turn.T,
        level_of_theory=one.level_of_theory,
        parent_configuration="another parent",
        source="elsewhere",
    )
    assert other.content_hash == one.content_hash
    assert other.geometry_hash == one.geometry_hash


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("energy_eV", lambda v: v + 1e-4),
        ("forces_eV_per_A", lambda v: v + 1e-4),
        ("stress_eV_per_A3", lambda v: v + 1e-6),
        ("stress_eV_per_A3", lambda v: None),
        ("level_of_theory", lambda v: v.model_copy(update={"functional": "SCAN"})),
        ("level_of_theory", lambda v: v.model_copy(update={"pseudopotentials": ("Li other",)})),
    ],
)
def test_another_label_of_the_same_crystal_has_another_hash(field, change):
    one = labelled()
    other = labelled(**{field: change(getattr(one, field))})
    assert other.content_hash != one.content_hash
    assert other.geometry_hash == one.geometry_hash


def test_another_crystal_has_another_hash():
    one = labelled()
    moved = one.positions.copy()
    moved[0, 0] += 1e-3
    for other in (labelled(positions=moved), labelled(cell=one.cell * 1.001), labelled(seed=2)):
        assert other.geometry_hash != one.geometry_hash
        assert other.content_hash != one.content_hash


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("species", ("Li",) * 5 + ("Xx",), "'Xx' is no element"),
        ("species", (), "at least one atom"),
        ("positions", np.zeros((5, 3)), r"positions: shape \(5, 3\), expected \(6, 3\)"),
        ("energy_eV", np.nan, "energy_eV: holds values that are not finite"),
        ("forces_eV_per_A", "no", "forces_eV_per_A: not numbers"),
        ("stress_eV_per_A3", np.triu(np.ones((3, 3))), "not symmetric"),
        ("cell", np.ones((3, 3)), "no volume"),
    ],
)
def test_what_is_no_label_is_refused(field, value, message):
    with pytest.raises(LabelError, match=message):
        labelled(**{field: value})


def test_arrays_cannot_be_changed_behind_the_hash():
    with pytest.raises(ValueError, match="read-only"):
        labelled().positions[0, 0] = 1.0


def test_atoms_carry_the_label_in_ases_sign():
    atoms = bulk("Al", cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=1)
    atoms.calc = EMT()
    one = LabelledStructure(
        tuple(atoms.symbols), atoms.positions, atoms.cell.array, atoms.get_potential_energy(),
        atoms.get_forces(), atoms.get_stress(voigt=False), LEVEL, "al", "emt",
    )  # fmt: skip
    again = one.to_atoms()
    assert again.get_potential_energy() == one.energy_eV
    np.testing.assert_array_equal(again.get_forces(), atoms.get_forces())
    np.testing.assert_allclose(again.get_stress(), atoms.get_stress())
    assert one.energy_eV_per_atom == one.energy_eV / 8
    structure = one.to_structure()
    np.testing.assert_allclose(structure.cart_coords, atoms.positions)
    assert structure.composition.reduced_formula == "Al"


def test_a_level_is_told_by_all_its_settings_but_no_order():
    same = LevelOfTheory.model_validate(
        LEVEL.model_dump() | {"settings": [("width_eV", 0.0), ("occupations", "fixed")]}
    )
    assert same.identifier == LEVEL.identifier
    assert same == LEVEL
    assert LevelOfTheory.model_validate_json(LEVEL.model_dump_json()) == LEVEL
    for change in ({"functional": "SCAN"}, {"cutoff_eV": 341}, {"settings": {}}, {"code": "vasp"}):
        assert LevelOfTheory(**(LEVEL.model_dump() | change)).identifier != LEVEL.identifier
    assert LEVEL.describe() == "gpaw PBE, 340 eV, k-spacing 0.5 1/Å, occupations fixed, width_eV 0"
    gamma = LevelOfTheory(code="gpaw", functional="PBE", cutoff_eV=340)
    assert gamma.describe() == "gpaw PBE, 340 eV, Γ only"


def test_levels_are_never_mixed():
    sulphide = LEVEL.model_copy(update={"pseudopotentials": ("Li abc", "S ghi")})
    assert common_level([LEVEL, sulphide]).pseudopotentials == ("Cl def", "Li abc", "S ghi")
    with pytest.raises(LabelError, match=r"two levels of theory in one set: gpaw PBE.* and gpaw SCAN"):
        common_level([LEVEL, LEVEL.model_copy(update={"functional": "SCAN"})])
    with pytest.raises(LabelError, match="two pseudopotentials of Li in one set: Li abc and Li xyz"):
        common_level([LEVEL, LEVEL.model_copy(update={"pseudopotentials": ("Li xyz",)})])
    with pytest.raises(LabelError, match="no labelled structures"):
        common_level([])
