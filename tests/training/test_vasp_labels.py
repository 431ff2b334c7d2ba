"""VASP inputs of the two studies field by field; labels from what VASP wrote, as ASE reads it."""

import numpy as np
import pytest
import vasp_mock
from ase.io import read
from emmet.core.tasks import TaskDoc
from pymatgen.core import Lattice, Structure

from sse_screen.training.labelled import LabelError, common_level
from sse_screen.training.labelling import LabellingError, UnconvergedError
from sse_screen.training.vasp_labels import VaspSettings, label_from_task
from sse_screen.workflows.vasp_labelling import vasp_static_maker

#: what the studies say
DENG_2025 = {"METAGGA": "Scan", "ENCUT": 520.0, "KSPACING": 0.2, "EDIFF": 1e-5}
YANG_2025 = {"GGA": "Pe", "ENCUT": 500.0, "EDIFF": 1e-4, "ISPIN": 1}
#: what they leave open
CHOSEN = {
    "ALGO": "Normal",
    "ISMEAR": 0,
    "ISPIN": 1,
    "LAECHG": False,
    "LASPH": True,
    "LCHARG": False,
    "LDAU": False,
    "LELF": False,
    "LREAL": False,
    "LVTOT": False,
    "LWAVE": False,
    "NELM": 200,
    "NSW": 0,
    "PREC": "Accurate",
    "SIGMA": 0.05,
}


@pytest.fixture
def crystal():
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.9), ["Li", "Na", "Cl"], [[0, 0, 0], [0.25] * 3, [0.5] * 3]
    )


def inputs(settings, crystal):
    generator = vasp_static_maker(settings).input_set_generator
    return generator.get_input_set(crystal, potcar_spec=True), generator


def test_inputs_of_deng_2025(crystal):
    written, generator = inputs(VaspSettings.scan(), crystal)
    assert dict(written["INCAR"]) == CHOSEN | DENG_2025 | {"LMIXTAU": True}
    assert written["KPOINTS"] is None  # KSPACING, Γ-centred by VASP's default KGAMMA
    assert generator.user_potcar_functional == "PBE_54"
    assert set(written["POTCAR.spec"].split()) == {"Li_sv", "Na_pv", "Cl"}
    assert len(written["POSCAR"].structure) == len(crystal)


def test_inputs_of_yang_2025(crystal):
    written, generator = inputs(VaspSettings.pbe_gamma(), crystal)
    assert dict(written["INCAR"]) == CHOSEN | YANG_2025
    points = written["KPOINTS"]
    assert (points.style.name, points.kpts) == ("Gamma", [(1, 1, 1)])
    assert generator.user_potcar_functional == "PBE_54"


def test_spins_are_on_when_asked_for(crystal):
    written, _ = inputs(VaspSettings.scan().model_copy(update={"spin_polarized": True}), crystal)
    assert written["INCAR"]["ISPIN"] == 2
    assert len(written["INCAR"]["MAGMOM"]) == len(crystal)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vasp")


@pytest.fixture(scope="module")
def tasks(folder):
    return {
        "scan": TaskDoc.from_directory(vasp_mock.write_scan_outputs(folder / "scan")),
        "pbe": TaskDoc.from_directory(vasp_mock.write_pbe_outputs(folder / "pbe")),
    }


def label(task):
    return label_from_task(task, parent_configuration="diamond", source="mock")


def test_numbers_are_those_that_ase_reads(tasks, folder):
    found = label(tasks["scan"])
    atoms = read(folder / "scan" / "vasprun.xml")
    assert found.energy_eV == pytest.approx(atoms.get_potential_energy(force_consistent=True), abs=1e-8)
    assert found.energy_at_zero_smearing_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(found.forces_eV_per_A, atoms.get_forces())
    np.testing.assert_allclose(found.stress_eV_per_A3, atoms.get_stress(voigt=False), rtol=1e-6)
    assert np.trace(found.stress_eV_per_A3) > 0  # -166 kbar in VASP's sign: stretched diamond
    np.testing.assert_allclose(found.positions_A, atoms.positions)


def test_the_level_is_what_vasp_ran_and_what_was_asked_for(tasks):
    for name, settings in (("scan", VaspSettings.scan()), ("pbe", VaspSettings.pbe_gamma())):
        found = label(tasks[name])
        assert found.level_of_theory.identifier == settings.level_of_theory.identifier
        assert found.level_of_theory.pseudopotentials == ("C PAW_PBE C 08Apr2002",)
        assert (found.code, found.code_version, found.n_electronic_steps) == ("vasp", "6.3.0", 9)
        assert found.cpu_time_s == 50.0  # 12.5 s on each of 4 cores
    assert label(tasks["scan"]).k_points == (13, 13, 13)
    assert label(tasks["pbe"]).k_points == (1, 1, 1)
    with pytest.raises(LabelError, match=r"two levels of theory in one set: vasp SCAN.* and vasp PBE"):
        common_level([label(task).level_of_theory for task in tasks.values()])


def test_a_task_that_went_through_a_database_gives_the_same_label(tasks):
    assert label(tasks["scan"].model_dump(mode="json")) == label(tasks["scan"])


def test_an_unconverged_run_is_no_label(tmp_path):
    task = TaskDoc.from_directory(vasp_mock.write_pbe_outputs(tmp_path, n_steps=60))
    with pytest.raises(UnconvergedError, match=r"C \(mock\): VASP did not converge in 60 electronic steps"):
        label(task)


def test_a_relaxation_is_no_label(tasks):
    content = tasks["pbe"].model_dump(mode="json")
    step = content["calcs_reversed"][0]["output"]["ionic_steps"][0]
    content["calcs_reversed"][0]["output"]["ionic_steps"] = [step, step]
    with pytest.raises(LabellingError, match="2 ionic steps; a label comes from a single point"):
        label(content)
    content["calcs_reversed"] *= 2
    with pytest.raises(LabellingError, match="not one VASP calculation"):
        label(content)


def test_an_enthalpy_is_no_label(tasks):
    content = tasks["pbe"].model_dump(mode="json")
    content["calcs_reversed"][0]["input"]["parameters"]["PSTRESS"] = 1.0
    with pytest.raises(LabellingError, match="PSTRESS is set"):
        label(content)


def test_a_mesh_that_no_spacing_says_is_part_of_the_level(tmp_path):
    task = TaskDoc.from_directory(vasp_mock.write_pbe_outputs(tmp_path, divisions=(4, 4, 2)))
    assert ("k_points", "4x4x2") in label(task).level_of_theory.settings
