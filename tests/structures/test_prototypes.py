"""Every prototype: formula, site count, space group, shortest distance, neutrality, known coordination."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from sse_screen.exceptions import InputError
from sse_screen.structures.prototypes import (
    Prototype,
    build_prototype,
    expand_orbit,
    get_prototype,
    list_prototypes,
)

# name: (sum formula of the built cell, sites, space group, shortest distance in ångström)
EXPECTED = {
    "lgps": ("Li20 Ge2 P4 S24", 50, 105, 2.042),
    "li2o": ("Li2 O1", 3, 225, 2.000),
    "li2s": ("Li2 S1", 3, 225, 2.472),
    "li3n": ("Li3 N1", 4, 191, 1.938),
    "li3ocl": ("Li3 Cl1 O1", 5, 221, 1.954),
    "li3po4-gamma": ("Li12 P4 O16", 32, 62, 1.540),
    "li3ycl6": ("Li9 Y3 Cl18", 30, 150, 2.444),
    "li6ps5cl": ("Li6 P1 S5 Cl1", 13, 1, 2.012),
    "li6ps5cl-disordered": ("Li24 P4 S20 Cl4", 52, 216, 2.012),
    "licl": ("Li1 Cl1", 2, 225, 2.565),
    "lif": ("Li1 F1", 2, 225, 2.014),
}
CHARGES = {
    "Li": 1, "Na": 1, "K": 1, "Mg": 2, "Y": 3, "In": 3, "La": 3, "Zr": 4, "Ge": 4, "Si": 4, "P": 5,
    "N": -3, "O": -2, "S": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1,
}  # fmt: skip


def shortest_distance(structure: Structure) -> float:
    """Return the shortest distance between sites that can be occupied together, in ångström."""
    distances = structure.distance_matrix
    occupancy = np.array([site.species.num_atoms for site in structure])
    together = occupancy[:, None] + occupancy[None, :] > 1.0 + 1e-6
    np.fill_diagonal(together, False)
    return float(distances[together].min())


def test_the_table_names_the_whole_library() -> None:
    assert {p.name for p in list_prototypes()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_prototype_is_the_published_crystal(name: str) -> None:
    formula, n_sites, number, distance_A = EXPECTED[name]
    structure, entry = build_prototype(name), get_prototype(name)
    assert structure.composition.almost_equals(Structure.from_sites(structure).composition)
    assert structure.composition.formula == formula
    assert structure.composition.reduced_formula == entry.formula
    assert len(structure) == n_sites == entry.n_sites
    assert SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number() == number
    assert number == entry.space_group_number
    assert shortest_distance(structure) == pytest.approx(distance_A, abs=1e-3)
    assert structure.is_ordered == entry.is_ordered


@pytest.mark.parametrize("name", [n for n in EXPECTED if get_prototype(n).family != "element"])
def test_prototype_is_neutral(name: str) -> None:
    structure = build_prototype(name)
    charge = sum(CHARGES[el.symbol] * amount for el, amount in structure.composition.items())
    assert charge == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", EXPECTED)
def test_mobile_ion_is_in_the_crystal(name: str) -> None:
    entry = get_prototype(name)
    if entry.role == "competing":
        assert entry.mobile_ion is None
    else:
        assert entry.mobile_ion in {el.symbol for el in build_prototype(name).composition.elements}


@pytest.mark.parametrize(
    ("name", "centre", "ligand", "cutoff_A", "number", "bond_A"),
    [
        ("lgps", "P", "S", 2.4, 4, 2.05),
        ("lgps", "Ge", "S", 2.5, 4, 2.24),
        ("li6ps5cl", "P", "S", 2.4, 4, 2.01),
        ("li3ycl6", "Y", "Cl", 3.0, 6, 2.63),
        ("li3po4-gamma", "P", "O", 1.8, 4, 1.545),
        ("li3po4-gamma", "Li", "O", 2.3, 4, 1.97),
        ("li3n", "N", "Li", 2.2, 8, 2.06),
        ("li3ocl", "O", "Li", 2.1, 6, 1.954),
    ],
)
def test_coordination(
    name: str, centre: str, ligand: str, cutoff_A: float, number: int, bond_A: float
) -> None:
    structure = build_prototype(name)
    lengths = []
    for site in structure:
        if site.specie.symbol == centre:
            near = [n for n in structure.get_neighbors(site, cutoff_A) if n.specie.symbol == ligand]
            assert len(near) == number
            lengths += [n.nn_distance for n in near]
    assert np.mean(lengths) == pytest.approx(bond_A, abs=0.03)


def test_every_entry_has_a_source_and_competing_phases_are_small() -> None:
    for entry in list_prototypes():
        assert len(entry.source) > 20
        assert entry.doi is None or entry.doi.startswith("10.")
        assert len({site.label for site in entry.sites}) == len(entry.sites)
    assert {p.role for p in list_prototypes(role="competing")} == {"competing"}


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'lgps'"):
        get_prototype("LGPSS")
    with pytest.raises(InputError, match=r"is not known\. Known: lgps"):
        build_prototype("nothing-like-it")


def test_wrong_multiplicity_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap of engines.md: a wrong origin choice silently gives another number of atoms."""
    entry = get_prototype("li3n")
    wrong = entry.model_copy(update={"hall_number": 1})
    monkeypatch.setattr("sse_screen.structures.prototypes.get_prototype", lambda name: wrong)
    with pytest.raises(InputError, match="orbit Li2 has 1 sites, its entry says 2"):
        build_prototype("li3n")


@pytest.mark.parametrize("species", [{"Li": 1.2}, {"Li": 0.0}, {"S": 0.6, "Cl": 0.6}])
def test_impossible_occupancy_is_refused(species: dict[str, float]) -> None:
    raw = get_prototype("licl").model_dump()
    raw["sites"][0]["species"] = species
    with pytest.raises(ValidationError, match="not possible"):
        Prototype.model_validate(raw)


def test_expand_orbit_gives_the_wyckoff_multiplicities_of_fm3m() -> None:
    """Multiplicities of Fm-3m (225), International Tables A: 4a, 8c, 24d, 192l."""
    cell = 5.0 * np.eye(3)
    points = {4: (0, 0, 0), 8: (0.25, 0.25, 0.25), 24: (0, 0.25, 0.25), 192: (0.11, 0.23, 0.37)}
    for multiplicity, point in points.items():
        assert expand_orbit(point, 523, cell).shape == (multiplicity, 3)


def test_building_twice_gives_the_same_crystal() -> None:
    first, second = build_prototype("lgps"), build_prototype("lgps")
    assert np.array_equal(first.frac_coords, second.frac_coords)
    assert first.site_properties["orbit"] == second.site_properties["orbit"]


def test_data_files_are_in_the_package() -> None:
    import sse_screen.structures as package

    folder = Path(package.__path__[0]) / "data"
    assert len(list(folder.glob("*.yaml"))) >= 4
