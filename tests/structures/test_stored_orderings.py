"""The ordered prototypes are what their notes say: the lowest Ewald energy of the stated arrangements."""

import itertools

import numpy as np
import pytest
from pymatgen.core import Structure

from sse_screen.structures.electrostatics import ewald_matrix
from sse_screen.structures.ordering import order_structure
from sse_screen.structures.prototypes import build_prototype, expand_orbit, get_prototype

CHARGES = {"Li": 1, "Na": 1, "Y": 3, "La": 3, "Zr": 4, "Si": 4, "P": 5, "O": -2, "S": -2, "Cl": -1}


def energy(structure: Structure) -> float:
    """Return the Ewald energy of an ordered crystal in eV."""
    q = np.array([CHARGES[site.specie.symbol] for site in structure])
    return float(0.5 * q @ ewald_matrix(structure.lattice.matrix, structure.frac_coords) @ q)


def choices(n_sites: int, n_filled: int) -> np.ndarray:
    """Return all ways to fill some of the sites, as rows of 0 and 1."""
    chosen = np.array(list(itertools.combinations(range(n_sites), n_filled)))
    rows = np.zeros((len(chosen), n_sites))
    np.put_along_axis(rows, chosen, 1.0, axis=1)
    return rows


def energies(lattice: np.ndarray, sites: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """Return the Ewald energies of many assignments of charges, shape (n_assignments,)."""
    return 0.5 * np.einsum("ai,ij,aj->a", charges, ewald_matrix(lattice, sites), charges, optimize=True)


def test_argyrodite_is_the_lowest_of_924() -> None:
    """In the primitive cell 48h is the first three of all orders of four numbers whose sum is one."""
    stored = build_prototype("li6ps5cl")
    lithium = sorted({order[:3] for order in itertools.permutations((0.6094, 0.3498, 0.0204, 0.0204))})
    assert {tuple(s.frac_coords) for s in stored if s.specie.symbol == "Li"} <= set(lithium)
    fixed = [site for site in stored if site.specie.symbol != "Li"]
    filled = choices(len(lithium), 6)
    assert filled.shape == (924, 12)
    frame = np.tile([CHARGES[site.specie.symbol] for site in fixed], (len(filled), 1))
    sites = np.vstack([lithium, [site.frac_coords for site in fixed]])
    lowest = energies(stored.lattice.matrix, sites, np.hstack([filled, frame])).min()
    assert energy(stored) == pytest.approx(lowest, abs=0.01)


def test_li3ycl6_is_the_lowest_of_1320() -> None:
    stored = build_prototype("li3ycl6")
    lattice = stored.lattice.matrix
    parent = 456  # P-3m1
    lithium = np.vstack([expand_orbit((0, y, z), parent, lattice) for y, z in ((0.32563, 0.5), (0.32612, 0))])
    yttrium = np.vstack([expand_orbit((1 / 3, 2 / 3, z), parent, lattice) for z in (0.48697, 0.98119)])
    fixed = np.array(
        [s.frac_coords for s in stored if s.specie.symbol == "Cl" or s.properties["orbit"] == "Y1"]
    )
    frame = [-1.0 if s.specie.symbol == "Cl" else 3.0 for s in stored
             if s.specie.symbol == "Cl" or s.properties["orbit"] == "Y1"]  # fmt: skip
    pairs = [
        np.concatenate([li, 3 * y, frame])
        for li in choices(len(lithium), 9)
        for y in choices(len(yttrium), 2)
    ]
    assert len(pairs) == 1320
    lowest = energies(lattice, np.vstack([lithium, yttrium, fixed]), np.array(pairs)).min()
    assert energy(stored) == pytest.approx(lowest, abs=0.01)


def test_nasicon_is_what_the_rule_gives() -> None:
    parent = build_prototype("nasicon-disordered").get_primitive_structure()
    assert energy(order_structure(parent, "ewald")) == pytest.approx(
        energy(build_prototype("nasicon")), abs=0.01
    )


def test_garnet_is_as_low_as_the_rule_finds_and_keeps_its_ratio() -> None:
    stored = build_prototype("llzo-cubic")
    parent = build_prototype("llzo-cubic-disordered").get_primitive_structure()
    assert energy(stored) <= energy(order_structure(parent, "ewald")) + 0.01
    lithium = [i for i, site in enumerate(stored) if site.specie.symbol == "Li"]
    oxygen = [i for i, site in enumerate(stored) if site.specie.symbol == "O"]
    nearest = np.sort(stored.distance_matrix[np.ix_(lithium, oxygen)], axis=1)
    # 24d is a regular tetrahedron (four equal Li-O bonds); 96h is not.
    regular = np.isclose(nearest[:, 0], nearest[:, 3], atol=0.01)
    assert (regular.sum(), (~regular).sum()) == (6, 22)
    between = stored.distance_matrix[np.ix_(lithium, lithium)] + 9 * np.eye(28)
    assert between.min() > 2.3


@pytest.mark.parametrize("name", ["li6ps5cl", "li3ycl6", "li3ybr6", "llzo-cubic", "nasicon", "li7ps6"])
def test_the_note_says_the_rule(name: str) -> None:
    notes = get_prototype(name).notes
    assert "rdering rule" in notes or "lowest of" in notes
