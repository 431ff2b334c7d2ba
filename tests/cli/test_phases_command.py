"""Windows, selections and phases from tables, and what is refused."""

import json
import math

import numpy as np
import pytest
from scipy.constants import physical_constants
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError

K_B = physical_constants["Boltzmann constant in eV/K"][0]
LI_S = "formula,energy_eV_per_atom\nLi,-1.9\nS,-4.1\nLi2S,-4.0\n"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(*arguments):
    result = run(*arguments)
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def answer(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def table(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_window_of_lithium_sulphide_ends_where_it_gives_sulphur(table):
    found = answer("stability-window", table(LI_S), "Li2S", "--mobile-element", "Li", "--charge", 1)
    # Li2S -> 2 Li + S: the formation energy of a formula unit over two electrons
    assert found["oxidation_V"] == pytest.approx(-(3 * -4.0 - 2 * -1.9 - -4.1) / 2)
    assert found["reduction_V"] == pytest.approx(0.0)
    assert "->" in found["oxidation_reaction"]
    assert (
        run("stability-window", table(LI_S), "Li2S", "--mobile-element", "Li", "--charge", 1).exit_code == 0
    )


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (LI_S, ("Li2S", "--mobile-element", "Na", "--charge", 1), "holds no Na"),
        (LI_S, ("Li2S", "--mobile-element", "Li", "--charge", 0), "must not be zero"),
        (LI_S, ("Li2S2", "--mobile-element", "Li", "--charge", 1), "no entry of composition Li2S2"),
        (LI_S.replace("S,-4.1\n", ""), ("Li2S", "--mobile-element", "Li", "--charge", 1), "S is missing"),
    ],
)
def test_windows_that_cannot_be(table, text, arguments, message):
    path = table(text)
    found = refused("stability-window", path, *arguments)
    assert found.startswith(str(path))
    assert message in found


def test_selection_holds_the_ground_states_and_keeps_columns(table):
    rng = np.random.default_rng(0)
    lines = [f"Li{x}Na{4 - x},{-1 - 0.1 * rng.random()},{x}-{i}" for x in range(5) for i in range(20)]
    path = table("formula,energy_eV_per_atom,name\n" + "\n".join(lines))
    chosen = answer(
        *("select-entries", path, "--number", 30, "--basis", "formula_unit", "--temperature-K", 800),
        *("--seed", 3),
    )
    assert len(chosen) == len({c["name"] for c in chosen}) == 30
    ground = [c for c in chosen if c["ground_state"]]
    assert sorted(c["name"].split("-")[0] for c in ground) == list("01234")
    energies = {}
    for line in lines:
        formula, energy, _ = line.split(",")
        energies[formula] = min(energies.get(formula, 0), float(energy))
    for found in ground:
        assert float(found["energy_eV_per_atom"]) == energies[found["formula"]]
    assert "basis" in run("select-entries", path, "--number", 3).output
    few = refused("select-entries", path, "--number", 2, "--basis", "atom")
    assert few.startswith(str(path))


def test_phases_of_one_and_of_two_configurations(table):
    ordered = table("energy_eV_per_cell,degeneracy\n-10.0,1\n", "ordered.csv")
    mixed = table("energy_eV_per_cell,degeneracy\n-9.8,4\n", "mixed.csv")
    found = answer(
        "compare-phases", ordered, mixed, "--atoms-per-cell", "4,4", "--temperatures-K", "300,3000"
    )
    expected = [1e3 * (0.2 - K_B * t * math.log(4)) / 4 for t in (300, 3000)]
    assert [f["difference_meV_per_atom"] for f in found] == pytest.approx(expected)
    assert [f["stable"] for f in found] == ["first", "second"]
    with_F = table("energy_eV_per_cell,degeneracy,free_energy_eV_per_cell_300K\n-9.8,4,-9.9\n", "f.csv")
    text = refused("compare-phases", ordered, with_F, "--atoms-per-cell", "4,4", "--temperatures-K", "300")
    assert str(ordered) in text
    assert "--without-vibrations" in text
    text = refused("compare-phases", ordered, mixed, "--atoms-per-cell", "4", "--temperatures-K", "300")
    assert "give the atoms of both cells" in text
