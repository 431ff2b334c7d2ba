"""Runs go on until D is known well enough or cannot be, by a real worker, as if run that long at once."""

import pytest
from fault_tools import MD, check_nothing_lost_nothing_twice
from pydantic import ValidationError

from sse_screen.builders.diffusivity import DiffusivityBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import failures
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan


def campaign(name="longer", **changes):
    dynamics = {
        "temperatures_K": [400],
        "replicas": 2,
        "minimum_length_A": 4.5,
        "protocol": {"equilibration_ps": 0.1, "production_ps": 0.4, "frame_interval_fs": 4.0},
        "extension": {"relative_error": 0.2, "maximum_ps": 3.6},
    }
    content = {"name": name, "molecular_dynamics": dynamics | changes, "materials": [{"prototype": "licl"}]}
    return Campaign.model_validate(content)


def test_runs_go_on_from_their_ends_and_every_decision_is_stored(database, settings_environment):
    pad = launchpad(settings_environment)
    submit_plan(plan_campaign(campaign()), database, pad)
    assert launch_workers(settings_environment, pad, 1, lambda _counts: None) == 0, failures(pad)
    decisions = [d["output"] for d in database[OUTPUTS].find({"output.kind": "extension_decision"})]
    decisions.sort(key=lambda decision: decision["production_ps"])
    # without a jump 29 could still come in 3.6 ps; after a whole picosecond no more
    assert [decision["action"] for decision in decisions] == ["extended", "no_diffusion"]
    assert [decision["production_ps"] for decision in decisions] == [0.4, 1.0]
    assert "too few for a diffusivity" in decisions[1]["reason"]
    # the relaxation, two runs and a decision, and again two runs and a decision
    check_nothing_lost_nothing_twice(pad, database, 7)  # each run equals the unbroken one of its length
    assert database[OUTPUTS].distinct("metadata.campaign") == ["longer"]
    runs = list(database[OUTPUTS].find(MD))
    long = [run for run in runs if run["output"]["protocol"]["production_ps"] == 1.0]
    short = {run["uuid"] for run in runs} - {run["uuid"] for run in long}
    assert {run["output"]["continued_from"] for run in long} == short
    assert all(run["output"]["n_frames"] == 250 for run in long)
    assert not any(run["output"]["stopped"] for run in runs)
    # of runs that begin alike the builder takes the longest
    assert run_builder(DiffusivityBuilder()).built == 1
    assert database["diffusivity"].find_one()["n_replicas"] == 2


def test_a_limit_that_leaves_nothing_to_extend_is_refused():
    with pytest.raises(ValidationError, match="leaves nothing"):
        campaign(extension={"maximum_ps": 0.4})


def test_a_judged_run_does_not_go_on_from_one_that_nobody_judged(database, settings_environment):
    """What ran on after its framework had failed is no start of a run that would have ended there."""
    pad = launchpad(settings_environment)
    for production_ps, stop_early in ((0.2, False), (0.4, True)):
        steps = {"equilibration_ps": 0.1, "production_ps": production_ps, "frame_interval_fs": 4.0}
        options = {"protocol": steps, "extension": None, "replicas": 1, "stop_early": stop_early}
        submit_plan(plan_campaign(campaign(f"to-{production_ps}", **options)), database, pad)
        assert launch_workers(settings_environment, pad, 1, lambda _counts: None) == 0, failures(pad)
    runs = [run["output"] for run in database[OUTPUTS].find(MD)]
    assert len({run["history_key"] for run in runs}) == 1
    assert [run["continued_from"] for run in runs] == [None, None]
