"""Labels by real GPAW calculations of rock salt: forces and stress are derivatives of the energy."""

import builtins

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from sse_screen.exceptions import InputError
from sse_screen.training.gpaw_labels import GpawSettings, label_with_gpaw
from sse_screen.training.labelling import LabellingError, UnconvergedError

# a low cutoff: the tests are about consistency, not about LiCl
CHEAP = GpawSettings(
    cutoff_eV=250, k_point_spacing_per_A=None, energy_tolerance_eV_per_electron=1e-7, smearing_eV=0.1
)


def licl():
    atoms = bulk("LiCl", "rocksalt", a=5.1)
    atoms.positions[0] += [0.12, 0.05, -0.07]
    return atoms


def label(atoms, settings=CHEAP, **changes):
    return label_with_gpaw(
        atoms, settings.model_copy(update=changes), parent_configuration="licl", source="test"
    )


@pytest.fixture(scope="module")
def pbe():
    return label(licl())


def test_forces_are_the_derivative_of_the_stored_energy(pbe):
    step, atom, axis = 0.01, 0, 0
    energies = []
    for sign in (1, -1):
        atoms = licl()
        atoms.positions[atom, axis] += sign * step
        energies.append(label(atoms).energy_eV)
    slope = (energies[0] - energies[1]) / (2 * step)
    assert pbe.forces_eV_per_A[atom][axis] == pytest.approx(-slope, abs=0.01)
    assert abs(pbe.forces_eV_per_A[atom][axis]) > 0.1


def test_what_a_label_says(pbe):
    assert (pbe.code, pbe.code_version) == ("gpaw", "26.7.0")
    level = pbe.level_of_theory
    assert (level.functional, level.cutoff_eV, level.k_point_spacing_per_A) == ("PBE", 250.0, None)
    assert pbe.k_points == (1, 1, 1)
    # the md5 of the PAW data sets of gpaw-data 1.2.1
    assert level.pseudopotentials == (
        "Cl Cl.PBE 726897f06f34e53cf8e33b5885a02604",
        "Li Li.PBE 830b4218f175192f93f959cfc0aad614",
    )
    assert level.identifier == CHEAP.level_of_theory.identifier
    assert pbe.converged
    assert 5 < pbe.n_electronic_steps < 40
    assert 0.1 < pbe.cpu_time_s < 60
    assert np.trace(pbe.stress_eV_per_A3) != 0.0


@pytest.mark.parametrize("functional", ["SCAN", "r2SCAN"])
def test_metaggas_give_forces_and_stress_and_other_energies(functional, pbe):
    found = label(licl(), functional=functional)
    assert found.level_of_theory.functional == functional
    assert abs(found.energy_eV - pbe.energy_eV) > 1.0
    # another functional, the same crystal: the forces point the same way
    forces, reference = np.ravel(found.forces_eV_per_A), np.ravel(pbe.forces_eV_per_A)
    assert forces @ reference / np.linalg.norm(forces) / np.linalg.norm(reference) > 0.9
    assert found.stress_eV_per_A3 is not None
    assert found.geometry_sha256 == pbe.geometry_sha256
    assert found.label_sha256 != pbe.label_sha256


def test_the_stress_is_the_derivative_of_the_energy_in_ases_sign():
    finer = CHEAP.model_copy(update={"cutoff_eV": 400.0, "k_point_spacing_per_A": 2.0})
    atoms, step = bulk("LiCl", "rocksalt", a=4.6), 0.01
    energies = []
    for sign in (1, -1):
        other = atoms.copy()
        other.set_cell(atoms.cell * (1 + sign * step), scale_atoms=True)
        energies.append(label(other, finer).energy_eV)
    slope = (energies[0] - energies[1]) / (2 * step) / 3 / atoms.get_volume()
    pressed = np.trace(label(atoms, finer).stress_eV_per_A3) / 3
    assert pressed == pytest.approx(slope, rel=0.05)
    assert pressed < -0.05  # pressed together, it wants to grow


def test_scan_converges_where_gpaws_own_mixing_runs_away():
    finer = {"cutoff_eV": 300.0, "k_point_spacing_per_A": 1.8, "functional": "SCAN"}
    found = label(bulk("LiCl", "rocksalt", a=5.25), **finer)
    assert found.energy_eV == pytest.approx(-13.679, abs=0.001)
    np.testing.assert_allclose(found.forces_eV_per_A, 0.0, atol=1e-3)


def test_an_unconverged_calculation_is_no_label():
    with pytest.raises(UnconvergedError, match=r"did not converge in 3 electronic steps.*no label"):
        label(licl(), maximum_steps=3)


def test_an_element_without_paw_data_is_named():
    atoms = Atoms("UCl", positions=[[0, 0, 0], [2.5, 0, 0]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(LabellingError, match=r'ClU \(test\): Could not find .* file "U.PBE"'):
        label(atoms)


def test_atoms_on_one_another_are_refused():
    atoms = Atoms("LiCl", positions=[[0, 0, 0], [0, 0, 0.01]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(LabellingError, match="Atoms are too close"):
        label(atoms)


def test_without_gpaw_one_sentence_says_what_to_do(monkeypatch):
    original = builtins.__import__

    def without_gpaw(name, *arguments, **options):
        if name == "gpaw":
            raise ImportError("No module named 'gpaw'")
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_gpaw)
    with pytest.raises(InputError, match=r"need gpaw, which is not installed: run scripts/inst"):
        label(licl())
