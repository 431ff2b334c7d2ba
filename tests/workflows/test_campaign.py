"""Campaign files: everything wrong is named with file, field and value, before anything is submitted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sse_screen.exceptions import InputError
from sse_screen.workflows.campaign import load_campaign
from sse_screen.workflows.planning import plan_campaign

ROOT = Path(__file__).parents[2]


def campaign(**changes):
    content = {
        "name": "test",
        "molecular_dynamics": {
            "temperatures_K": [900, 1100],
            "minimum_length_A": 4.5,
            "protocol": {"equilibration_ps": 0.1, "production_ps": 0.4},
        },
        "materials": [{"prototype": "li6ps5cl"}],
    }
    return content | changes


def write(tmp_path, content):
    path = tmp_path / "campaign.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def refused(tmp_path, content):
    with pytest.raises(InputError) as caught:
        plan_campaign(load_campaign(write(tmp_path, content)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 3}, ["campaign.yaml: temperature: unknown key", "potential"]),
        (
            {"materials": [{"prototype": "li6ps5cl", "ion": "Li"}]},
            ["materials.0.ion: unknown key", "mobile_ion"],
        ),
        ({"materials": [{"prototype": "unobtainium"}]}, ["materials.0", "unobtainium", "lgps"]),
        ({"materials": [{"prototype": "lgps", "file": "a.cif"}]}, ["materials.0", "exactly one"]),
        ({"materials": [{"file": "missing.cif"}]}, ["materials.0", "missing.cif"]),
        ({"materials": [{"prototype": "li6ps5cl-disordered"}]}, ["partial occupancies", "order: ewald"]),
        (
            {"materials": [{"prototype": "li6ps5cl", "mobile_ion": "Na"}]},
            ["no mobile ion Na", "Cl, Li, P, S"],
        ),
        ({"materials": [{"prototype": "lgps"}, {"prototype": "lgps"}]}, ["lgps is named twice"]),
        *(
            (
                {"molecular_dynamics": {"temperatures_K": [900], "protocol": {name: float("inf")}}},
                [f"molecular_dynamics.protocol.{name}", "finite", "inf"],
            )
            for name in ("production_ps", "equilibration_ps", "frame_interval_fs")
        ),
        ({"molecular_dynamics": {"temperatures_K": [900, -5]}}, ["temperatures_K.1", "greater than 0", "-5"]),
        ({"molecular_dynamics": {"temperatures_K": []}}, ["temperatures_K", "at least 1"]),
        (
            {"molecular_dynamics": {"temperatures_K": [900], "protocol": {"time_step_fs": 20}}},
            ["molecular_dynamics.protocol.time_step_fs", "less than or equal to 5", "20"],
        ),
        ({"potential": "nonsense"}, ["nonsense", "chgnet"]),
        ({"hulls": [{"space": ["Li", "Xx"], "entries": [{"prototype": "licl"}]}]}, ["hulls.0.space", "Xx"]),
        ({"hulls": [{"space": ["Li", "O"], "entries": [{"prototype": "licl"}]}]}, ["LiCl", "not in Li-O"]),
        ({"orderings": [{"prototype": "li6ps5cl"}]}, ["orderings.0", "no partial occupancies"]),
        ({"materials": []}, ["nothing to do"]),
        ({"molecular_dynamics": {"temperatures_K": [float("inf")]}}, ["temperatures_K.0", "inf"]),
        ({"molecular_dynamics": {"temperatures_K": [900, 900]}}, ["given twice"]),
        ({"materials": [{"prototype": "lgps", "charge_number": 0}]}, ["charge_number 0"]),
        ({"name": "no spaces!"}, ["name", "no spaces!"]),
    ],
)
def test_bad_fields_are_named_with_their_place_and_the_way_out(tmp_path, changes, words):
    message = refused(tmp_path, campaign(**changes))
    assert all(word in message for word in words), message


@pytest.mark.parametrize("content", ["a: [1", "- just\n- a list", ""])
def test_files_that_are_no_campaign(tmp_path, content):
    assert "campaign.yaml" in refused(tmp_path, content)


def test_an_unreadable_crystal_and_a_charged_cell(tmp_path):
    (tmp_path / "broken.cif").write_text("this is no CIF")
    (tmp_path / "charged.vasp").write_text(
        "LiCl2\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi Cl\n1 2\ndirect\n0 0 0\n0.5 0.5 0.5\n0.5 0.5 0\n"
    )
    message = refused(tmp_path, campaign(materials=[{"file": "broken.cif"}, {"file": "charged.vasp"}]))
    assert "broken.cif" in message
    assert "charged" in message
    assert message.count("materials.") == 2


def test_every_problem_is_listed_at_once(tmp_path):
    message = refused(tmp_path, campaign(materials=[{"prototype": "nope"}, {"file": "gone.cif"}]))
    assert "nope" in message
    assert "gone.cif" in message


def test_the_quickstart_plans_its_jobs():
    plan = plan_campaign(load_campaign(ROOT / "campaigns" / "quickstart.yaml"))
    assert plan.n_jobs == 4 * (1 + 3) + 5 + len(plan.orderings[0].batches)
    assert sum(d for _, w in plan.orderings[0].batches for d, _ in w.values()) == 70  # 8! / (4! 4!)


def test_a_database_that_is_not_there_is_a_clear_message(tmp_path):
    path = write(tmp_path, campaign())
    environment = os.environ | {
        "SSE_SCREEN_DATABASE_URI": "mongodb://someone:secret@127.0.0.1:9/",
        "SSE_SCREEN_DATABASE_TIMEOUT_S": "0.5",
    }
    done = subprocess.run(
        [sys.executable, "-m", "sse_screen.cli", "submit", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["submit", "campaign.yaml"], ["launch"]])
def test_a_full_disk_is_told_before_anything_is_done(tmp_path, command):
    write(tmp_path, campaign())
    environment = os.environ | {
        "SSE_SCREEN_MINIMUM_FREE_SPACE_GB": "900000",
        "SSE_SCREEN_DATA_DIRECTORY": str(tmp_path / "data"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "sse_screen.cli", *command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "GB are left" in done.stderr
    assert not (tmp_path / "data").exists()


def test_what_is_wrong_with_vibrations_is_said(tmp_path):
    def with_runs(**runs):
        section = {"prototype": "li6ps5cl-disordered", "vibrations": {"temperatures_K": [300]} | runs}
        return refused(tmp_path, {"name": "t", "orderings": [section]})

    assert "two_phase_species 'Na' is not in the crystal (Cl, Li, P, S)" in with_runs(two_phase_species="Na")
    assert "time_step_fs" in with_runs(time_step_fs=3)
    assert "take 0.5, 1, 2 or 4 (given: 3)" in with_runs(time_step_fs=3)


def test_the_file_of_a_loop_is_told_apart():
    with pytest.raises(InputError, match="sse-screen loop submit"):
        load_campaign(Path(__file__).parents[2] / "campaigns" / "li2o_loop.yaml")
