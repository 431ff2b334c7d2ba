"""Labels by ASE calculators: what they hold, how their level is told, what is refused."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.label import (
    Label,
    UnlabelledStructure,
    pack_labels,
    pack_unlabelled,
    unpack_labels,
    unpack_unlabelled,
)
from sse_screen.exceptions import InputError
from sse_screen.training.labelled import LabelError, LevelOfTheory
from sse_screen.training.labelling import (
    CalculatorSpec,
    LabellingError,
    geometry_hash,
    k_point_mesh,
    label_with_calculator,
    potential_level,
)

EMT_LEVEL = CalculatorSpec(target="ase.calculators.emt:EMT")


def aluminium(seed=1):
    atoms = bulk("Al", cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def label(atoms=None, calculator=None):
    return label_with_calculator(
        aluminium() if atoms is None else atoms,
        calculator or EMT(),
        EMT_LEVEL.level_of_theory,
        parent_configuration="al",
        source="test frame 3",
        code_version=EMT_LEVEL.code_version,
    )


def test_a_label_is_what_the_calculator_says():
    atoms = aluminium()
    found = label(atoms)
    assert atoms.calc is None
    atoms.calc = EMT()
    assert found.energy_eV == atoms.get_potential_energy()
    np.testing.assert_array_equal(found.forces_eV_per_A, atoms.get_forces())
    np.testing.assert_allclose(found.stress_eV_per_A3, atoms.get_stress(voigt=False), atol=1e-15)
    assert (found.code, found.source, found.parent_configuration) == ("ase", "test frame 3", "al")
    assert found.geometry_sha256 == geometry_hash(atoms)
    assert found.to_labelled().content_hash == found.label_sha256
    assert found.cpu_time_s > 0
    assert Label.model_validate_json(found.model_dump_json()) == found


class Broken(Calculator):
    """A calculator that gives a chosen energy and no forces unless they are said."""

    implemented_properties = ("energy", "forces")

    def __init__(self, energy, forces=None):
        super().__init__()
        self.answer = {"energy": energy} | ({} if forces is None else {"forces": forces})

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = self.answer


def test_what_is_not_finite_or_has_no_forces_is_no_label():
    with pytest.raises(LabelError, match="energy_eV: holds values that are not finite"):
        label(calculator=Broken(np.nan, np.zeros((4, 3))))
    with pytest.raises(LabellingError, match="gives no forces"):
        label(calculator=Broken(1.0))
    assert label(calculator=Broken(1.0, np.zeros((4, 3)))).stress_eV_per_A3 is None


def test_a_calculator_is_known_by_its_name_and_all_arguments():
    one = CalculatorSpec(
        target="ase.calculators.lj:LennardJones", arguments={"sigma": 2.5, "rc": 6, "smooth": True}
    )
    assert one.load().parameters["sigma"] == 2.5
    level = one.level_of_theory
    assert level.describe() == "ase LennardJones, rc 6, sigma 2.5, smooth True"
    other = one.model_copy(update={"arguments": {**one.arguments, "sigma": 2.6}})
    assert other.level_of_theory.identifier != level.identifier
    assert CalculatorSpec.model_validate_json(one.model_dump_json()).level_of_theory == level
    assert one.code_version.startswith("3.")


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("ase.calculators.none:None_", {}, "No module named"),
        ("ase.calculators.lj:Nothing", {}, "has no attribute 'Nothing'"),
        ("json:dumps", {"wrong": 1}, "json:dumps"),
    ],
)
def test_a_calculator_that_cannot_be_made_is_said_in_one_sentence(target, arguments, message):
    with pytest.raises(InputError, match=message):
        CalculatorSpec(target=target, arguments=arguments).load()


def test_a_teacher_is_told_by_its_weights():
    one = PotentialIdentity(name="a", code="chgnet", code_version="1", weights_sha256="a" * 64)
    renamed = one.model_copy(update={"name": "b", "code_version": "2"})
    other = one.model_copy(update={"weights_sha256": "b" * 64})
    assert potential_level(one) == potential_level(renamed)
    assert potential_level(one).identifier != potential_level(other).identifier


@pytest.mark.parametrize(
    ("cell", "spacing", "mesh"),
    [
        (np.eye(3) * 10, 0.2, (4, 4, 4)),  # 2π/10/0.2 = 3.14
        (np.eye(3) * 2 * np.pi, 0.5, (2, 2, 2)),  # exactly two spacings
        (np.diag([3.0, 6.0, 40.0]), 0.5, (5, 3, 1)),
        (np.eye(3), None, (1, 1, 1)),
        # hexagonal a = 4 Å: |b| = 2π/(4 sin 60°) = 1.814
        ([[4, 0, 0], [-2, 2 * np.sqrt(3), 0], [0, 0, 6.5]], 0.4, (5, 5, 3)),
    ],
)
def test_meshes_are_those_of_vasps_kspacing(cell, spacing, mesh):
    assert k_point_mesh(cell, spacing) == mesh


def test_packed_labels_come_back_and_a_changed_one_is_refused():
    labels = [label(aluminium(seed)) for seed in (1, 2, 3)]
    assert sorted(label.label_sha256 for label in unpack_labels(pack_labels(labels))) == sorted(
        label.label_sha256 for label in labels
    )
    assert pack_labels(labels) == pack_labels(labels[::-1])
    forged = labels[0].model_copy(update={"energy_eV": labels[0].energy_eV + 1.0})
    with pytest.raises(InputError, match="its content was changed"):
        unpack_labels(pack_labels([forged]))
    with pytest.raises(InputError, match="cannot be read"):
        unpack_labels(b"nothing")


def test_packed_structures_come_back():
    from pymatgen.io.ase import AseAtomsAdaptor

    structure = AseAtomsAdaptor.get_structure(aluminium())
    one = UnlabelledStructure(structure=structure.as_dict(), parent_configuration="p", source="s")
    assert (
        unpack_unlabelled(pack_unlabelled([one, one]))
        == [UnlabelledStructure.model_validate(json.loads(one.model_dump_json()))] * 2
    )


def test_a_document_that_says_unconverged_is_no_label():
    content = label().model_dump(mode="json")
    with pytest.raises(ValueError, match="converged"):
        Label.model_validate(content | {"converged": False})
    assert LevelOfTheory.model_validate(content["level_of_theory"]) == EMT_LEVEL.level_of_theory
