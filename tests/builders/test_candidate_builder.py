"""Candidates of a survey from records, decisions, fits and hulls."""

import pytest
from builder_outputs import CHGNET, as_stored, molecular_dynamics, relaxation, trajectory_bytes

from sse_screen.builders.activation_energy import ActivationEnergyBuilder
from sse_screen.builders.candidate import CandidateBuilder
from sse_screen.builders.convex_hull import ConvexHullBuilder
from sse_screen.builders.diffusivity import DiffusivityBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.base import content_hash
from sse_screen.documents.candidate import CandidateDoc
from sse_screen.documents.diffusivity import group_of
from sse_screen.documents.survey import (
    PromotionRule,
    SurveyCrystal,
    SurveyDecisionOutput,
    SurveyOutput,
    SurveyTier,
)
from sse_screen.screening.ranking import rank_candidates

pytestmark = pytest.mark.usefixtures("settings_environment")

JUMPS = {600.0: 350, 800.0: 800, 1100.0: 1500}


def crystal(name, **changes):
    fields = {"name": name, "material_id": content_hash(name), "formula": "LiS", "n_atoms": 48}
    return SurveyCrystal(**(fields | changes))


def record(crystals):
    rule = PromotionRule(minimum_conductivity_S_per_cm=0.01)
    return SurveyOutput(
        calculation_key=content_hash([c.model_dump() for c in crystals]),
        survey="s",
        mobile_ion="Li",
        charge_number=1,
        potential=CHGNET,
        tiers=[SurveyTier(temperatures_K=[1100], promote=rule), SurveyTier(temperatures_K=list(JUMPS))],
        budget_core_hours=None,
        estimated_core_hours=[1.0, 3.0],
        filters=[],
        crystals=crystals,
    )


def decision(name, tier, action, reason="because", protocol_id=None):
    return SurveyDecisionOutput(
        calculation_key=f"{name} {tier} {action}",
        survey="s",
        material_id=content_hash(name),
        material_name=name,
        tier=tier,
        action=action,
        reason=reason,
        protocol_id=protocol_id,
        core_hours=0.5,
    )


def insert(database, uuid, output, completed_at="2026-01-01T00:00:00"):
    database.outputs.insert_one(as_stored(uuid, output) | {"completed_at": completed_at})


@pytest.fixture
def filled(database):
    """A conductor that went through, one that was stopped, one that waits, one refused, one that failed."""
    for i, (temperature_K, jumps) in enumerate(JUMPS.items()):
        data, _ = trajectory_bytes(jumps, i)
        output = molecular_dynamics(BlobStore(database).put(data), temperature_K=temperature_K, seed=i)
        insert(database, f"md{i}", output)
    protocol_id = group_of(output.model_dump())["protocol_id"]
    given = crystal("given", energy_above_hull_eV_per_atom=0.02, band_gap_eV=3.0)
    refused = SurveyCrystal(name="refused", refused_by="readable", reason="no CIF")
    crystals = [crystal("walker"), given, crystal("waits"), crystal("lost"), refused]
    insert(database, "record", record(crystals))
    insert(database, "d1", decision("walker", 1, "promoted", protocol_id=protocol_id))
    insert(database, "d2", decision("walker", 2, "finished", protocol_id=protocol_id))
    insert(database, "d3", decision("given", 1, "promoted"))
    insert(database, "d4", decision("given", 1, "over_budget", "nothing left"))
    insert(database, "d5", decision("lost", 0, "failed", "exploded"))
    for name, formula, elements, energy in (
        ("li", "Li", ["Li"], -1.9),
        ("s", "S", ["S"], -4.1),
        ("li2s", "Li2S", ["Li", "S"], -4.0),
        ("walker", "LiS", ["Li", "S"], -3.9),
    ):
        insert(database, f"r-{name}", relaxation(formula, energy, elements, ["Li-S"], name=name))
    build(database)
    return database


def build(database):
    builders = (DiffusivityBuilder, ActivationEnergyBuilder, ConvexHullBuilder, CandidateBuilder)
    reports = [run_builder(builder()) for builder in builders]
    assert [report.failed for report in reports] == [0, 0, 0, 0]
    return reports[-1]


def candidates(database):
    found = database.candidate.find({}, {"_id": 0})
    return {d["material_name"]: CandidateDoc.model_validate(d) for d in found}


def test_every_crystal_has_its_outcome_with_a_reason(filled):
    outcomes = {name: (c.outcome, c.tier, c.reason) for name, c in candidates(filled).items()}
    assert outcomes == {
        "walker": ("finished", 2, "because"),
        "given": ("over_budget", 1, "nothing left"),
        "waits": ("waiting", 0, "no tier was judged yet"),
        "lost": ("failed", 0, "exploded"),
        "refused": ("refused", 0, "readable: no CIF"),
    }


def test_numbers_are_those_of_the_fit_and_of_the_hull(filled):
    found = candidates(filled)
    walker = found["walker"]
    fit = filled.activation_energy.find_one({"material_id": walker.material_id})
    assert walker.activation_energy_id == fit["id"]
    assert walker.conductivity_300K.model_dump() == fit["conductivity_300K"]
    assert walker.conductivity_300K.value > 0
    hull = filled.convex_hull.find_one()
    (entry,) = [e for e in hull["entries"] if e["entry_id"] == walker.material_id]
    assert walker.energy_above_hull_eV_per_atom == entry["energy_above_hull_eV_per_atom"] > 0
    assert (walker.energy_above_hull_source, walker.convex_hull_id) == ("computed", hull["id"])
    given = found["given"]
    assert (given.energy_above_hull_eV_per_atom, given.energy_above_hull_source) == (0.02, "given")
    assert given.band_gap_eV == 3.0
    assert given.conductivity_300K.value is None
    assert {reference.collection for reference in walker.inputs} == {
        "outputs",
        "activation_energy",
        "convex_hull",
    }


def test_building_again_builds_what_changed_and_nothing_else(filled):
    assert build(filled).built == 0
    insert(filled, "d6", decision("waits", 1, "stopped", "slow"), "2026-01-02")
    assert build(filled).built == 1
    assert candidates(filled)["waits"].outcome == "stopped"


def test_a_survey_that_grew_takes_the_place_of_the_earlier(filled):
    grown = [crystal("walker"), crystal("new")]
    insert(filled, "again", record(grown), "2026-02-01")
    report = build(filled)
    assert (report.built, report.deprecated) == (2, 4)
    current = filled.candidate.distinct("material_name", {"deprecated": False})
    assert current == ["new", "walker"]


def test_only_numbers_are_ranked(filled):
    ranked = rank_candidates(list(candidates(filled).values()))
    assert [(r.candidate.material_name, r.rank) for r in ranked] == [
        ("walker", 1),
        ("given", None),
        ("waits", None),
        ("lost", None),
        ("refused", None),
    ]
