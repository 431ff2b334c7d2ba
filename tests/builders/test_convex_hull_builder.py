"""Hulls from relaxations: which belong together, and energies above the hull by hand."""

import pytest
from builder_outputs import CHGNET, as_stored, relaxation

from sse_screen.builders.convex_hull import ConvexHullBuilder
from sse_screen.builders.run import run_builder
from sse_screen.documents.convex_hull import ConvexHullDoc

pytestmark = pytest.mark.usefixtures("settings_environment")

SPACE = ["Li-S"]


def store(database, *outputs, start=0):
    database.outputs.insert_many(as_stored(f"r{start + i:02d}", found) for i, found in enumerate(outputs))


def hulls(database):
    return {
        tuple(found["components"]): ConvexHullDoc.model_validate(found)
        for found in database.convex_hull.find({}, {"_id": 0})
    }


@pytest.fixture
def filled(database):
    store(
        database,
        relaxation("Li", -1.9, ["Li"], SPACE),
        relaxation("S", -4.1, ["S"], SPACE, n_atoms=32),
        relaxation("Li2S", -3.7, ["Li", "S"], SPACE, n_atoms=12),
        relaxation("Li2S", -3.6, ["Li", "S"], SPACE, name="Li2S, hexagonal"),
        relaxation("LiS", -3.5, ["Li", "S"]),
    )
    assert run_builder(ConvexHullBuilder()).built == 1
    return database


def test_energies_by_hand(filled):
    hull = hulls(filled)["Li", "S"]
    assert hull.stable_formulas == ["Li", "Li2S", "S"]
    assert hull.n_entries == 5
    assert hull.potential == CHGNET
    assert "c" * 12 in hull.level_of_theory
    metastable = hull.entries_of("LiS")[0]
    # LiS -> 3/4 of its atoms as Li2S, 1/4 as S
    assert metastable.energy_above_hull_eV_per_atom == pytest.approx(-3.5 - (0.75 * -3.7 + 0.25 * -4.1))
    ground, other = hull.entries_of("Li2S")
    assert (ground.cell_formula, ground.n_atoms) == ("Li8S4", 12)
    assert other.energy_above_hull_eV_per_atom == pytest.approx(0.1)
    assert other.energy_above_hull_eV_per_formula_unit == pytest.approx(0.3)
    ids = {source["output"]["material_id"] for source in filled.outputs.find()}
    assert {entry.entry_id for entry in hull.entries} == ids


def test_a_new_competing_phase_rebuilds_its_hull_only(filled):
    store(
        filled,
        relaxation("Na", -1.3, ["Na"], ["Na-O"]),
        relaxation("O", -4.9, ["O"], ["Na-O"]),
        relaxation("Na2O", -3.8, ["Na", "O"], ["Na-O"]),
        start=20,
    )
    assert run_builder(ConvexHullBuilder()).built == 1
    assert set(hulls(filled)) == {("Li", "S"), ("Na", "O")}
    store(filled, relaxation("Li2S2", -3.9, ["Li", "S"], name="new"), start=40)
    assert run_builder(ConvexHullBuilder()).built == 1
    assert hulls(filled)["Li", "S"].n_entries == 6
    assert run_builder(ConvexHullBuilder()).built == 0


def test_levels_of_theory_are_never_mixed(filled):
    tight = {"maximum_force_eV_per_A": 0.01}
    other = CHGNET.model_copy(update={"weights_sha256": "d" * 64})
    for i, changes in enumerate([tight, {"potential": other}]):
        store(
            filled,
            relaxation("Li", -2.9, ["Li"], SPACE, **changes),
            relaxation("S", -5.1, ["S"], SPACE, **changes),
            relaxation("LiS", -7.1, ["Li", "S"], **changes),
            start=20 * (i + 1),
        )
    assert run_builder(ConvexHullBuilder()).built == 2
    stored = list(filled.convex_hull.find())
    assert sorted(found["n_entries"] for found in stored) == [3, 3, 5]
    assert len({found["level_of_theory"] for found in stored}) == 3


def test_the_name_of_a_potential_does_not_count(filled):
    renamed = CHGNET.model_copy(update={"name": "chgnet-0.3.0"})
    store(filled, relaxation("Li2S", -3.65, ["Li", "S"], name="c", potential=renamed), start=20)
    assert run_builder(ConvexHullBuilder()).built == 1
    assert hulls(filled)["Li", "S"].n_entries == 6


def test_fixed_cell_relaxations_are_left_out(filled):
    store(filled, relaxation("LiS", -9.0, ["Li", "S"], relax_cell=False), start=20)
    assert run_builder(ConvexHullBuilder()).built == 0


def test_a_phase_whose_relaxation_did_not_converge_is_left_out_and_named(filled):
    assert hulls(filled)["Li", "S"].warnings == []
    unfinished = {"converged": False, "maximum_force_eV_per_A": 0.237}
    unconverged = relaxation("LiS", -9.0, ["Li", "S"], name="x").model_copy(update=unfinished)
    store(filled, unconverged, start=20)
    assert run_builder(ConvexHullBuilder()).built == 1
    hull = hulls(filled)["Li", "S"]
    assert hull.n_entries == 5
    assert hull.stable_formulas == ["Li", "Li2S", "S"]
    (warning,) = hull.warnings
    assert "LiS (0.24 eV/angstrom)" in warning
    # its material relaxed by another job that converged: nothing is missing any more
    store(filled, relaxation("LiS", -3.4, ["Li", "S"], name="x"), start=30)
    assert run_builder(ConvexHullBuilder()).built == 1
    assert hulls(filled)["Li", "S"].warnings == []
    assert hulls(filled)["Li", "S"].n_entries == 6


def test_end_members_take_those_that_name_them(database):
    space = ["P2S5-Li2S"]
    store(
        database,
        relaxation("Li2S", -3.7, ["Li", "S"], space),
        relaxation("P2S5", -4.4, ["P", "S"], space),
        relaxation("Li3PS4", -4.3, ["Li", "P", "S"], space),
        relaxation("Li", -1.9, ["Li"]),
    )
    assert run_builder(ConvexHullBuilder()).built == 1
    hull = hulls(database)["Li2S", "P2S5"]
    assert (hull.n_entries, hull.stable_formulas) == (3, ["Li2S", "Li3PS4", "P2S5"])


def test_a_single_composition_makes_no_hull_yet(database):
    store(database, relaxation("Li", -1.9, ["Li"], SPACE))
    assert run_builder(ConvexHullBuilder()).groups == 0
    store(database, relaxation("S", -4.1, ["S"], SPACE), start=5)
    assert run_builder(ConvexHullBuilder()).built == 1


def test_thresholds_are_parameters(filled):
    builder = ConvexHullBuilder({"below_other_compounds_eV_per_atom": 0.5})
    assert run_builder(builder).built == 1
    assert hulls(filled)["Li", "S"].parameters == {"below_other_compounds_eV_per_atom": 0.5}


def test_a_relaxation_taken_over_for_another_space_is_an_entry_of_both(filled):
    ends = ["Li2O-Li2S"]
    again = relaxation("Li2S", -3.7, ["Li", "S"], ends, n_atoms=12).model_copy(update={"reused_from": "r02"})
    store(filled, again, relaxation("Li2O", -4.5, ["Li", "O"], ends, n_atoms=12), start=10)
    run_builder(ConvexHullBuilder())
    found = hulls(filled)
    assert len(found["Li", "S"].entries_of("Li2S")) == 2  # the two crystals, none of them twice
    assert len(found["Li2O", "Li2S"].entries_of("Li2S")) == 1
