"""What ``sse-screen loop status`` says."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.database.stores import OUTPUTS

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from figure_documents import loop_state

pytestmark = pytest.mark.usefixtures("settings_environment")


def status(database, state, *options):
    database[OUTPUTS].insert_one({"uuid": "job", "index": 1, "output": state.model_dump(mode="json")})
    result = CliRunner().invoke(app, ["loop", "status", "toy-loop", *options], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_teacher_stands_beside_the_student(database):
    printed = status(database, loop_state())
    assert "teacher's D" in printed
    [line] = [line for line in printed.splitlines() if "4.00e-06" in line]
    assert "8.00e-06" in line
    assert "toy-loop: stationary, 52 labels" in printed
    assert "toy-loop: the student diffuses like its teacher" in printed


@pytest.mark.parametrize(
    ("verdict", "words"), [("disagrees", "does not diffuse like"), ("unresolved", "is not resolved")]
)
def test_what_is_not_shown_is_said(database, verdict, words):
    assert words in status(database, loop_state(teacher_verdict=verdict))


def test_a_loop_that_was_not_compared_says_nothing_of_the_teacher(database):
    state = loop_state(teacher_diffusivities=[], teacher_verdict=None)
    assert "teacher" not in status(database, state)
    assert json.loads(status(database, state, "--json"))["teacher_verdict"] is None
