"""Every command explains itself: what it does, each option, and an example that names it."""

import pytest
import typer
from typer.testing import CliRunner

from sse_screen.cli.main import app


def commands(command, *names):
    """Give the names of every command below one, groups apart."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from commands(below, *names, name)
    else:
        yield names, command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_a_command_explains_itself_with_an_example(names):
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "400"})
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.split())
    assert "xample" in text
    assert text.count(f"sse-screen {' '.join(names)}") >= 2 - ("Usage: sse-screen" not in text)
    for parameter in COMMANDS[names].params:
        assert parameter.help or parameter.name == "help", parameter.name


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_refused(names):
    refused = CliRunner().invoke(app, [*names, "--no-such-option"])
    assert refused.exit_code == 2
    assert "No such option" in refused.output
