"""Sets of labels on the command line: there and back through the database, clean, split, check."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sse_screen.builders.labelled_structure import LabelledStructureBuilder
from sse_screen.builders.run import run_builder
from sse_screen.cli.main import app
from sse_screen.exceptions import InputError
from sse_screen.training.datasets import LeakError, dataset_hash
from sse_screen.training.extended_xyz import read_extended_xyz, write_extended_xyz

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from label_samples import LEVEL, frame


def run(*arguments):
    result = CliRunner().invoke(app, ["dataset", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def frames():
    # evenly spread energies: none is an outlier
    return [
        frame(10 * p + f, parent=f"p{p}", energy_eV=-9.0 - 0.01 * (3 * p + f))
        for p in range(10)
        for f in range(3)
    ]


@pytest.fixture
def file(frames, tmp_path):
    path = tmp_path / "all.extxyz"
    write_extended_xyz(path, frames)
    return path


def test_import_and_export_are_inverse(file, frames, tmp_path, database, settings_environment):
    stored = json.loads(run("import", file, "--json").stdout)
    assert stored["dataset"] == dataset_hash(frames)
    assert run_builder(LabelledStructureBuilder()).built == 30
    run("import", file)  # a second time changes nothing
    assert run_builder(LabelledStructureBuilder()).built == 0
    out = tmp_path / "out.extxyz"
    exported = json.loads(run("export", out, "--filter", "formula=Li2S", "--json").stdout)
    assert exported["structures"] == 30
    assert dataset_hash(read_extended_xyz(out).structures) == stored["dataset"] == exported["dataset"]
    one = run("export", out, "-f", "parent_configurations=p3")
    assert "3 structures of 1 parents at ase toy, depth 1" in one.stdout
    with pytest.raises(InputError, match="no labelled structure is stored that the filters let pass"):
        run("export", out, "-f", "formula=NaCl")


def test_levels_are_not_mixed_on_export(file, tmp_path, database, settings_environment):
    other = tmp_path / "other.extxyz"
    level = LEVEL.model_copy(update={"functional": "else"})
    write_extended_xyz(other, [frame(1, level_of_theory=level)])
    run("import", file)
    run("import", other)
    run_builder(LabelledStructureBuilder())
    with pytest.raises(InputError, match=r"2 levels of theory.*30 of ase toy.*level_identifier"):
        run("export", tmp_path / "out.extxyz")
    run("export", tmp_path / "out.extxyz", "-f", f"level_identifier={level.identifier}")
    assert len(read_extended_xyz(tmp_path / "out.extxyz").structures) == 1


def test_another_programs_file_is_imported_with_its_level(tmp_path, database, settings_environment):
    path = tmp_path / "theirs.xyz"
    comment = 'Lattice="3 0 0 0 3 0 0 0 3" energy=-1.5 Properties=species:S:1:pos:R:3:forces:R:3'
    path.write_text(f"1\n{comment}\nLi 0 0 0 0 0 0\n")
    with pytest.raises(InputError, match="does not say its level of theory"):
        run("import", path)
    with pytest.raises(InputError, match="--code and --functional belong together"):
        run("import", path, "--code", "vasp")
    with pytest.raises(InputError, match="cutoff_eV = -5"):
        run("import", path, "--code", "vasp", "--functional", "PBE", "--cutoff-eV", "-5")
    options = ("--code", "vasp", "--functional", "PBE", "--cutoff-eV", "520", "--setting", "EDIFF=1e-5")
    options += ("--setting", "ISPIN=x")
    result = run("import", path, *options, "--json")
    found = json.loads(result.stdout)
    assert found["level_of_theory"] == "vasp PBE, 520 eV, Γ only, EDIFF 1e-05, ISPIN x"
    assert found["notes"] == [
        "1 frames: no parent_configuration: all frames of a composition count as one parent"
    ]


def test_clean_keeps_the_rejected_with_their_reasons(frames, tmp_path):
    file, kept, rejected = (tmp_path / name for name in ("a.extxyz", "kept.extxyz", "rejected.extxyz"))
    outlier = frame(99, energy_eV=500.0, source="run frame 7")
    write_extended_xyz(file, [*frames, outlier])
    result = run("clean", file, "--output", kept, "--rejected", rejected)
    assert "rejected run frame 7: energy of Li2S: 166.6667 eV/atom is outside" in result.stdout
    assert dataset_hash(read_extended_xyz(kept).structures) == dataset_hash(frames)
    assert read_extended_xyz(rejected).structures[0].content_hash == outlier.content_hash
    assert "energy of Li2S" in rejected.read_text()
    found = json.loads(run("clean", file, "--output", kept, "--energy-ranges", "1e6", "--json").stdout)
    assert (found["structures"], found["rejected"]) == (31, [])
    with pytest.raises(InputError, match="force_interquartile_ranges = -1"):
        run("clean", file, "--output", kept, "--force-ranges", "-1")
    with pytest.raises(InputError, match="no reference crystal of parent configuration p0"):
        run("clean", file, "--output", kept, "--bond-change", "0.2")
    with pytest.raises(InputError, match="all 31 frames were rejected"):
        run("clean", file, "--output", kept, "--minimum-distance", "50")


def test_split_writes_its_parts_and_how_it_was_made(file, frames, tmp_path):
    folder = tmp_path / "sets"
    result = run("split", file, "--output-directory", folder, "--seed", 3)
    assert result.stdout == (
        "train: 24 structures of 8 parents\n"
        "validation: 3 structures of 1 parents\n"
        "test: 3 structures of 1 parents\n"
    )
    described = json.loads((folder / "split.json").read_text())
    assert (described["seed"], described["dataset"]) == (3, dataset_hash(frames))
    parts = {name: read_extended_xyz(folder / f"{name}.extxyz").structures for name in described["parts"]}
    assert {n: dataset_hash(p) for n, p in parts.items()} == {
        n: p["dataset"] for n, p in described["parts"].items()
    }
    assert "nothing is in two of them" in run("check", *folder.glob("*.extxyz")).stdout
    leaking = tmp_path / "leaking.extxyz"
    test = parts["test"][0]
    write_extended_xyz(leaking, [*parts["train"], frame(500, parent=test.parent_configuration)])
    with pytest.raises(LeakError, match=f"parent configuration {test.parent_configuration} is in"):
        run("check", leaking, folder / "test.extxyz")


def test_splits_that_cannot_be(file, tmp_path):
    for options, message in (
        (("--fractions", "train=0.8,test"), "write name=value"),
        (("--fractions", "train=0.8,test=x"), "'x' is no number"),
        (("--fractions", "train=0.8,test=0.3"), "add up to 1"),
        (("--by", "frame"), "choose parent or run"),
        (("--unseen-composition", "NaCl"), "unseen composition NaCl"),
    ):
        with pytest.raises(InputError, match=message):
            run("split", file, "--output-directory", tmp_path / "s", "--seed", 1, *options)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="--output-directory"):
        run("split", file, "--output-directory", tmp_path / "taken", "--seed", 1)


def test_check_says_what_a_set_holds(file, frames):
    result = run("check", file, "--json")
    (described,) = json.loads(result.stdout).values()
    assert described["dataset"] == dataset_hash(frames)
    assert described["parents"] == {f"p{p}": 3 for p in range(10)}
    assert "30 structures of 10 parents, Li, S, ase toy, depth 1, hash" in run("check", file).stdout
    assert np.isclose(frames[0].energy_eV, read_extended_xyz(file).structures[0].energy_eV)


def test_check_refuses_a_file_given_twice(file):
    for again in (file, file.parent / "." / file.name, file.parent / ".." / file.parent.name / file.name):
        with pytest.raises(InputError, match=r"extxyz: given twice"):
            run("check", file, again)
