"""Ewald sums against Madelung constants and pymatgen."""

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation

from sse_screen.structures.electrostatics import COULOMB_eV_A, ewald_matrix
from sse_screen.structures.prototypes import build_prototype

CHARGES = {"Li": 1, "Ge": 4, "P": 5, "S": -2, "Cl": -1, "Y": 3, "O": -2, "F": -1, "N": -3}


def test_coulomb_constant() -> None:
    assert pytest.approx(14.3996454, abs=1e-6) == COULOMB_eV_A


@pytest.mark.parametrize(
    ("positions", "charges", "neighbour", "madelung"),
    [
        # Madelung constants of rock salt and caesium chloride, referred to the nearest neighbour.
        ([[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], np.sqrt(3) / 2, 1.76267477307099),
        (
            [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.5, 0, 0],
             [0, 0.5, 0], [0, 0, 0.5]],
            [1, 1, 1, 1, -1, -1, -1, -1], 0.5, 1.74756459463318,
        ),
    ],
)  # fmt: skip
def test_madelung_constants(
    positions: list[list[float]], charges: list[int], neighbour: float, madelung: float
) -> None:
    cell_A = 4.1
    matrix = ewald_matrix(cell_A * np.eye(3), np.array(positions, dtype=float))
    q = np.array(charges)
    energy = 0.5 * q @ matrix @ q / (len(q) / 2)
    assert -energy * neighbour * cell_A / COULOMB_eV_A == pytest.approx(madelung, abs=1e-12)


@pytest.mark.parametrize("name", ["lgps", "li3ycl6", "li6ps5cl", "li3n", "li3po4-gamma"])
def test_energy_is_pymatgens(name: str) -> None:
    structure = build_prototype(name)
    q = np.array([CHARGES[site.specie.symbol] for site in structure])
    energy = 0.5 * q @ ewald_matrix(structure.lattice.matrix, structure.frac_coords) @ q
    structure.add_oxidation_state_by_element(
        {el: c for el, c in CHARGES.items() if el in structure.symbol_set}
    )
    assert energy == pytest.approx(EwaldSummation(structure).total_energy, abs=1e-5)


def test_matrix_is_symmetric_and_the_same_in_a_supercell() -> None:
    structure = build_prototype("li3n")
    matrix = ewald_matrix(structure.lattice.matrix, structure.frac_coords)
    assert np.allclose(matrix, matrix.T, atol=1e-12)
    large = structure * (2, 2, 1)
    energies = []
    for crystal in (structure, large):
        q = np.array([CHARGES[site.specie.symbol] for site in crystal])
        phi = ewald_matrix(crystal.lattice.matrix, crystal.frac_coords)
        energies.append(0.5 * q @ phi @ q / len(crystal))
    assert energies[0] == pytest.approx(energies[1], abs=1e-10)
