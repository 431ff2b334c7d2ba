"""A survey from its folder to the decisions: real CHGNet, real MongoDB, some crystals must fail."""

import json

import pytest
from pymatgen.core import Structure

from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.structures.filters import Candidate
from sse_screen.structures.prototypes import build_prototype
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import counts_by_state
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan
from sse_screen.workflows.survey import RunsNotOverError
from sse_screen.workflows.survey_budget import (
    BUDGETS,
    ask,
    grant,
    measured_speed,
    open_budget,
    revise,
    settle,
)
from sse_screen.workflows.survey_planning import _prepared, plan_survey
from sse_screen.workflows.survey_status import survey_status


def tier(*temperatures_K, promote=None, production_ps=0.6, time_step_fs=2.0):
    protocol = {"equilibration_ps": 0.1, "production_ps": production_ps, "time_step_fs": time_step_fs}
    return {"temperatures_K": list(temperatures_K), "protocol": protocol, "promote": promote}


@pytest.fixture
def folder(tmp_path):
    """Two that may be run, one that must fail in every way a filter knows."""
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    for name in ("li3n", "lif", "licl", "ycl3"):
        build_prototype(name).to(str(crystals / f"{name}.cif"))
    (crystals / "broken.cif").write_text("this is no CIF")
    (crystals / "charged.vasp").write_text(
        "LiCl2\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi Cl\n1 2\ndirect\n0 0 0\n0.5 0.5 0.5\n0.5 0.5 0\n"
    )
    copy = build_prototype("lif")
    copy.to(str(crystals / "same_as_lif.vasp"), fmt="poscar")
    build_prototype("lgps").to(str(crystals / "lgps.cif"))
    return crystals


def survey(folder, **changes):
    content = {
        "crystals": str(folder),
        "minimum_length_A": 3.5,
        "maximum_supercell_atoms": 30,
        "tiers": [
            tier(1500, promote={"minimum_conductivity_S_per_cm": 0.01, "certainty": "possible"}),
            tier(1500, 1000, 10000, production_ps=1.6, time_step_fs=5.0),  # the hottest must explode
        ],
    }
    return Campaign.model_validate({"name": "small-survey", "survey": content | changes})


def test_every_crystal_is_accounted_for_before_anything_runs(folder):
    planned = plan_campaign(survey(folder)).survey
    outcomes = {crystal.name: crystal.refused_by for crystal in planned.output.crystals}
    assert outcomes == {
        "li3n.cif": None,
        "lif.cif": None,
        "licl.cif": None,
        "ycl3.cif": "mobile_ion",
        "broken.cif": "readable",
        "charged.vasp": "neutral",
        "same_as_lif.vasp": "copies",
        "lgps.cif": "supercell",
    }
    reasons = {crystal.name: crystal.reason for crystal in planned.output.crystals}
    assert "same crystal as lif.cif" in reasons["same_as_lif.vasp"]
    assert "50 atoms, more than 30" in reasons["lgps.cif"]
    counts = {count.filter: (count.tested, count.refused) for count in planned.output.filters}
    assert counts["readable"] == (8, 1)
    assert counts["supercell"] == (5, 1)
    assert counts["copies"] == (4, 1)
    assert counts["budget"] == (3, 0)
    assert len(planned.flows) == 1 + 3


def test_an_element_that_the_potential_does_not_know_is_refused_for_its_crystal_alone(folder):
    content = survey(folder)
    known = plan_campaign(content).potential.model_copy(
        update={"elements": ["F", "Li", "N", "Cl", "Ge", "S"]}
    )
    planned = plan_survey(content, known, [])
    reasons = {c.name: c.reason for c in planned.output.crystals if c.refused_by == "potential"}
    assert list(reasons) == ["lgps.cif"]
    assert "not trained on P" in reasons["lgps.cif"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tiers": [tier(900), tier(900)]}, "tier 1 needs promote"),
        ({"tiers": [tier(900, promote={"minimum_conductivity_S_per_cm": 1})]}, "the last tier has promote"),
        ({"tiers": []}, "at least 1 item"),
        ({"tiers": [tier(900, 900)]}, "a temperature is given twice"),
        ({"filters": {"mobile_ion": "Xx"}}, "is no element"),
        ({"filters": {"allow_disorder": True}}, "allow_disorder.*give order: ewald or order: random"),
        ({"budget_core_hours": float("inf")}, "budget_core_hours.*finite"),
        ({"ms_per_atom_and_step": float("nan")}, "ms_per_atom_and_step.*finite"),
    ],
)
def test_a_survey_that_cannot_be_is_refused(folder, changes, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        survey(folder, **changes)


def test_a_budget_admits_the_cheapest_first_tiers(folder):
    whole = plan_campaign(survey(folder)).survey
    costs = sorted(whole.first_tier_core_hours.values())
    planned = plan_campaign(survey(folder, budget_core_hours=costs[0] * 1.1)).survey
    assert list(planned.first_tier_core_hours.values()) == costs[:1]
    refused = next(c for c in planned.output.crystals if c.refused_by == "budget")
    assert "cheaper ones fill the budget" in refused.reason
    with pytest.raises(InputError, match="no crystal passes"):
        plan_campaign(survey(folder, budget_core_hours=costs[0] * 0.9))


def test_a_survey_runs_through_its_tiers_whatever_fails(folder, database, settings_environment):
    pad = launchpad(settings_environment)
    plan = plan_campaign(survey(folder))
    broken = next(flow for flow in plan.flows if flow.name.startswith("licl"))
    broken.jobs[0].function_args = (*broken.jobs[0].function_args, "too", "many", "arguments")
    submit_plan(plan, database, pad)
    failed = launch_workers(settings_environment, pad, 1, lambda _counts: None)
    assert counts_by_state(pad).get("WAITING", 0) == 0
    decisions = [d["output"] for d in database[OUTPUTS].find({"output.kind": "survey_decision"})]
    way = {(d["material_name"], d["tier"]): d for d in decisions}
    assert way[("licl.cif", 0)]["action"] == "failed"
    assert "positional argument" in way[("licl.cif", 0)]["reason"]
    promoted, last = way[("li3n.cif", 1)], way[("li3n.cif", 2)]
    assert promoted["action"] == "promoted"
    assert "reached" in promoted["reason"]
    (run,) = database[OUTPUTS].find({"output.kind": "molecular_dynamics", "uuid": promoted["inputs"][0]})
    assert (
        promoted["next_tier_core_hours"] > 2 * run["output"]["total_time_s"] / 3600
    )  # three runs, each longer
    assert last["action"] == "finished"
    assert "1 of 3 runs failed" in last["reason"]
    assert "exploded" in last["reason"]
    assert [c["temperature_K"] for c in last["conductivities"]] == [1500, 1000]
    assert failed == 1 + sum("1 of 3 runs failed" in d["reason"] for d in decisions)
    priorities = {
        f["name"]: f["spec"]["_priority"] for f in pad.fireworks.find({"spec._priority": {"$ne": None}})
    }
    assert priorities["li3n.cif tier 1 1500 K run 1"] == 2000
    assert 0 < priorities["li3n.cif tier 2 start"] == priorities["li3n.cif tier 2 1500 K run 1"] < 2000
    assert priorities["li3n.cif tier 2 judgement"] == 3000
    assert way[("lif.cif", 1)]["action"] in ("promoted", "stopped")
    (record,) = database[OUTPUTS].find({"output.kind": "survey"})
    assert len(record["output"]["crystals"]) == 8
    spent = database[BUDGETS].find_one()
    assert spent["spent_core_hours"] == pytest.approx(sum(spent["entries"].values()))
    measured = sum(d["core_hours"] for d in decisions)
    assert spent["spent_core_hours"] == pytest.approx(measured)
    assert way[("licl.cif", 0)]["core_hours"] < min(plan.survey.first_tier_core_hours.values())
    tiers = survey_status(database)["small-survey"]
    assert [(tier["tier"], tier["entered"]) for tier in tiers][:2] == [(0, 0), (1, 3)]
    assert sum(tier["failed"] for tier in tiers) == 1
    assert all(tier["on their way"] == 0 for tier in tiers)
    assert "mongodb://" not in json.dumps(list(pad.fireworks.find()), default=str)


def test_a_job_that_was_put_back_is_not_taken_for_a_failed_one(folder, database, settings_environment):
    pad = launchpad(settings_environment)
    plan = plan_campaign(survey(folder))
    submit_plan(plan, database, pad)
    flow = next(flow for flow in plan.flows if flow.name.startswith("li3n"))
    relaxation, started = flow.jobs
    maker = started.function.__self__
    with pytest.raises(RunsNotOverError, match="not over"):
        maker.start.original(maker, started.function_args[0], None, 1, 2000, [relaxation.uuid])


def test_a_budget_is_granted_once_and_never_twice(database):
    open_budget(database, "s", 1.0)
    grant(database, "s", {"a-1": 0.5})
    grant(database, "s", {"a-1": 0.5, "b-1": 0.2})
    refused = ask(database, "s", "a-2", 0.4)
    assert (refused.granted, refused.left_core_hours) == (False, pytest.approx(0.3))
    settle(database, "s", "a-1", 0.1, (0.1, 1000))
    settle(database, "s", "a-1", 0.1, (0.1, 1000))
    settle(database, "s", "unknown", 5.0, (5.0, 1000))
    first, again = ask(database, "s", "a-2", 0.4), ask(database, "s", "a-2", 0.4)
    assert first.granted
    assert again.granted
    assert again.left_core_hours == pytest.approx(0.3)
    open_budget(database, "s", None)
    assert ask(database, "s", "c-1", 100.0).granted


def test_what_has_ended_tells_the_speed_for_what_has_not_started(database):
    open_budget(database, "s", 1.0)
    grant(database, "s", {"a-1": 0.25, "b-1": 0.25, "c-1": 0.25})
    assert measured_speed(database, "s") is None
    settle(database, "s", "a-1", 0.5, (0.5, 4_500_000))  # 1800 s: twice as dear as thought
    assert measured_speed(database, "s") == pytest.approx(0.4)
    better = revise(database, "s", "b-1", 0.2)
    assert (better.granted, better.left_core_hours) == (True, pytest.approx(0.05))
    refused = revise(database, "s", "c-1", 0.5)
    assert not refused.granted
    assert refused.left_core_hours == pytest.approx(0.3)  # its grant was given back
    again = revise(database, "s", "a-1", 0.9)  # it was run: whatever it would be thought to take now
    assert again.granted
    assert database[BUDGETS].find_one()["spent_core_hours"] == pytest.approx(0.7)
    assert not revise(database, "s", "unknown-1", 0.5).granted


def test_a_survey_slower_than_thought_stops_at_its_budget(folder, database, settings_environment):
    """The guess says that all first tiers fit; the first of them shows that they do not."""
    pad = launchpad(settings_environment)
    tiers = [tier(1500)]
    plan = plan_campaign(survey(folder, tiers=tiers, ms_per_atom_and_step=1e-4, budget_core_hours=1e-4))
    assert len(plan.survey.first_tier_core_hours) == 3
    submit_plan(plan, database, pad)
    assert launch_workers(settings_environment, pad, 1, lambda _counts: None) == 0
    decisions = [d["output"] for d in database[OUTPUTS].find({"output.kind": "survey_decision"})]
    assert sorted(d["action"] for d in decisions) == ["finished", "over_budget", "over_budget"]
    refused = next(d for d in decisions if d["action"] == "over_budget")
    assert refused["tier"] == 0
    assert "tier 1 would take" in refused["reason"]
    assert database[OUTPUTS].count_documents({"output.kind": "molecular_dynamics"}) == 1
    assert all(d["core_hours"] > 0 for d in decisions)  # the others were relaxed before they were refused
    measured = sum(d["core_hours"] for d in decisions)
    assert database[BUDGETS].find_one()["spent_core_hours"] == pytest.approx(measured)


def test_an_ion_of_unknown_charge_is_named_once(folder):
    with pytest.raises(InputError, match=r"^survey: give charge_number, the charge of N$"):
        plan_campaign(survey(folder, filters={"mobile_ion": "N"}))


def test_a_crystal_that_cannot_be_ordered_is_counted_under_ordering(tmp_path):
    third = Structure(build_prototype("lif").lattice, [{"Li": 0.3}, "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    odd = Candidate("odd.cif", third)
    accepted, refused = _prepared(
        [odd], survey(tmp_path, order="ewald").survey, resolve_potential("chgnet"), 1
    )
    assert not accepted
    assert [r.filter for r in refused] == ["ordering"]


def _fast(folder, name, relaxation):
    changed = {"name": name, "potential": "licl-fumi-tosi", "relaxation": relaxation}
    content = survey(folder, tiers=[tier(900)]).model_dump(mode="json") | changed
    return plan_campaign(Campaign.model_validate(content))


def test_every_end_settles_the_budget_and_what_is_taken_over_costs_nothing(
    tmp_path, database, settings_environment
):
    build_prototype("licl").to(str(tmp_path / "licl.cif"))
    pad = launchpad(settings_environment)
    hopeless = {"maximum_steps": 1, "maximum_force_eV_per_A": 1e-6}
    for name, relaxation in (("first", {}), ("again", {}), ("fails", hopeless)):
        submit_plan(_fast(tmp_path, name, relaxation), database, pad)
        launch_workers(settings_environment, pad, 1, lambda _counts: None)
    decisions = {
        d["output"]["survey"]: d["output"] for d in database[OUTPUTS].find({"output.kind": "survey_decision"})
    }
    spent = {b["_id"]: b["spent_core_hours"] for b in database[BUDGETS].find()}
    assert {name: d["action"] for name, d in decisions.items()} == {
        "first": "finished",
        "again": "finished",
        "fails": "failed",
    }
    computed = database[OUTPUTS].find(
        {"metadata.campaign": "first", "output.total_time_s": {"$exists": True}}
    )
    seconds = [d["output"]["total_time_s"] for d in computed]
    assert len(seconds) == 2  # relaxation and run
    assert spent["first"] == pytest.approx(sum(seconds) / 3600)
    assert spent["again"] == decisions["again"]["core_hours"] == 0
    assert spent["fails"] == pytest.approx(decisions["fails"]["core_hours"])
    assert 0 < spent["fails"] < 60 / 3600


def test_a_survey_that_has_grown_keeps_what_it_has_cost(database):
    open_budget(database, "s", 1.0)
    grant(database, "s", {"a-1": 0.5})
    settle(database, "s", "a-1", 0.4, (0.3, 1000))
    settle(database, "s", "a-1", 0.0, (0.0, 0))  # judged again, all of it taken over
    budget = database[BUDGETS].find_one()
    assert budget["spent_core_hours"] == pytest.approx(0.4)
    assert measured_speed(database, "s") == pytest.approx(0.3 * 3.6e6 / 1000)
