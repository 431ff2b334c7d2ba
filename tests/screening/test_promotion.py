"""Who goes on, with which reason and priority; what a tier costs; how candidates are ranked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_screen.documents.base import PotentialIdentity, Quantity
from sse_screen.documents.candidate import CandidateDoc
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.survey import PromotionRule, SurveyCrystal, SurveyTier, TierConductivity
from sse_screen.screening.costs import affordable, relaxation_core_hours, tier_core_hours
from sse_screen.screening.promotion import FIRST_TIER_PRIORITY, decide_promotion
from sse_screen.screening.ranking import pareto_front, rank_candidates

MEASURED = PromotionRule(minimum_conductivity_S_per_cm=0.1, certainty="measured")
LIKELY = PromotionRule(minimum_conductivity_S_per_cm=0.1)
POSSIBLE = PromotionRule(minimum_conductivity_S_per_cm=0.1, certainty="possible")
POTENTIAL = PotentialIdentity(name="p", code="p", code_version="1", weights_sha256="a" * 64)


def point(temperature_K, value, lower=None, upper=None, verdict="diffusive", reasons=(), slope=None):
    conductivity = Quantity(
        value=value, lower=lower, upper=upper, unit="S/cm", verdict=verdict, reasons=list(reasons)
    )
    diffusivity = conductivity.model_copy(update={"unit": "cm2/s"})
    return TierConductivity(
        temperature_K=temperature_K,
        conductivity=conductivity,
        slope_conductivity=Quantity(value=slope, unit="S/cm"),
        tracer_diffusivity=diffusivity,
        time_ps=1.0,
    )


@pytest.mark.parametrize(
    ("found", "rule", "promoted", "words"),
    [
        ([point(1000, 0.2, 0.1, 0.4)], LIKELY, True, "0.2 [0.1, 0.4] S/cm, minimum 0.1 (likely): reached"),
        ([point(1000, 0.05, 0.01, 0.3)], LIKELY, False, "below it"),
        ([point(1000, 0.05, 0.01, 0.3)], POSSIBLE, True, "reached"),
        ([point(1000, 0.05, 0.01, 0.09)], POSSIBLE, False, "below it"),
        ([point(1000, None, 0.0, 0.5, "upper_limit", slope=0.2)], MEASURED, False, "below it"),
        ([point(1000, None, 0.0, 0.5, "upper_limit", slope=0.2)], LIKELY, True, "(its slope 0.2)"),
        ([point(1000, None, 0.0, 0.5, "upper_limit", slope=0.01)], LIKELY, False, "below it"),
        ([point(1000, None, 0.0, 0.5, "upper_limit")], LIKELY, False, "(no slope)"),
        ([point(1000, 0.2, 0.1, 0.4)], MEASURED, True, "reached"),
        ([point(1000, None, 0.0, 0.5, "upper_limit")], POSSIBLE, True, "< 0.5 S/cm"),
        ([point(1000, None, 0.0, 0.05, "upper_limit")], POSSIBLE, False, "below it"),
        (
            [point(1000, None, verdict="refused", reasons=["melted"]), point(800, 0.2, 0.1, 0.4)],
            LIKELY,
            True,
            "at 800 K",
        ),
        ([point(1000, None, verdict="refused", reasons=["melted"])], POSSIBLE, False, "melted"),
        ([], LIKELY, False, "no run finished"),
    ],
)
def test_promotion_says_why(found, rule, promoted, words):
    decided = decide_promotion(found, rule)
    assert decided.promoted is promoted
    assert words in decided.reason


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_better_conductors_come_first_and_after_all_first_tiers(a, b):
    first, second = (decide_promotion([point(1000, v, v / 2, v * 2)], LIKELY).priority for v in (a, b))
    assert (first - second) * (a - b) >= 0
    possible = decide_promotion([point(1000, None, 0.0, max(a, 0.2), "upper_limit")], POSSIBLE).priority
    assert 0 < possible < first < FIRST_TIER_PRIORITY


def test_costs_are_atoms_times_steps():
    tier = SurveyTier(
        temperatures_K=[800, 1000],
        replicas=3,
        protocol=MolecularDynamicsProtocol(time_step_fs=2.0, equilibration_ps=1.0, production_ps=9.0),
    )
    assert tier.n_runs == 6
    assert tier_core_hours(tier, 100, 0.6) == pytest.approx(6 * 5000 * 100 * 0.6e-3 / 3600)
    assert relaxation_core_hours(100, 0.6) == pytest.approx(60 * 100 * 0.6e-3 / 3600)


def test_the_cheapest_are_affordable_first():
    assert affordable([3.0, 1.0, 2.0, 1.0], 4.5) == [False, True, True, True]
    assert affordable([3.0, 1.0], None) == [True, True]
    assert affordable([3.0], 2.0) == [False]


def candidate(name, value, lower=None, upper=None, hull=None, verdict="ok"):
    document = CandidateDoc.from_decisions(
        SurveyCrystal(name=name, formula="LiCl", energy_above_hull_eV_per_atom=hull),
        [],
        survey="s",
        mobile_ion="Li",
        charge_number=1,
        potential=POTENTIAL,
    )
    quantity = Quantity(value=value, lower=lower, upper=upper, unit="S/cm", verdict=verdict)
    return document.model_copy(update={"conductivity_300K": quantity})


def test_ranks_carry_what_the_intervals_allow():
    found = [
        candidate("a", 1e-2, 8e-3, 1.2e-2),
        candidate("b", 1e-3, 1e-4, 1e-2),
        candidate("c", 2e-3, 1e-3, 4e-3),
        candidate("limit", None, 0.0, 1.0, verdict="upper_limit"),
        candidate("none", None, verdict="refused"),
    ]
    ranked = rank_candidates(found)
    rows = [(r.candidate.material_name, r.rank, r.best_rank, r.worst_rank) for r in ranked]
    assert rows[:3] == [("a", 1, 1, 2), ("c", 2, 2, 3), ("b", 3, 1, 3)]
    assert {row[0] for row in rows[3:]} == {"limit", "none"}
    assert all(row[1:] == (None, None, None) for row in rows[3:])


def test_the_front_keeps_what_nothing_beats():
    found = [
        candidate("best", 1e-2, hull=0.05),
        candidate("stable", 1e-4, hull=0.0),
        candidate("middle", 1e-3, hull=0.02),
        candidate("beaten", 9e-4, hull=0.03),
        candidate("twin", 1e-3, hull=0.02),
        candidate("unknown", 1.0, hull=None),
    ]
    names = {c.material_name for c in found if c.id in pareto_front(found)}
    assert names == {"best", "stable", "middle", "twin"}


values = st.lists(st.tuples(st.floats(1e-6, 1), st.floats(0, 0.2)), min_size=1, max_size=12)


@given(values)
def test_the_front_is_what_a_comparison_of_all_pairs_gives(pairs):
    found = [candidate(f"c{i}", value, hull=hull) for i, (value, hull) in enumerate(pairs)]
    expected = {
        found[i].id
        for i, (value, hull) in enumerate(pairs)
        if not any(v >= value and h <= hull and (v, h) != (value, hull) for v, h in pairs)
    }
    assert pareto_front(found) == expected
