"""What readers refuse, with the file, the frame, the atom and a way out, and what they mend."""

import gzip

import ase.io
import numpy as np
import pytest
from ase import Atoms

from sse_screen.dynamics.readers import ReadOptions, read_trajectory
from sse_screen.dynamics.readers.frames import ReaderError
from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.dynamics.trajectory_file import read_trajectory_file, trajectory_blocks, write_trajectory_file

BOX = "ITEM: BOX BOUNDS {flags}\n0 9\n0 9\n0 9\n"
STEP_fs = 2.0


def dump(path, head="", flags="pp pp pp", times=None, steps=(0, 50, 100, 150), velocity=0.001):
    """Write a dump of Li that moves 0.1 Å a frame, 0.001 Å/fs at 2 fs a step."""
    text = head
    for index, step in enumerate(steps):
        if times is not None:
            text += f"ITEM: TIME\n{times[index]!r}\n"
        text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\n{BOX.format(flags=flags)}"
        text += "ITEM: ATOMS id element xu yu zu vx vy vz\n"
        text += f"1 Li {1 + 0.1 * index} 2 3 {velocity} 0 0\n2 S 5 5 5 0 0 0\n"
    path.write_text(text)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.lammpstrj"


def test_units_of_a_dump_are_converted_or_refused(path):
    options = ReadOptions(time_step_fs=STEP_fs)
    for style, velocity in (("metal", 1e-6), ("real", 1e-3)):
        read = read_trajectory(dump(path, f"ITEM: UNITS\n{style}\n"), options=options)
        np.testing.assert_allclose(read.velocities[0, 0], [velocity, 0, 0])
        np.testing.assert_allclose(read.times_ps, [0, 0.1, 0.2, 0.3])
    for style in ("lj", "si", "electron"):
        with pytest.raises(
            ReaderError, match=rf"run\.lammpstrj, frame 1: UNITS says '{style}', and only metal"
        ):
            read_trajectory(dump(path, f"ITEM: UNITS\n{style}\n"), options=options)


@pytest.mark.parametrize(("style", "unit_fs"), [("metal", 1000.0), ("real", 1.0)])
def test_the_time_of_a_dump_gives_its_time_step(path, style, unit_fs):
    times = [step * STEP_fs / unit_fs for step in (0, 50, 100, 150)]
    dump(path, f"ITEM: UNITS\n{style}\n", times=times, velocity=unit_fs / 1000)
    read = read_trajectory(path)
    assert read.time_step_ps == pytest.approx(0.1)
    assert read.notes == ()
    other = read_trajectory(path, options=ReadOptions(time_step_fs=1))
    assert other.time_step_ps == pytest.approx(0.05)
    assert other.notes == (
        "run.lammpstrj says a time step of 2 fs; --time-step-fs 1 is used instead",
        *other.notes[1:],
    )
    dump(path, f"ITEM: UNITS\n{style}\n", times=[*times[:3], 2 * times[3]])
    with pytest.raises(ReaderError, match="its time step changes, 2 to 8 fs"):
        read_trajectory(path)


def test_a_time_without_its_unit_is_not_used(path):
    dump(path, times=[0.0, 0.1, 0.2, 0.3])
    with pytest.raises(ReaderError, match="does not say its time step"):
        read_trajectory(path)


@pytest.mark.parametrize("flags", ["ff pp pp", "pp pp ss", "xy xz yz pp fs pp"])
def test_a_box_that_is_not_periodic_is_refused(path, flags):
    with pytest.raises(ReaderError, match=r"frame 1: BOX BOUNDS says .*not periodic .*boundary p p p"):
        read_trajectory(dump(path, flags=flags), options=ReadOptions(time_step_fs=1))


@pytest.mark.parametrize("symbol", ["Zz", "li", "", "X"])
def test_a_type_map_holds_elements_only(symbol):
    with pytest.raises(ReaderError, match=f"--type-map 2={symbol}: '{symbol}' is no element"):
        ReadOptions(type_map={1: "Li", 2: symbol})


def archive(path, **changed):
    rng = np.random.default_rng(1)
    arrays = {
        "positions": rng.random((50, 8, 3)),
        "cells": np.tile(8.0 * np.eye(3), (50, 1, 1)),
        "species": ["Li"] * 8,
        "times_ps": np.arange(50) * 0.05,
    }
    np.savez(path, **(arrays | changed))
    return path


def test_missing_frames_of_an_archive_begin_a_segment_as_in_a_dump(tmp_path, path):
    steps = [*range(0, 1000, 50), *range(6000, 7500, 50)]
    dumped = read_trajectory(dump(path, steps=steps), options=ReadOptions(time_step_fs=1))
    read = read_trajectory(archive(tmp_path / "run.npz", times_ps=np.array(steps) / 1000))
    assert read.segment_starts == dumped.segment_starts == (0, 20)
    assert read.gaps == dumped.gaps == (20,)
    assert read.time_step_ps == pytest.approx(0.05)
    own = tmp_path / "own.npz"
    Trajectory(read.positions, read.cells, read.species, read.times_ps, unwrapped=True).save(own)
    assert read_trajectory(own, options=ReadOptions(stride=2)).gaps == (10,)


def test_uneven_frames_name_the_file_and_a_way_out(tmp_path):
    file = archive(tmp_path / "run.npz", times_ps=np.cumsum(np.r_[np.full(25, 0.05), np.full(25, 0.07)]))
    with pytest.raises(
        ReaderError, match=r"run\.npz: times_ps: frames are 0\.05 to 0\.07 ps .*; write frames"
    ):
        read_trajectory(file)
    assert len(read_trajectory(file, options=ReadOptions(needs_times=False))) == 50


BROKEN = np.random.default_rng(1).random((50, 8, 3))
BROKEN[40, 3, 0] = np.nan


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": BROKEN}, r"positions: not finite \(nan or inf\) in frame 41, atom 4"),
        ({"times_ps": np.r_[np.arange(30), np.arange(20)] * 0.1}, "frame 31 is at 0 ps after one at 2.9 ps"),
        (
            {"cells": np.tile(np.eye(3), (50, 1, 1)) * np.r_[np.ones(9), np.zeros(41)][:, None, None]},
            "frame 10 ",
        ),
        ({"positions": np.zeros((50, 8))}, r"positions: shape \(50, 8\), expected"),
        ({"times_ps": np.arange(4.0)}, r"times_ps: shape \(4,\), expected \(50,\)"),
        ({"species": ["Li"] * 7}, "7 symbols for 8 atoms"),
    ],
)
def test_archives_that_cannot_be_name_the_file_and_where(tmp_path, changed, message):
    with pytest.raises(ReaderError, match=r"run\.npz: .*" + message):
        read_trajectory(archive(tmp_path / "run.npz", **changed))


def frames(n=6):
    rng = np.random.default_rng(3)
    return [
        Atoms(["Li", "Li", "P", "S"], positions=9 * rng.random((4, 3)), cell=9 * np.eye(3)) for _ in range(n)
    ]


def test_numbers_that_are_not_finite_name_frame_and_atom_of_the_file(tmp_path):
    images = frames()
    images[4].positions[2, 1] = np.nan
    options = ReadOptions(time_step_fs=1, start=2)
    for name in ("run.extxyz", "run.traj"):
        ase.io.write(tmp_path / name, images)
        with pytest.raises(ReaderError, match=rf"{name}, frame 5: positions of atom 3 not finite"):
            read_trajectory(tmp_path / name, options=options)


def test_another_order_of_atoms_is_told_from_other_atoms(tmp_path, path):
    images = frames()
    images[3] = images[3][[0, 2, 1, 3]]
    ase.io.write(tmp_path / "run.extxyz", images)
    with pytest.raises(ReaderError, match=r"frame 4: the atoms are in another order .*write all frames"):
        read_trajectory(tmp_path / "run.extxyz", options=ReadOptions(time_step_fs=1))
    images[3] = images[3][:3]
    ase.io.write(tmp_path / "run.extxyz", images)
    with pytest.raises(ReaderError, match=r"frame 4: atoms Li2 P1, in the first frame Li2 P1 S1"):
        read_trajectory(tmp_path / "run.extxyz", options=ReadOptions(time_step_fs=1))


@pytest.mark.parametrize("name", ["run.extxyz", "XDATCAR", "run.lammpstrj", "run.extxyz.gz"])
def test_a_file_cut_anywhere_is_read_up_to_the_frame_before(tmp_path, name):
    file = tmp_path / name.removesuffix(".gz")
    if name == "run.lammpstrj":
        dump(file)
    else:
        ase.io.write(file, frames(), format="vasp-xdatcar" if name == "XDATCAR" else "extxyz")
    content = file.read_bytes()
    options = ReadOptions(time_step_fs=1)
    whole = read_trajectory(file, options=options)
    for cut in range(int(0.7 * len(content)), len(content) - 1, 3):
        target = tmp_path / name
        target.write_bytes(gzip.compress(content[:cut]) if name.endswith("gz") else content[:cut])
        read = read_trajectory(target, options=options)
        # the last number of all may be cut without a trace
        assert len(read) < len(whole) or cut > len(content) - 12
        np.testing.assert_array_equal(
            read.positions[: len(whole) - 2], whole.positions[: len(read)][: len(whole) - 2]
        )


def test_a_short_line_within_a_file_is_told_in_plain_words(tmp_path):
    file = tmp_path / "run.extxyz"
    ase.io.write(file, frames(2))
    lines = file.read_text().splitlines(keepends=True)
    lines[4] = "P 0.1 0.2\n"
    file.write_text("".join(lines))
    with pytest.raises(
        ReaderError, match=r"frame 1: expected 3 numbers a line, line 3 of these holds '0.1 0.2'"
    ):
        read_trajectory(file, options=ReadOptions(time_step_fs=1))


def test_a_folder_is_no_missing_file(tmp_path):
    with pytest.raises(ReaderError, match="is a folder; give the trajectory file in it"):
        read_trajectory(tmp_path)


def test_frames_and_atoms_that_a_stored_file_does_not_have_are_named(tmp_path):
    file = tmp_path / "run.h5"
    rng = np.random.default_rng(0)
    run = Trajectory(
        rng.random((155, 6, 3)), 9 * np.eye(3), ("Li",) * 6, 0.1 * np.arange(155), unwrapped=True
    )
    write_trajectory_file(file, [run])
    with pytest.raises(TrajectoryError, match=r"run\.h5: frames 200 to 264 asked for, the file has 155"):
        read_trajectory_file(file, 200, 264)
    with pytest.raises(TrajectoryError, match="frames 20 to 10 asked for, the file has 155"):
        read_trajectory_file(file.read_bytes(), 20, 10)
    assert len(read_trajectory_file(file, 150, 900)) == 5
    for atoms, asked in (([6], "6 to 6"), ([-1], "-1 to -1"), ([0, 9], "0 to 9"), ([], "none")):
        with pytest.raises(TrajectoryError, match=rf"atoms: {asked} asked for, the file has 6 \(0 to 5\)"):
            read_trajectory_file(file, atoms=atoms)
        with pytest.raises(TrajectoryError, match="atoms: "):
            next(trajectory_blocks(file, atoms=atoms))
