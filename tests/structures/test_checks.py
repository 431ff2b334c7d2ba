"""Neutrality, mobile ion, disorder."""

import pytest
from pymatgen.core import Composition, Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.structures.checks import (
    check_mobile_ion,
    check_neutral,
    is_disordered,
    oxidation_states,
)
from sse_screen.structures.prototypes import build_prototype, list_prototypes


@pytest.mark.parametrize("name", [p.name for p in list_prototypes()])
def test_all_prototypes_are_neutral(name: str) -> None:
    check_neutral(build_prototype(name), name=name)


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("Li10GeP2S12", {"Li": 1, "Ge": 4, "P": 5, "S": -2}),
        ("Li3P", {"Li": 1, "P": -3}),
        ("Li3InCl6", {"Li": 1, "In": 3, "Cl": -1}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("Na3Zr2Si2PO12", {"Na": 1, "Zr": 4, "Si": 4, "P": 5, "O": -2}),
        ("Li", {"Li": 0}),
    ],
)
def test_oxidation_states(formula: str, states: dict[str, int]) -> None:
    assert oxidation_states(Composition(formula)) == states


def test_charged_cell_is_refused_with_its_charge() -> None:
    structure = build_prototype("lgps")
    structure.remove_sites([0])
    with pytest.raises(InputError, match=r"lgps\.cif: Li19 .* is charged: -1\.000 e per cell with Li \+1"):
        check_neutral(structure, name="lgps.cif")


def test_given_states_are_used_and_can_make_it_charged() -> None:
    licl = build_prototype("licl")
    assert check_neutral(licl, {"Cl": -1}) == {"Li": 1, "Cl": -1}
    with pytest.raises(InputError, match="charged"):
        check_neutral(licl, {"Li": 1, "Cl": -2})


def test_states_on_the_sites_are_summed() -> None:
    structure = Structure(Lattice.cubic(4), ["Li+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(InputError, match=r"sum to -1\.000 e"):
        check_neutral(structure)


def test_mobile_ion() -> None:
    licl = build_prototype("licl")
    check_mobile_ion(licl, "Li")
    with pytest.raises(InputError, match="no mobile ion Na in LiCl, which has Cl, Li"):
        check_mobile_ion(licl, "Na")
    with pytest.raises(InputError, match="'Xx' is no element"):
        check_mobile_ion(licl, "Xx")


def test_is_disordered() -> None:
    assert is_disordered(build_prototype("li6ps5cl-disordered"))
    assert not is_disordered(build_prototype("li6ps5cl"))
