"""Gates: potentials that are right pass, and each wrong on purpose is caught by the gate that is for it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from training_toys import labelled

from sse_screen.documents.potential_gates import GateProtocol
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.potentials import load_calculator
from sse_screen.training.gates import (
    check_composition_shift,
    check_dimers,
    check_energy_drift,
    check_forgetting,
    check_hot_dynamics,
    dimer_curve,
    total_energy_slope,
)
from sse_screen.training.metrics import Predictions, predict_with
from sse_screen.training.reference_set import crystals_to_run, library_crystals, reference_set

QUICK = GateProtocol(hot_time_ps=0.1, drift_time_ps=0.3, time_step_fs=2.0, minimum_length_A=4.0)


class Pairs(Calculator):
    """A Morse pair (D 1 eV, 2/Å, 2.5 Å) with one thing wrong."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, wrong=None):
        super().__init__()
        self.wrong = wrong

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        n = len(atoms)
        energy, forces = 0.0, np.zeros((n, 3))
        for i in range(n):
            for j in range(i + 1, n):
                vector = atoms.get_distance(i, j, mic=bool(atoms.pbc.any()), vector=True)
                r = np.linalg.norm(vector)
                e, slope = self.pair(r)
                energy += e
                forces[i] += slope * vector / r
                forces[j] -= slope * vector / r
        self.results = {"energy": energy, "forces": forces, "stress": np.zeros(6)}

    def pair(self, r):
        x = np.exp(-2 * (r - 2.5))
        energy, slope = x * x - 2 * x, -4 * x * x + 4 * x
        if self.wrong == "jump" and r > 3.0:
            energy += 0.5
        if self.wrong == "infinite" and r < 0.8:
            energy = np.nan
        if self.wrong == "force":
            slope *= 0.7
        if self.wrong == "hole":
            return -20 / (r + 0.2), 20 / (r + 0.2) ** 2
        return energy, slope


def test_the_curve_of_a_morse_pair_is_exact():
    distances = np.array([2.0, 2.5, 3.1])
    energies, forces = dimer_curve(Pairs(), ("Li", "Cl"), distances)
    x = np.exp(-2 * (distances - 2.5))
    assert np.allclose(energies, x * x - 2 * x)
    assert np.allclose(forces, 4 * x * x - 4 * x)


def test_smooth_dimers_pass_and_jumps_do_not():
    found = check_dimers(Pairs(), ["Li", "Cl"], QUICK)
    assert found.passed
    assert found.value < 5e-3  # the trapezoid's own error
    jump = check_dimers(Pairs("jump"), ["Li", "Cl"], QUICK)
    assert not jump.passed
    assert jump.value == pytest.approx(0.5, abs=0.01)
    assert "2.98 Å" in jump.detail or "3.00 Å" in jump.detail
    infinite = check_dimers(Pairs("infinite"), ["Li", "Cl"], QUICK)
    assert not infinite.passed
    assert infinite.value is None
    assert "Cl-Cl, Cl-Li, Li-Li" in infinite.detail


def test_atoms_that_fall_into_each_other_are_seen():
    crystal = {"Li2": Atoms("Li2", positions=[[0, 0, 0], [1.5, 0, 0]], cell=[8, 8, 8], pbc=True)}
    protocol = QUICK.model_copy(update={"time_step_fs": 0.1, "hot_time_ps": 0.2, "hot_temperature_K": 100.0})

    def check(folder):
        return check_hot_dynamics(Pairs("hole"), crystal, protocol, folder)

    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        found = check(Path(folder))
    assert not found.passed
    assert found.value is None or found.value < 0.6  # it exploded, or came too close


def test_emt_passes_the_runs_and_wrong_forces_drift(tmp_path):
    crystal = {"Cu": bulk("Cu", cubic=True) * (2, 2, 2)}
    hot = check_hot_dynamics(EMT(), crystal, QUICK, tmp_path / "a")
    drift = check_energy_drift(EMT(), crystal, QUICK, tmp_path / "b")
    assert hot.passed
    assert 1.8 < hot.value < 2.6
    assert drift.passed

    class Pushed(EMT):
        """Forces that push along the velocity: energy grows."""

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results["forces"] = self.results["forces"] + 0.5 * atoms.get_momenta() / 10

    pushed = check_energy_drift(Pushed(), crystal, QUICK, tmp_path / "c")
    assert not pushed.passed
    assert pushed.value is None or pushed.value > 10 * drift.value


def test_the_slope_of_a_known_energy():
    times, n = np.linspace(0, 1, 11), 4
    run = Trajectory(
        positions=np.zeros((11, n, 3)),
        cells=np.eye(3) * 5,
        species=("Li",) * n,
        times_ps=times,
        unwrapped=True,
        temperatures_K=np.full(11, 300.0),
        potential_energies_eV=0.02 * times * n - 7,
    )
    assert total_energy_slope(run) == pytest.approx(0.02)


def test_a_parent_does_not_forget_and_a_stranger_did():
    reference = reference_set(load_calculator("chgnet"), {"Li", "Cl", "S", "P"}, 1)
    assert {"licl", "li2s"} <= {s.parent_configuration for s in reference}
    assert all(len(s) <= 32 for s in reference)
    same = check_forgetting(load_calculator("chgnet"), reference, QUICK)
    assert same.passed
    assert same.value < 1e-6
    other = check_forgetting(Pairs(), reference[:3], QUICK)
    assert not other.passed
    assert other.value > 0.5
    assert check_forgetting(Pairs(), (), QUICK).passed  # nothing to forget


def test_a_shift_of_the_elements_is_measured():
    structures = labelled(4)
    right = predict_with(load_calculator("chgnet-r2scan"), structures)
    assert check_composition_shift(structures, right, QUICK).passed
    off = Predictions(right.energies_eV_per_atom + 0.02, right.forces_eV_per_A, right.stresses_GPa)
    found = check_composition_shift(structures, off, QUICK)
    assert not found.passed
    assert found.value == pytest.approx(0.02, abs=1e-4)
    assert "Cl -0.02" in found.detail
    assert not check_composition_shift([], off, QUICK).passed


def test_cells_of_the_runs_are_of_the_labels_or_the_library():
    structures = labelled(3) + labelled(2, cation="Na", a=5.6)
    cells = crystals_to_run(structures, ["Li", "Cl", "Na"], 6.0, 3)
    assert list(cells) == ["LiCl", "NaCl"]
    assert all(min(cell.cell.lengths()) >= 5.9 for cell in cells.values())
    assert list(crystals_to_run([], ["Li", "Cl"], 4.0, 1)) == ["cl2"]
    assert set(library_crystals({"Li", "Cl"}, 32)) == {"cl2", "li", "licl"}


def test_dimers_of_ions_are_judged_without_their_charges():
    calculator = load_calculator("garnet-buckingham")
    distances = np.array([1.5, 2.0, 3.0])
    energies, forces = dimer_curve(calculator, ("Li", "O"), distances)
    A_eV, rho_A, cutoff_A = 632.1018, 0.2906, 10.0
    np.testing.assert_allclose(
        energies, A_eV * (np.exp(-distances / rho_A) - np.exp(-cutoff_A / rho_A)), atol=1e-8
    )
    np.testing.assert_allclose(forces, A_eV / rho_A * np.exp(-distances / rho_A), atol=1e-8)
    assert check_dimers(calculator, ["Li", "O"], QUICK).passed
