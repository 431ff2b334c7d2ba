"""Formulas as fractions of elements and end members; one level of theory; bases of energies."""

import numpy as np
import pytest

from sse_screen.thermodynamics.composition_space import (
    element_amounts,
    elemental_space,
    end_member_space,
    formula_units,
    place_on_hull,
    single_level_of_theory,
)
from sse_screen.thermodynamics.hull import HullError


def test_formulas_with_brackets_fractions_and_multiples():
    assert element_amounts("Na3Zr2(SiO4)2(PO4)") == (("Na", 3), ("O", 12), ("P", 1), ("Si", 2), ("Zr", 2))
    assert dict(element_amounts("Li6.25La3Zr2O12"))["Li"] == 6.25
    assert formula_units([12, 4, 16]) == 4
    assert formula_units([6.25, 3, 2, 12]) == 1


@pytest.mark.parametrize("formula", ["", "Li3P!4", "Qq2", "hello"])
def test_unreadable_formula_is_named(formula):
    with pytest.raises(HullError, match="cannot be read"):
        element_amounts(formula)


def test_bases_of_energies():
    space = elemental_space(["Li12P4S16", "Li2S"])
    assert space.components == ("Li", "P", "S")
    np.testing.assert_allclose(space.per("atom"), 1)
    np.testing.assert_allclose(space.per("formula_unit"), [8, 3])
    np.testing.assert_allclose(space.per("cell"), [32, 3])
    with pytest.raises(HullError, match="choose atom"):
        space.per("mole")


def test_nasicon_series_is_pseudo_binary():
    xs = np.arange(0, 3.01, 0.25)
    formulas = [f"Na{1 + x}Zr2Si{x}P{3 - x}O12" for x in xs[1:-1]]
    space = end_member_space(formulas, ["NaZr2P3O12", "Na4Zr2Si3O12"])
    np.testing.assert_allclose(space.fractions[:, 1], xs[1:-1] / 3, atol=1e-9)
    # One component unit holds 18 atoms at x = 0 and 21 at x = 3.
    np.testing.assert_allclose(1 / space.units_per_atom, 18 + xs[1:-1], atol=1e-9)


def test_halide_triangle_is_pseudo_ternary_and_its_square_is_refused():
    members = ["Li3InBr6", "Li3YBr6", "Li3InCl6"]
    space = end_member_space(["Li3In0.5Y0.5Br3Cl3", "Li6InYBr12"], members)
    np.testing.assert_allclose(space.fractions, [[0, 0.5, 0.5], [0.5, 0.5, 0]], atol=1e-9)
    with pytest.raises(HullError, match="depend on one another"):
        end_member_space(["Li3InBr6"], [*members, "Li3YCl6"])
    with pytest.raises(HullError, match=r"no mixture.*Li3YCl6"):
        end_member_space(["Li3YCl6"], members)


def test_composition_with_a_residual_is_refused_by_name():
    with pytest.raises(HullError, match=r"1 of 2 compositions.*Li4PS4I"):
        end_member_space(["Li3PS4", "Li4PS4I"], ["Li2S", "P2S5"])
    with pytest.raises(HullError, match="at least two"):
        end_member_space(["Li3PS4"], ["Li2S"])


def test_distance_in_end_members_equals_that_in_elements_where_only_they_compete():
    formulas = ["Li2S", "P2S5", "Li3PS4", "Li7PS6", "Li4P2S7"]
    energies = np.array([-4.0, -4.2, -4.35, -4.2, -4.1])
    in_elements = place_on_hull(elemental_space(formulas), energies)
    in_members = place_on_hull(end_member_space(formulas, ["Li2S", "P2S5"]), energies)
    np.testing.assert_allclose(
        in_members.energies_above_hull_eV_per_atom, in_elements.energies_above_hull_eV_per_atom, atol=1e-12
    )
    np.testing.assert_allclose(
        in_members.energies_above_hull("formula_unit"),
        in_members.energies_above_hull_eV_per_atom * np.array([3, 7, 8, 14, 13]),
    )
    assert np.isnan(in_elements.formation_energies_eV_per_atom).all()
    # Li3PS4 = (3 Li2S + P2S5) / 2: 9 atoms of the first, 7 of the second in 16.
    expected = -4.35 - (9 * -4.0 + 7 * -4.2) / 16
    assert in_members.formation_energies_eV_per_atom[2] == pytest.approx(expected)


def test_formation_energy_is_missing_only_where_its_reference_is():
    placed = place_on_hull(elemental_space(["Li", "S", "Li2S", "Li3P"]), np.array([-1.9, -4.1, -4.0, -3.5]))
    assert placed.formation_energies_eV_per_atom[2] == pytest.approx(-4.0 - (2 * -1.9 - 4.1) / 3)
    assert np.isnan(placed.formation_energies_eV_per_atom[3])


def test_levels_of_theory_are_never_mixed():
    assert single_level_of_theory(["PBE", "PBE"]) == "PBE"
    assert single_level_of_theory([None]) is None
    with pytest.raises(HullError, match="PBE: 2 entries, SCAN: 1 entries"):
        single_level_of_theory(["PBE", "PBE", "SCAN"])
    with pytest.raises(HullError, match="not given: 1"):
        single_level_of_theory(["PBE", None])


def test_no_entries():
    with pytest.raises(HullError, match="there are none"):
        elemental_space([])
