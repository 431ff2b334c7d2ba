"""Every reader on files that the other program (or its documented format) wrote."""

import gzip
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import TrajectoryWriter

from sse_screen.dynamics.readers import ReadOptions, guess_format, read_trajectory
from sse_screen.dynamics.readers.frames import ReaderError
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import write_trajectory_file
from sse_screen.exceptions import InputError

REFERENCE = next(
    (
        parent / "shared/reference/trajectories"
        for parent in Path(__file__).parents
        if (parent / "shared/reference").exists()
    ),
    None,
)
CELL = np.array([[8.0, 0, 0], [2.0, 9.0, 0], [1.0, -1.0, 10.0]])
SYMBOLS = ["Li", "Li", "P", "S"]


def frames(n=5, seed=0):
    generator = np.random.default_rng(seed)
    start = generator.random((4, 3)) @ CELL
    images = []
    for index in range(n):
        start = start + 0.2 * generator.normal(size=(4, 3))
        atoms = Atoms(SYMBOLS, positions=start, cell=CELL * (1 + 0.001 * index), pbc=True)
        atoms.set_momenta(generator.normal(size=(4, 3)))
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - index)
        images.append(atoms)
    return images


def same_as(images, trajectory, velocities=True):
    np.testing.assert_allclose(trajectory.positions, [atoms.positions for atoms in images], atol=1e-6)
    np.testing.assert_allclose(trajectory.cells, [np.array(atoms.cell) for atoms in images], atol=1e-6)
    assert list(trajectory.species) == SYMBOLS
    if velocities:
        expected = [atoms.get_velocities() * units.fs for atoms in images]
        np.testing.assert_allclose(trajectory.velocities, expected, atol=1e-7)


def test_ase_trajectory(tmp_path):
    path = tmp_path / "run.traj"
    with TrajectoryWriter(str(path)) as writer:
        for atoms in frames():
            writer.write(atoms)
    read = read_trajectory(path, options=ReadOptions(time_step_fs=2, steps_per_frame=5))
    same_as(frames(), read)
    np.testing.assert_allclose(read.times_ps, 0.01 * np.arange(5))
    np.testing.assert_allclose(read.potential_energies_eV, [-10, -11, -12, -13, -14])
    np.testing.assert_allclose(read.temperatures_K, [atoms.get_temperature() for atoms in frames()])
    part = read_trajectory(path, options=ReadOptions(time_step_fs=2, start=1, stop=5, stride=2))
    same_as(frames()[1:5:2], part)
    assert part.time_step_ps == pytest.approx(0.004)


def test_ase_dynamics_records_its_time_step(tmp_path):
    from ase.calculators.lj import LennardJones
    from ase.md.verlet import VelocityVerlet

    atoms = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]], cell=np.eye(3) * 20, pbc=True)
    atoms.calc = LennardJones()
    path = tmp_path / "run.traj"
    VelocityVerlet(atoms, timestep=2 * units.fs, trajectory=str(path)).run(3)
    assert read_trajectory(path).time_step_ps == pytest.approx(0.002)


@pytest.mark.parametrize("zipped", [False, True])
def test_extended_xyz(tmp_path, zipped):
    path = tmp_path / "run.extxyz"
    ase.io.write(path, frames(), format="extxyz", columns=["symbols", "positions", "momenta"])
    if zipped:
        path = Path(str(path) + ".gz")
        path.write_bytes(gzip.compress((tmp_path / "run.extxyz").read_bytes()))
    read = read_trajectory(path, options=ReadOptions(time_step_fs=40))
    assert read.notes == (f"{path.name}: no --steps-per-frame given: one step per frame was assumed",)
    same_as(frames(), read)
    np.testing.assert_allclose(read.potential_energies_eV, [-10, -11, -12, -13, -14])
    assert read.time_step_ps == pytest.approx(0.04)


def test_xdatcar_with_a_cell_per_frame_and_one_cell(tmp_path):
    path = tmp_path / "XDATCAR"
    ase.io.write(path, frames(), format="vasp-xdatcar")
    assert read_trajectory(path, options=ReadOptions(time_step_fs=2, steps_per_frame=50)).notes == ()
    read = read_trajectory(path, options=ReadOptions(time_step_fs=2))
    assert read.notes == ("XDATCAR: no --steps-per-frame given: one step per frame was assumed",)
    fixed = [Atoms(SYMBOLS, atoms.get_scaled_positions(), cell=CELL) for atoms in frames()]
    scaled = np.array([atoms.get_scaled_positions() for atoms in frames()])
    got = np.einsum("tax,txy->tay", read.positions, np.linalg.inv(read.cells))
    np.testing.assert_allclose(got % 1, scaled % 1, atol=1e-6)
    assert list(read.species) == SYMBOLS
    assert len(fixed) == len(read)
    assert not read.unwrapped


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_published_xdatcar():
    """Li6PS5Cl, 500 K: time step 2 fs, every 50th step."""
    read = read_trajectory(
        REFERENCE / "example_XDATCAR.gz", options=ReadOptions(time_step_fs=2, steps_per_frame=50)
    )
    assert read.positions.shape == (140, 416, 3)
    assert read.time_step_ps == pytest.approx(0.1)
    assert [read.species.count(symbol) for symbol in ("Li", "Cl", "S", "P")] == [192, 32, 160, 32]
    assert read.positions[0, 0] == pytest.approx(
        np.array([0.01127708, 0.14362618, 0.34155668]) * 20.3123, 1e-4
    )


VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <parameters><separator><i name="POTIM"> 2.0 </i><i name="NBLOCK"> 5 </i></separator></parameters>
 <atominfo><array name="atoms" ><set>
  <rc><c>Li</c><c>   1</c></rc><rc><c>S </c><c>   2</c></rc>
 </set></array></atominfo>
"""
STEP = """ <calculation><structure><crystal><varray name="basis" >
 <v> 4.0 0.0 0.0 </v><v> 0.0 5.0 0.0 </v><v> 0.0 0.0 6.0 </v></varray></crystal>
 <varray name="positions" ><v> {x} 0.5 0.5 </v><v> 0.0 0.0 0.0 </v></varray></structure>
 <energy><i name="e_fr_energy"> -3.0 </i><i name="e_0_energy"> -3.5 </i></energy></calculation>
"""


def test_vasprun_and_one_that_breaks_off(tmp_path):
    path = tmp_path / "vasprun.xml"
    whole = VASPRUN + "".join(STEP.format(x=0.1 * i) for i in range(4)) + "</modeling>"
    path.write_text(whole)
    read = read_trajectory(path)
    np.testing.assert_allclose(read.positions[:, 0], [[0.4 * i, 2.5, 3.0] for i in range(4)], atol=1e-9)
    assert read.time_step_ps == pytest.approx(0.01)
    assert read.species == ("Li", "S")
    np.testing.assert_allclose(read.potential_energies_eV, -3.5)
    path.write_text(whole[: len(whole) - 120])
    cut = read_trajectory(path)
    assert len(cut) == 3
    assert cut.notes == ("vasprun.xml breaks off in frame 4: read up to the frame before",)
    path.write_text("<modeling><broken")
    with pytest.raises(ReaderError, match=r"not a vasprun\.xml"):
        read_trajectory(path)


def dump(columns, rows, bounds="ITEM: BOX BOUNDS pp pp pp\n1 9\n1 10\n1 11\n", steps=(0, 50, 100)):
    text = ""
    for index, step in enumerate(steps):
        text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\n{bounds}ITEM: ATOMS {columns}\n"
        text += rows.format(x=2.0 + index, s=(1.0 + index) / 8) + "\n"
    return text


ORDERED = [
    ("id type x y z ix iy iz", "2 2 5 5 5 0 0 0\n1 1 {x} 2 3 1 0 0", [9.0, 1.0, 2.0], True),
    ("id type xu yu zu", "2 2 5 5 5\n1 1 {x} 2 3", [1.0, 1.0, 2.0], True),
    ("id type xs ys zs", "2 2 .5 .5 .5\n1 1 {s} .2 .3", [1.0, 1.8, 3.0], False),
    ("id type xsu ysu zsu", "2 2 .5 .5 .5\n1 1 {s} .2 .3", [1.0, 1.8, 3.0], True),
    ("id element x y z vx vy vz", "2 S 5 5 5 0 0 0\n1 Li {x} 2 3 1 2 3", [1.0, 1.0, 2.0], False),
]


@pytest.mark.parametrize(("columns", "rows", "first", "unwrapped"), ORDERED)
def test_lammps_coordinates_of_every_kind(tmp_path, columns, rows, first, unwrapped):
    path = tmp_path / "run.lammpstrj"
    path.write_text(dump(columns, rows))
    read = read_trajectory(path, options=ReadOptions(time_step_fs=1, type_map={1: "Li", 2: "S"}))
    assert read.species == ("Li", "S")
    assert read.unwrapped is unwrapped
    np.testing.assert_allclose(read.positions[0, 0], first)
    np.testing.assert_allclose(read.positions[:, 0, 0] - first[0], [0, 1, 2])
    np.testing.assert_allclose(read.times_ps, [0, 0.05, 0.1])
    if "vx" in columns:
        np.testing.assert_allclose(read.velocities[0, 0], [0.001, 0.002, 0.003])


def test_lammps_triclinic_box(tmp_path):
    bounds = "ITEM: BOX BOUNDS xy xz yz pp pp pp\n-1 11 2\n-1 9 1\n0 10 -1\n"
    path = tmp_path / "run.dump"
    path.write_text(dump("id type xu yu zu", "2 2 5 5 5\n1 1 {x} 2 3", bounds))
    cell = read_trajectory(path, options=ReadOptions(time_step_fs=1, type_map={1: "Li", 2: "S"})).cells[0]
    np.testing.assert_allclose(cell, [[9, 0, 0], [2, 9, 0], [1, -1, 10]])


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_published_lammps_dump():
    path = REFERENCE / "Al31-1200K-1ps.lammpstrj"
    read = read_trajectory(path, options=ReadOptions(time_step_fs=2, type_map={1: "Al"}))
    assert read.positions.shape == (501, 31, 3)
    assert read.unwrapped
    assert read.time_step_ps == pytest.approx(1.0)


def test_restarted_dump_is_joined_and_its_doubled_checkpoint_dropped(tmp_path):
    path = tmp_path / "run.dump"
    text = dump("id type xu yu zu", "2 2 5 5 5\n1 1 {x} 2 3", steps=(0, 50, 100, 100, 150, 0, 50))
    path.write_text(text)
    read = read_trajectory(path, options=ReadOptions(time_step_fs=1, type_map={1: "Li", 2: "S"}))
    np.testing.assert_allclose(read.times_ps, 0.05 * np.arange(6))
    assert read.segment_starts == (0, 4)
    path.write_text(text[:-20])
    assert len(read_trajectory(path, options=ReadOptions(time_step_fs=1, type_map={1: "Li", 2: "S"}))) == 5


def test_foreign_npz_own_npz_and_own_hdf5(tmp_path):
    images = frames()
    foreign = tmp_path / "foreign.npz"
    np.savez(
        foreign,
        positions=np.array([atoms.positions for atoms in images]),
        momenta=np.array([atoms.get_momenta() for atoms in images]),
        lattice=np.array([np.array(atoms.cell) for atoms in images]),
        numbers=images[0].numbers,
    )
    read = read_trajectory(foreign, options=ReadOptions(time_step_fs=100, temperature_K=500.0))
    same_as(images, read)
    assert read.mean_temperature_K == 500.0
    own = tmp_path / "own.npz"
    read.save(own)
    same_as(images[1:4], read_trajectory(own, options=ReadOptions(start=1, stop=4)))
    stored = tmp_path / "own.h5"
    write_trajectory_file(stored, [Trajectory(**(vars(read) | {"unwrapped": True}))])
    again = read_trajectory(stored, options=ReadOptions(stride=2))
    np.testing.assert_allclose(again.positions, read.positions[::2], atol=1e-2)


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_published_diffusion_analyzer():
    read = read_trajectory(REFERENCE / "LGPS_600K_DiffusionAnalyzer.json")
    assert read.positions.shape == (1000, 50, 3)
    assert read.time_step_ps == pytest.approx(0.02)
    assert read.mean_temperature_K == 600.0
    assert read.indices("Li").size == 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.extxyz", "2\nno cell\nLi 0 0 0\nS 1 1 1\n", "no Lattice"),
        ("run.extxyz", "two\n", "expected a number of atoms"),
        ("run.extxyz", '2\nLattice="1 0 0 0 1 0 0 0 1"\nLi 0 0 0\n', "ends within a frame"),
        ("run.extxyz", '1\nLattice="9 0 0 0 9 0 0 0 9"\nLi 0 zero 0\n', "expected 3 numbers"),
        ("XDATCAR", "title\n1.0\n1 0 0\nDirect configuration= 1\n", "seven lines"),
        ("run.dump", "hello\n", "expected ITEM"),
        ("run.dump", dump("id type q", "1 1 1\n2 1 2"), "no coordinates"),
        ("run.dump", dump("id type xu yu zu", "1 3 1 1 1\n2 1 2 2 2"), "no element for atom type 3"),
        ("run.json", json.dumps({"a": 1}), "not JSON of a DiffusionAnalyzer"),
        ("run.json", "{", "not a readable diffusion-analyzer file"),
        ("run.npz", "text", "not a readable npz file"),
        ("run.traj", "text", "not a"),
        ("run.h5", "text", "not a readable trajectory file"),
        ("run.extxyz", "", "no frame found"),
    ],
)
def test_broken_files_name_themselves_and_the_fault(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(Exception, match=message) as caught:
        read_trajectory(path, options=ReadOptions(time_step_fs=1, type_map={1: "Li"}))
    assert isinstance(caught.value, InputError)


def test_missing_file_time_step_and_unknown_format(tmp_path):
    with pytest.raises(ReaderError, match="no such file"):
        read_trajectory(tmp_path / "none.traj")
    path = tmp_path / "run.extxyz"
    ase.io.write(path, frames(), format="extxyz")
    with pytest.raises(ReaderError, match="--time-step-fs"):
        read_trajectory(path)
    with pytest.raises(ReaderError, match="not positive"):
        read_trajectory(path, options=ReadOptions(time_step_fs=0))
    with pytest.raises(ReaderError, match="not one of"):
        read_trajectory(path, format="pdb")
    with pytest.raises(ReaderError, match="--format"):
        guess_format(Path("trajectory.bin"))
    with pytest.raises(ReaderError, match="stride"):
        read_trajectory(path, options=ReadOptions(time_step_fs=1, stride=0))


def own_times(path, interval_ps=0.02):
    generator = np.random.default_rng(0)
    run = Trajectory(
        generator.random((6, 2, 3)), np.eye(3) * 9, ("Li", "S"), interval_ps * np.arange(6), unwrapped=True
    )
    if path.suffix == ".h5":
        write_trajectory_file(path, [run])
    else:
        run.save(path)
    return path


@pytest.mark.parametrize("name", ["own.npz", "own.h5", "foreign.npz"])
def test_times_in_the_file_are_used_and_a_time_step_that_says_otherwise_is_noted_or_refused(tmp_path, name):
    path = own_times(tmp_path / name)
    if name == "foreign.npz":
        held = Trajectory.load(path)
        np.savez(
            path, positions=held.positions, cell=held.cells[0], species=held.species, times_ps=held.times_ps
        )
    for options in (
        ReadOptions(),
        ReadOptions(time_step_fs=20),
        ReadOptions(time_step_fs=2, steps_per_frame=10),
    ):
        assert read_trajectory(path, options=options).notes == ()
    read = read_trajectory(path, options=ReadOptions(time_step_fs=2, stride=2))
    assert read.time_step_ps == pytest.approx(0.04)
    (note,) = read.notes
    assert "20 fs apart, which is used" in note
    assert "--time-step-fs 2 changes nothing (10 steps between frames)" in note
    with pytest.raises(ReaderError, match=r"20 fs apart .*--time-step-fs 3 contradicts"):
        read_trajectory(path, options=ReadOptions(time_step_fs=3))
    with pytest.raises(ReaderError, match="--time-step-fs 2 and --steps-per-frame 5 contradicts"):
        read_trajectory(path, options=ReadOptions(time_step_fs=2, steps_per_frame=5))


def test_a_time_step_that_a_file_records_otherwise_is_used_and_noted(tmp_path):
    path = tmp_path / "vasprun.xml"
    path.write_text(VASPRUN + "".join(STEP.format(x=0.1 * i) for i in range(4)) + "</modeling>")
    assert read_trajectory(path, options=ReadOptions(time_step_fs=2, steps_per_frame=5)).notes == ()
    read = read_trajectory(path, options=ReadOptions(time_step_fs=1, steps_per_frame=10))
    assert read.time_step_ps == pytest.approx(0.01)
    assert read.notes == (
        "vasprun.xml says a time step of 2 fs; --time-step-fs 1 is used instead",
        "vasprun.xml says 5 steps between frames; --steps-per-frame 10 is used instead",
    )
    dumped = tmp_path / "run.dump"
    dumped.write_text(dump("id type xu yu zu", "2 2 5 5 5\n1 1 {x} 2 3"))
    types = {1: "Li", 2: "S"}
    for stride in (1, 2):
        options = ReadOptions(time_step_fs=1, steps_per_frame=50, type_map=types, stride=stride)
        assert read_trajectory(dumped, options=options).time_step_ps == pytest.approx(0.05 * stride)
    with pytest.raises(
        ReaderError, match=r"50 steps apart by the TIMESTEPs .*--steps-per-frame 5 contradicts"
    ):
        read_trajectory(dumped, options=ReadOptions(time_step_fs=1, steps_per_frame=5, type_map=types))


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_the_time_step_of_a_diffusion_analyzer_is_compared_too():
    path = REFERENCE / "LGPS_600K_DiffusionAnalyzer.json"
    read = read_trajectory(path, options=ReadOptions(time_step_fs=1, steps_per_frame=20))
    assert read.time_step_ps == pytest.approx(0.02)
    assert [note.split("; ")[1] for note in read.notes] == [
        "--time-step-fs 1 is used instead",
        "--steps-per-frame 20 is used instead",
    ]
