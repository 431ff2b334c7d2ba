"""Every prototype: formula, site count, space group, shortest distance, neutrality, known coordination."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.analysis.structure_matcher import StructureMatcher
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
    "cl2": ("Cl4", 4, 64, 2.021),
    "lgps": ("Li20 Ge2 P4 S24", 50, 105, 2.042),
    "lgps-disordered": ("Li20 Ge2 P4 S24", 66, 137, 1.991),
    "li": ("Li1", 1, 229, 3.039),
    "li2o": ("Li2 O1", 3, 225, 2.000),
    "li2o2": ("Li4 O4", 8, 194, 1.553),
    "li2s": ("Li2 S1", 3, 225, 2.472),
    "li3incl6": ("Li6 In2 Cl12", 20, 12, 2.473),
    "li3n": ("Li3 N1", 4, 191, 1.938),
    "li3ocl": ("Li3 Cl1 O1", 5, 221, 1.954),
    "li3p": ("Li6 P2", 8, 194, 2.462),
    "li3po4-gamma": ("Li12 P4 O16", 32, 62, 1.534),
    "li3ps4-alpha": ("Li12 P4 S16", 32, 60, 2.047),
    "li3ps4-beta": ("Li12 P4 S16", 32, 62, 1.909),
    "li3ps4-beta-disordered": ("Li12 P4 S16", 36, 62, 1.493),
    "li3ps4-gamma": ("Li6 P2 S8", 16, 31, 1.942),
    "li3ybr6": ("Li6 Y2 Br12", 20, 5, 2.511),
    "li3ycl6": ("Li9 Y3 Cl18", 30, 150, 2.444),
    "li4geo4": ("Li16 Ge4 O16", 36, 63, 1.752),
    "li6ps5cl": ("Li6 P1 S5 Cl1", 13, 1, 2.012),
    "li6ps5cl-disordered": ("Li24 P4 S20 Cl4", 52, 216, 2.012),
    "li7p3s11": ("Li14 P6 S22", 42, 2, 1.864),
    "li7ps6": ("Li7 P1 S6", 14, 1, 2.027),
    "libr": ("Li1 Br1", 2, 225, 2.751),
    "licl": ("Li1 Cl1", 2, 225, 2.565),
    "lif": ("Li1 F1", 2, 225, 2.014),
    "llzo-cubic": ("Li28 La12 Zr8 O48", 96, 9, 1.832),
    "llzo-cubic-disordered": ("Li56 La24 Zr16 O96", 256, 230, 1.832),
    "llzo-tetragonal": ("Li56 La24 Zr16 O96", 192, 142, 1.872),
    "n2": ("N8", 8, 205, 1.090),
    "nasicon": ("Na6 Zr4 Si4 P2 O24", 40, 2, 1.516),
    "nasicon-disordered": ("Na12 Zr8 Si8 P4 O48", 84, 15, 1.516),
    "o2": ("O2", 2, 12, 1.300),
    "p-black": ("P4", 4, 64, 2.224),
    "p2s5": ("P8 S20", 28, 2, 1.949),
    "s8": ("S32", 32, 70, 2.036),
    "y": ("Y2", 2, 194, 3.556),
    "ycl3": ("Y2 Cl6", 8, 12, 2.585),
}
CHARGES = {
    "Li": 1, "Na": 1, "K": 1, "Mg": 2, "Y": 3, "In": 3, "La": 3, "Zr": 4, "Ge": 4, "Si": 4, "P": 5,
    "N": -3, "O": -2, "S": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1,
}  # fmt: skip


def shortest_distance(structure: Structure) -> float:
    """Return the shortest distance between sites that can be occupied together, in ångström."""
    if len(structure) == 1:
        structure = structure * (2, 2, 2)
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
    charges = {**CHARGES, **{"li2o2": {"O": -1}, "li3p": {"P": -3}}.get(name, {})}
    charge = sum(charges[el.symbol] * amount for el, amount in structure.composition.items())
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
        ("li3ps4-alpha", "P", "S", 2.4, 4, 2.05),
        ("li3ps4-beta", "P", "S", 2.4, 4, 2.03),
        ("li3ps4-gamma", "P", "S", 2.4, 4, 2.01),
        ("li7p3s11", "P", "S", 2.5, 4, 2.06),
        ("li7ps6", "P", "S", 2.4, 4, 2.05),
        ("li3ybr6", "Y", "Br", 3.2, 6, 2.745),
        ("li3incl6", "In", "Cl", 3.0, 6, 2.50),
        ("li4geo4", "Ge", "O", 2.1, 4, 1.78),
        ("llzo-tetragonal", "Zr", "O", 2.4, 6, 2.11),
        ("llzo-tetragonal", "La", "O", 3.0, 8, 2.56),
        ("llzo-cubic", "Zr", "O", 2.4, 6, 2.11),
        ("llzo-cubic", "La", "O", 3.0, 8, 2.55),
        ("nasicon", "Zr", "O", 2.5, 6, 2.08),
        ("nasicon", "Si", "O", 2.0, 4, 1.59),
        ("nasicon", "P", "O", 2.0, 4, 1.56),
        ("ycl3", "Y", "Cl", 3.0, 6, 2.63),
        ("p2s5", "P", "S", 2.4, 4, 2.05),
        ("s8", "S", "S", 2.2, 2, 2.05),
        ("p-black", "P", "P", 2.4, 3, 2.23),
        ("n2", "N", "N", 1.5, 1, 1.09),
        ("cl2", "Cl", "Cl", 2.5, 1, 2.02),
        ("li2o2", "O", "O", 1.8, 1, 1.55),
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
    with pytest.raises(InputError, match=r"is not known\. Known: cl2, lgps"):
        build_prototype("nothing-like-it")


def test_wrong_multiplicity_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap of engines.md: a wrong origin choice silently gives another number of atoms."""
    entry = get_prototype("li3n")
    wrong = entry.model_copy(update={"hall_number": 1})
    monkeypatch.setattr("sse_screen.structures.prototypes.get_prototype", lambda name: wrong)
    with pytest.raises(InputError, match="orbit Li2 has 1 sites, its entry says 2"):
        build_prototype("li3n")


def test_at_least_fifteen_electrolytes_and_a_control() -> None:
    assert len(list_prototypes(role="electrolyte")) >= 15
    assert [p.name for p in list_prototypes(role="control")] == ["li3po4-gamma"]


def test_fractions_are_read_exactly() -> None:
    occupancy = {site.label: site.species for site in get_prototype("llzo-cubic-disordered").sites}
    assert occupancy["Li2"] == {"Li": 44 / 96}
    assert get_prototype("li3n").sites[1].coordinates[:2] == (1 / 3, 2 / 3)


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


def reference_folder() -> Path:
    """Return the folder of reference crystals beside the repository, or skip."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared" / "reference" / "structures").is_dir():
            return parent / "shared" / "reference" / "structures"
    pytest.skip("no folder shared/reference/structures beside the repository: nothing to compare with")


@pytest.mark.parametrize(
    ("name", "file_name", "left_out"),
    [
        ("lgps", "Li10GeP2S12_P1_ordered_pymatgen-lgps.cif", ()),
        ("lgps-disordered", "Li10GeP2S12_P42nmc_OBELiX-mtn.cif", ("Li",)),
        ("li3incl6", "Li3InCl6_C2m_OBELiX-de5.cif", ("In",)),
        ("li3n", "Li3N_alpha_P6mmm_OBELiX-gvd.cif", ()),
        ("li3ocl", "Li3OCl_Pm-3m_OBELiX-4p7.cif", ()),
        ("li3ps4-beta", "Li3PS4_beta_Pnma_OBELiX-nhq.cif", ("Li",)),
        ("li3ps4-gamma", "Li3PS4_gamma_Pmn21_OBELiX-joc.cif", ("S",)),
        ("li3ybr6", "Li3YBr6_C2m_OBELiX-elz.cif", ("Li", "Y")),
        ("li3ycl6", "Li3YCl6_P-3m1_OBELiX-ei3.cif", ("Li", "Y")),
        ("li4geo4", "Li4GeO4_Cmcm_OBELiX-dth.cif", ()),
        ("li6ps5cl-disordered", "Li6PS5Cl_F-43m_OBELiX-122.cif", ("Li", "Cl", "S")),
        ("li7p3s11", "Li7P3S11_P-1_OBELiX-mdp.cif", ()),
        ("llzo-cubic-disordered", "Li7La3Zr2O12_cubic_ordered_192at_mogroup_POSCAR.vasp", ("Li",)),
        ("llzo-tetragonal", "Li7La3Zr2O12_tetragonal_I41acd_OBELiX-wyu.cif", ()),
    ],
)
def test_reference_crystal_matches(name: str, file_name: str, left_out: tuple[str, ...]) -> None:
    """Same framework as an independently collected CIF; elements it has disordered are left out."""
    reference = Structure.from_file(reference_folder() / file_name)
    ours = build_prototype(name)
    for structure in (reference, ours):
        partly = [
            i for i, s in enumerate(structure) if any(el.symbol in left_out for el in s.species.elements)
        ]
        structure.remove_sites(partly)
    matcher = StructureMatcher(ltol=0.02, stol=0.1, angle_tol=1, primitive_cell=True, scale=False)
    assert matcher.fit(ours, reference)
