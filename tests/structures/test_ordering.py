"""Orderings: exact stoichiometry or refusal, lowest Ewald energy, determinism."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.structures.electrostatics import ewald_matrix
from sse_screen.structures.ordering import order_structure, smallest_integral_multiple
from sse_screen.structures.prototypes import build_prototype

CHARGES = {"Li": 1, "P": 5, "S": -2, "Cl": -1, "Y": 3, "Zr": 4, "La": 3, "O": -2}


def energy(structure: Structure) -> float:
    """Return the Ewald energy of an ordered crystal in eV."""
    q = np.array([CHARGES[site.specie.symbol] for site in structure])
    return float(0.5 * q @ ewald_matrix(structure.lattice.matrix, structure.frac_coords) @ q)


def rock_salt(cation: dict[str, float], size: int = 2, anions: list[str] | None = None) -> Structure:
    """Return a rock salt of 4 * size cations, with oxygen unless other anions are given."""
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cations = np.vstack([(corners + np.array([n, 0, 0])) / [size, 1, 1] for n in range(size)])
    holes = (cations + np.array([0.5 / size, 0, 0]))[: 4 * size if anions is None else len(anions)]
    lattice = Lattice.orthorhombic(4.2 * size, 4.2, 4.2)
    species = [cation] * len(cations) + (["O"] * len(holes) if anions is None else anions)
    return Structure(lattice, species, np.vstack([cations, holes]))


@pytest.mark.parametrize("rule", ["ewald", "random"])
def test_stoichiometry_is_kept_and_sites_are_those_of_the_parent(rule: str) -> None:
    parent = build_prototype("li6ps5cl-disordered")
    ordered = order_structure(parent, rule)
    assert ordered.is_ordered
    assert ordered.composition == parent.composition
    assert ordered.lattice == parent.lattice
    assert {tuple(x) for x in ordered.frac_coords} == {tuple(x) for x in parent.frac_coords}


def test_argyrodite_without_exchange_has_the_lowest_ewald_energy() -> None:
    """Cl on 4a (0, 0, 0) and S on 4d: the ordered argyrodite that is known as the ground state."""
    ordered = order_structure(build_prototype("li6ps5cl-disordered"), "ewald")
    chlorine = [site.frac_coords for site in ordered if site.specie.symbol == "Cl"]
    assert np.allclose(sorted(map(tuple, chlorine)), [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])


def test_small_case_is_the_exhaustive_minimum() -> None:
    parent = rock_salt({"Li": 0.5, "Y": 0.5})
    mixed = [i for i, site in enumerate(parent) if not site.is_ordered]
    energies = []
    for chosen in itertools.combinations(mixed, 4):
        trial = parent.copy()
        for i in mixed:
            trial.replace(i, "Li" if i in chosen else "Y")
        energies.append(energy(trial))
    ordered = order_structure(parent, "ewald")
    assert energy(ordered) == pytest.approx(min(energies), abs=1e-5)


def test_descent_finds_the_minimum_of_an_enumerable_case(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = rock_salt({"Li": 0.5, "Y": 0.5})
    exhaustive = energy(order_structure(parent, "ewald"))
    monkeypatch.setattr("sse_screen.structures.ordering._LARGEST_EXHAUSTIVE_SEARCH", 0)
    assert energy(order_structure(parent, "ewald")) == pytest.approx(exhaustive, abs=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 7), st.integers(0, 3), st.sampled_from(["ewald", "random"]), st.integers(0, 99))
def test_any_whole_mixture_is_kept_exactly(n_lithium: int, n_sodium: int, rule: str, seed: int) -> None:
    """Li, Na and vacancies on the 8 cation sites of a doubled rock salt, charge balanced by its anions."""
    n_sodium = min(n_sodium, 8 - n_lithium)
    mixture = {"Li": n_lithium / 8} | ({"Na": n_sodium / 8} if n_sodium else {})
    parent = rock_salt(mixture, anions=["F"] * (n_lithium + n_sodium))
    ordered = order_structure(parent, rule, seed=seed)  # type: ignore[arg-type]
    assert ordered.is_ordered
    assert ordered.composition.almost_equals(parent.composition)
    assert ordered.composition.get_el_amt_dict()["Li"] == n_lithium


def test_vacancies_are_dropped_and_labels_kept() -> None:
    parent = Structure(
        Lattice.cubic(6),
        [{"Li": 0.5}, {"Li": 0.5}, "Cl"],
        [[0, 0, 0], [0.5, 0, 0], [0.25, 0.5, 0.5]],
        site_properties={"orbit": ["a", "b", "c"]},
    )
    ordered = order_structure(parent, "ewald")
    assert ordered.composition.formula == "Li1 Cl1"
    assert ordered.site_properties["orbit"][1] == "c"


def test_same_seed_same_answer_other_seed_other_arrangement() -> None:
    parent = build_prototype("li6ps5cl-disordered")
    one, same = (order_structure(parent, "random", seed=3) for _ in range(2))
    assert one == same
    assert any(order_structure(parent, "random", seed=s) != one for s in range(4, 8))


def test_random_rule_obeys_the_exclusion() -> None:
    """The split 48h sites of the argyrodite: a pair of half-occupied sites 1.8 Å apart holds one Li."""
    lithium = [[0.0, 0, 0], [0.15, 0, 0], [0.5, 0, 0], [0.65, 0, 0], [0, 0.5, 0], [0.15, 0.5, 0]]
    parent = Structure(
        Lattice.cubic(10),
        [{"Li": 0.5}] * 6 + ["Cl"] * 3,
        [*lithium, [0, 0, 0.5], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )
    for seed in range(20):
        ordered = order_structure(parent, "random", seed=seed)
        distances = ordered.distance_matrix + 99 * np.eye(len(ordered))
        assert distances[:3, :3].min() > 2.0
    with pytest.raises(InputError, match=r"no arrangement found without two filled sites closer than 6\.0"):
        order_structure(parent, "random", exclusion_distance_A=6.0)


def test_fraction_of_an_atom_is_refused_with_the_supercell() -> None:
    parent = rock_salt({"Li": 0.375, "Y": 0.375}, size=1)
    with pytest.raises(
        InputError,
        match=r"x\.cif: Li with occupancy 0\.375 on 4 sites gives 1\.500 atoms.*supercell of 2.*0\.2500",
    ):
        order_structure(parent, "ewald", name="x.cif")
    assert smallest_integral_multiple(parent) == 2
    ordered = order_structure(rock_salt({"Li": 0.5, "Zr": 0.5}, size=1), "random")
    assert ordered.composition.formula == "Li2 Zr2 O4"


def test_no_supercell_is_offered_when_none_helps() -> None:
    parent = rock_salt({"Li": 0.50371, "Y": 0.49629}, size=1)
    assert smallest_integral_multiple(parent, largest=2) is None


def test_three_decimals_are_read_as_thirds() -> None:
    parent = Structure(
        Lattice.cubic(8), [{"Li": 0.333}] * 3 + ["Cl"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0.5, 0.5, 0.5]]
    )
    assert order_structure(parent, "ewald").composition.formula == "Li1 Cl1"


def test_charged_cell_and_unknown_rule_are_refused() -> None:
    charged = rock_salt({"Li": 0.5, "Y": 0.25}, size=1)
    with pytest.raises(InputError, match="charged"):
        order_structure(charged, "ewald")
    with pytest.raises(InputError, match="rule 'best' is not known; known: ewald, random"):
        order_structure(charged, "best")  # type: ignore[arg-type]


def test_ordered_crystal_comes_back_as_a_copy() -> None:
    crystal = build_prototype("li3n")
    result = order_structure(crystal, "ewald")
    assert result == crystal
    assert result is not crystal
