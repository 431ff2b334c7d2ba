"""Files of loops: faults named with their place; submitted once; states found by name."""

from pathlib import Path

import pytest
import yaml

from sse_screen.database.stores import launchpad
from sse_screen.exceptions import InputError
from sse_screen.workflows.loop_file import check_loop, latest_state, load_loop, loop_cell, submit_loop

EXAMPLE = Path(__file__).parents[2] / "campaigns" / "li2o_loop.yaml"
CRYSTAL = EXAMPLE.parent / "crystals" / "li2o_expanded.vasp"


def written(tmp_path, **changes):
    content = yaml.safe_load(EXAMPLE.read_text()) | {
        "crystal": str(EXAMPLE.parent / "crystals/li2o_expanded.vasp")
    }
    path = tmp_path / "loop.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return path


def test_the_example_is_the_cell_that_its_page_speaks_of():
    cell = loop_cell(load_loop(EXAMPLE))
    assert cell.composition.reduced_formula == "Li2O"
    assert len(cell) == 48


@pytest.mark.parametrize(
    ("charges", "message"),
    [({"Li": 1}, "has Li, the crystal has Li, O"), ({"Li": 1, "O": -1}, "has the charge 16")],
)
def test_charges_of_the_student_are_those_of_the_crystal(tmp_path, charges, message):
    student = yaml.safe_load(EXAMPLE.read_text())["student"]
    student["protocol"]["charges"] = charges
    with pytest.raises(InputError, match=message):
        check_loop(load_loop(written(tmp_path, student=student)))


def test_names_of_students_are_not_those_of_the_platforms_potentials(tmp_path):
    with pytest.raises(InputError, match=r"'garnet-buckingham' is a potential that .* register_as"):
        check_loop(load_loop(written(tmp_path, name="garnet-buckingham", register_as=None)))
    file = load_loop(written(tmp_path, name="garnet-buckingham", register_as="mine"))
    assert file.potential_name == "mine"
    check_loop(file)


def test_an_unknown_teacher_is_refused_before_anything_is_added(tmp_path, settings_environment):
    with pytest.raises(InputError, match="nonsense"):
        check_loop(load_loop(written(tmp_path, teacher="nonsense")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"techer": "x"}, ["loop.yaml: techer"]),
        ({"student": {"kind": "oracle"}}, ["student", "oracle"]),
        ({"protocol": {"diffusion_temperatures_K": [900]}}, ["protocol.diffusion"]),
        ({"name": "no spaces!"}, ["name"]),
        ({"register_as": "No Capitals"}, ["register_as"]),
    ],
)
def test_faulty_fields_are_named(tmp_path, changes, words):
    with pytest.raises(InputError) as caught:
        load_loop(written(tmp_path, **changes))
    assert all(word in str(caught.value) for word in words), caught.value


def test_more_frames_than_the_run_stores_are_refused(tmp_path):
    protocol = yaml.safe_load(EXAMPLE.read_text())["protocol"] | {"frames_per_step": 100}
    with pytest.raises(InputError, match="frames_per_step 100: the exploration stores 75"):
        load_loop(written(tmp_path, protocol=protocol))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crystal": "missing.cif"}, "missing.cif"),
        ({"mobile_ion": "Na"}, "no mobile ion Na"),
    ],
)
def test_crystals_that_no_loop_can_run_are_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        loop_cell(load_loop(written(tmp_path, **changes)))


def test_a_loop_is_submitted_once(tmp_path, database, settings_environment):
    pad = launchpad(settings_environment)
    assert submit_loop(load_loop(written(tmp_path)), database, pad) == 1
    assert submit_loop(load_loop(written(tmp_path)), database, pad) == 0
    assert submit_loop(load_loop(written(tmp_path, seed=2)), database, pad) == 1
    assert pad.workflows.count_documents({"metadata.campaign": "li2o-loop"}) == 2
    with pytest.raises(InputError, match="none of this name has begun"):
        latest_state(database, "li2o-loop")
    other = tmp_path / "li2s.vasp"
    other.write_text(CRYSTAL.read_text().replace("Li O", "Li S"))
    sulfide = load_loop(written(tmp_path, crystal=str(other)))
    with pytest.raises(InputError, match="not trained on"):
        submit_loop(sulfide, database, pad)
