"""Elements replaced on their sites."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.structures.substitution import substitute_species


def rock_salt() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.1), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 0.99))
def test_composition_is_what_was_asked_for_and_the_cell_stays(share):
    found = substitute_species(rock_salt(), {"Cl": {"Cl": 1 - share, "Br": share}})
    assert found.composition["Br"] == pytest.approx(4 * share)
    assert found.composition["Cl"] == pytest.approx(4 * (1 - share))
    assert found.composition["Li"] == 4
    assert found.lattice == rock_salt().lattice


def test_whole_replacement_leaves_no_partial_occupancy():
    found = substitute_species(rock_salt(), {"Cl": {"Br": 1.0, "Cl": 0.0}})
    assert found.is_ordered
    assert found.composition.reduced_formula == "LiBr"


def test_two_elements_exchanged_at_once():
    found = substitute_species(rock_salt(), {"Cl": {"Li": 1.0}, "Li": {"Cl": 1.0}})
    assert found.composition.reduced_formula == "LiCl"
    assert found[0].specie.symbol != rock_salt()[0].specie.symbol


def test_partial_occupancy_is_shared_out():
    crystal = rock_salt()
    crystal.replace_species({"Cl": {"Cl": 0.5}})
    found = substitute_species(crystal, {"Cl": {"Cl": 0.5, "Br": 0.5}})
    assert found.composition["Br"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("substitutions", "message"),
    [
        ({"Na": {"Li": 1.0}}, "Na is not in it; it has Cl, Li"),
        ({"Cl": {"Xx": 1.0}}, "substitute.Cl: Xx is no element"),
        ({"Cl": {"Br": 0.5}}, "must add up to 1"),
        ({"Cl": {"Br": 1.5, "Cl": -0.5}}, "must add up to 1"),
    ],
)
def test_refused(substitutions, message):
    with pytest.raises(InputError, match=message):
        substitute_species(rock_salt(), substitutions, "salt")
