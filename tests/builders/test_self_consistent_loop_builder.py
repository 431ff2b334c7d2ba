"""Loops from the states that their steps leave."""

import sys
from pathlib import Path

import pytest
from builder_outputs import as_stored

from sse_screen.builders.run import run_builder
from sse_screen.builders.self_consistent_loop import SelfConsistentLoopBuilder
from sse_screen.database.stores import OUTPUTS
from sse_screen.documents.self_consistent_loop import SelfConsistentLoopDoc

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from figure_documents import loop_state

pytestmark = pytest.mark.usefixtures("settings_environment")


def test_the_latest_state_of_each_loop_makes_its_document(database):
    first = loop_state(1, verdict="running", teacher_verdict="disagrees")
    states = [loop_state(), first, loop_state(1, loop_id="9" * 24, name="other")]
    for number, state in enumerate(states):
        database[OUTPUTS].insert_one(as_stored(f"job{number}", state))
    report = run_builder(SelfConsistentLoopBuilder())
    assert (report.built, report.failed) == (2, 0)
    found = SelfConsistentLoopDoc.model_validate(
        database.self_consistent_loop.find_one({"name": "toy-loop"}, {"_id": 0})
    )
    assert [reference.id for reference in found.inputs] == ["job0"]
    assert (found.verdict, found.teacher_verdict, found.n_labels, found.n_loops) == (
        "stationary",
        "agrees",
        52,
        2,
    )
    assert (found.teacher_sha256, found.n_atoms, found.formula) == ("3" * 64, 36, "LiS")
    assert len(found.history) == 5
    assert len(found.diffusivities) == 4
    assert run_builder(SelfConsistentLoopBuilder()).built == 0


def test_a_loop_that_went_on_is_built_again_and_old_states_are_left_out(database):
    database[OUTPUTS].insert_one(as_stored("early", loop_state(1, verdict="running")))
    database[OUTPUTS].insert_one(as_stored("old", loop_state(1, loop_id="8" * 24, level_of_theory=None)))
    assert run_builder(SelfConsistentLoopBuilder()).built == 1
    database[OUTPUTS].insert_one(as_stored("later", loop_state(3)))
    assert run_builder(SelfConsistentLoopBuilder()).built == 1
    [found] = database.self_consistent_loop.find()
    assert (found["n_loops"], found["n_labels"]) == (3, 72)
