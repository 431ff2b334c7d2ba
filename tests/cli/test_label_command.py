"""Labels on the command line: real GPAW and a teacher, restartable, never two levels in one file."""

import json

import pytest
from ase.io import write
from jobflow import run_locally
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.database.stores import job_store
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.training.extended_xyz import read_extended_xyz
from sse_screen.training.labelled import LabelError
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker

CHEAP = ("--cutoff-eV", 200, "--k-point-spacing", 0, "--smearing-eV", 0.2, "--strain", 0, "--seed", 1)


def run(*arguments):
    result = CliRunner().invoke(app, ["dataset", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def salt(tmp_path):
    path = tmp_path / "licl.cif"
    cell = Lattice([[0, 2.55, 2.55], [2.55, 0, 2.55], [2.55, 2.55, 0]])
    Structure(cell, ["Li", "Cl"], [[0, 0, 0], [0.5] * 3]).to(str(path))
    return path


def test_a_stopped_run_goes_on_and_levels_are_not_mixed(salt, tmp_path):
    out = tmp_path / "labels.extxyz"
    first = json.loads(
        run("label", salt, "--output", out, "--frames", 2, "--rattle", 0.1, *CHEAP, "--json").stdout
    )
    assert (first["labels"], first["found_in_file"], first["failures"]) == (2, 0, [])
    assert first["level_of_theory"].startswith("gpaw PBE, 200 eV, Γ only")
    result = run("label", salt, "--output", out, "--frames", 3, "--rattle", 0.1, *CHEAP)
    assert result.stdout.startswith("3 labels at gpaw PBE")
    structures = read_extended_xyz(out).structures
    assert [s.source for s in structures] == [f"{salt} rattled {n}" for n in (1, 2, 3)]
    with pytest.raises(LabelError, match="two levels of theory in one set: chgnet"):
        run("label", salt, "--code", "chgnet", "--output", out, "--frames", 3, "--rattle", 0.1, "--seed", 1)


def test_a_teacher_labels_frames_of_a_trajectory(salt, tmp_path):
    frames = []
    for seed in range(6):
        atoms = Structure.from_file(str(salt)).to_ase_atoms(msonable=False)
        atoms.rattle(0.05, seed=seed)
        frames.append(atoms)
    path, out = tmp_path / "run.traj", tmp_path / "teacher.extxyz"
    write(path, frames)
    options = ("--output", out, "--code", "chgnet", "--seed", 2, "--time-step-ps", 0.01, "--frames", 3)
    run("label", path, *options, "--method", "equidistant", "--strain", 0)
    structures = read_extended_xyz(out).structures
    assert [s.source for s in structures] == [f"run.traj frame {n}" for n in (1, 3, 5)]
    assert {s.level_of_theory.code for s in structures} == {"chgnet"}
    with pytest.raises(InputError, match="7 frames of 6"):
        run("label", path, *options[:-1], 7, "--strain", 0)


def test_a_stored_run_is_labelled_without_its_equilibration(salt, tmp_path, database, settings_environment):
    protocol = MolecularDynamicsProtocol(equilibration_ps=0.1, production_ps=0.2)
    maker = MolecularDynamicsMaker(resolve_potential("chgnet"), protocol, minimum_length_A=2.0)
    material = {"material_id": "m", "material_name": "licl", "mobile_ion": "Li", "charge_number": 1}
    job = maker.make(Structure.from_file(str(salt)), material, 400.0, seed=1)
    run_locally(job, store=job_store(settings_environment), log=False, ensure_success=True)
    out = tmp_path / "run.extxyz"
    options = ("--output", out, "--code", "chgnet", "--seed", 1, "--method", "equidistant", "--frames", 5)
    run("label", f"outputs/{job.uuid}", *options)
    structures = read_extended_xyz(out).structures
    assert {s.parent_configuration for s in structures} == {"m"}
    numbers = [int(s.source.split(" frame ")[1].split()[0]) for s in structures]
    assert numbers == [6, 8, 10, 12, 14]  # 5 frames of equilibration, 10 of production
    with pytest.raises(InputError, match="outputs/nothing: no run of molecular dynamics"):
        run("label", "outputs/nothing", *options)


def test_what_cannot_be_labelled_is_said(salt, tmp_path):
    out = ("--output", tmp_path / "x.extxyz", "--seed", 1)
    for arguments, message in (
        ((salt, *out, "--functional", "B3LYP"), "functional = 'B3LYP'"),
        ((salt, *out, "--method", "all"), "method = 'all'"),
        ((salt, *out, "--strain", 0), "all copies of the crystal would be equal"),
        ((salt, *out, "--code", "nothing"), "potential 'nothing'"),
        (("nothing", *out), "nothing: no such file"),
        (("li6ps5cl-disordered", *out), "has partial occupancies"),
    ):
        with pytest.raises(InputError, match=message):
            run("label", *arguments)
