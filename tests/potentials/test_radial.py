"""Radial functions against scipy's B-splines, and against LAMMPS, which reads them as tables."""

import numpy as np
import pytest
from ase import Atoms
from scipy.interpolate import BSpline

from sse_screen.potentials.classical import ClassicalPotential
from sse_screen.potentials.classical_calculator import ClassicalCalculator
from sse_screen.potentials.radial import RadialPart, n_functions, radial_functions

CUTOFF_A, SPACING_A = 4.0, 0.5


def test_the_functions_are_the_cubic_b_splines_of_scipy():
    r = np.linspace(0.05, 4.5, 200)
    values, slopes = radial_functions(r, CUTOFF_A, SPACING_A)
    assert values.shape == (200, n_functions(CUTOFF_A, SPACING_A)) == (200, 6)
    for number in range(6):
        centre = CUTOFF_A - (2 + number) * SPACING_A
        element = BSpline.basis_element(centre + SPACING_A * np.arange(-2, 3), extrapolate=False)
        np.testing.assert_allclose(values[:, number], np.nan_to_num(element(r)), atol=1e-12)
        np.testing.assert_allclose(slopes[:, number], np.nan_to_num(element.derivative()(r)), atol=1e-12)


def test_they_add_up_to_one_between_the_outermost_centres_and_end_smoothly():
    inside = np.linspace(1.0, 2.5, 50)
    np.testing.assert_allclose(radial_functions(inside, CUTOFF_A, SPACING_A)[0].sum(axis=1), 1, rtol=1e-12)
    for end in radial_functions(np.array([CUTOFF_A - 1e-4, CUTOFF_A + 1]), CUTOFF_A, SPACING_A):
        assert np.abs(end).max() < 1e-6


@pytest.mark.parametrize("pair", ["Li-Li", "Li-O", "O-O"])
def test_lammps_gives_the_energy_and_force_of_the_part(pair):
    rng = np.random.default_rng(3)
    coefficients = {name: tuple(rng.normal(size=6)) for name in ("Li-Li", "Li-O", "O-O")}
    part = RadialPart(cutoff_A=CUTOFF_A, spacing_A=SPACING_A, coefficients_eV=coefficients)
    constants = {"Li": -1.5, "O": -3.0}
    potential = ClassicalPotential(charges={"Li": 0, "O": 0}, radial=part, element_energies_eV=constants)
    for distance in (0.9, 1.73, 2.6, 3.9):
        atoms = Atoms(pair.split("-"), [[1, 1, 1], [1, 1, 1 + distance]], cell=[12] * 3, pbc=True)
        atoms.calc = ClassicalCalculator(potential)
        [energy], [slope] = part.energy_and_slope(pair, np.array([distance]))
        offset = sum(constants[element] for element in pair.split("-"))
        assert atoms.get_potential_energy() == pytest.approx(energy + offset, abs=1e-7)
        assert atoms.get_forces()[1] == pytest.approx([0, 0, -slope], abs=1e-5)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="Li-O has 2 numbers instead of 6"):
        RadialPart(cutoff_A=CUTOFF_A, spacing_A=SPACING_A, coefficients_eV={"Li-O": (1.0, 2.0)})
    with pytest.raises(ValueError, match="'O-Li' is no alphabetical pair"):
        RadialPart(cutoff_A=CUTOFF_A, spacing_A=SPACING_A, coefficients_eV={"O-Li": (1.0,) * 6})
    part = RadialPart(cutoff_A=CUTOFF_A, spacing_A=SPACING_A, coefficients_eV={"Li-S": (1.0,) * 6})
    with pytest.raises(ValueError, match="radial: S has no charge"):
        ClassicalPotential(charges={"Li": 0, "O": 0}, radial=part)
