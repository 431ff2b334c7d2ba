"""Long runs: continued, paused, stopped early, streamed; equal to the unbroken run bit for bit."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from springs import crystal

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.checkpoint import pack_checkpoint, unpack_checkpoint
from sse_screen.dynamics.molecular_dynamics import RunPausedError, continue_from, run_molecular_dynamics
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import (
    read_scalars,
    read_trajectory_file,
    stored_size,
    trajectory_blocks,
    write_trajectory_file,
)
from sse_screen.exceptions import InputError


def protocol(**changes):
    values = {"equilibration_ps": 0.4, "production_ps": 4.0, "frame_interval_fs": 10.0}
    return MolecularDynamicsProtocol(**(values | changes))


def run(folder, **changes):
    atoms, springs = crystal()
    options = {name: changes.pop(name) for name in ("monitor", "pause") if name in changes}
    return run_molecular_dynamics(atoms, springs, protocol(**changes), 300.0, 5, folder, **options)


def equal(one, other):
    a, b = read_trajectory_file(one.trajectory_file), read_trajectory_file(other.trajectory_file)
    names = ("positions", "cells", "times_ps", "temperatures_K", "potential_energies_eV")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_a_checkpoint_loses_no_bit_and_runs_no_code():
    state = {
        "rng": np.random.default_rng(1).bit_generator.state,
        "positions": np.random.default_rng(2).normal(size=(4, 3)),
        "integrator": {"_thermostat": {"x": np.float64(0.1), "p": np.array([1e-300, np.pi])}, "t": 7},
        "stopped": None,
    }
    again = unpack_checkpoint(pack_checkpoint(state))
    assert again["rng"] == state["rng"]
    assert np.array_equal(again["positions"], state["positions"])
    assert again["integrator"]["_thermostat"]["x"] == 0.1
    assert np.array_equal(again["integrator"]["_thermostat"]["p"], np.array([1e-300, np.pi]))
    assert again["stopped"] is None
    import pickle

    with pytest.raises(InputError, match="not a checkpoint"):
        unpack_checkpoint(pickle.dumps(state))


def test_a_run_continued_to_twice_its_length_is_the_long_run(tmp_path):
    short = run(tmp_path / "short")
    long = run(tmp_path / "long", production_ps=8.0)
    moved = tmp_path / "copy.h5"
    moved.write_bytes(short.trajectory_file.read_bytes())
    (tmp_path / "continued").mkdir()
    continue_from(tmp_path / "continued", short.checkpoint_file.read_bytes(), moved, "the short one")
    continued = run(tmp_path / "continued", production_ps=8.0)
    assert continued.n_frames == long.n_frames == 800
    assert continued.n_steps == long.n_steps == 840 * 5
    assert (continued.n_continued_steps, long.n_continued_steps) == (440 * 5, 0)
    assert equal(continued, long)
    assert continued.mean_temperature_K == long.mean_temperature_K
    # continuing again changes nothing: the run has begun
    continue_from(tmp_path / "continued", b"", moved, "another")
    assert continued.continued_from == "the short one"
    assert len(list((tmp_path / "continued").glob("segment_*"))) == 8


def test_a_run_paused_at_any_frame_goes_on_with_the_same_numbers(tmp_path):
    whole = run(tmp_path / "whole")
    calls = iter(range(10_000))

    def pause():
        return next(calls) % 37 == 36

    paused = 0
    while True:
        try:
            broken = run(tmp_path / "broken", pause=pause)
            break
        except RunPausedError:
            paused += 1
    assert paused == 440 // 37
    assert equal(whole, broken)


def test_a_monitor_ends_the_run_and_its_reason_is_kept(tmp_path):
    seen = []

    def monitor(first, latest):
        seen.append((first.times_ps[0], latest.times_ps[-1]))
        return "melted" if latest.times_ps[-1] > 2.0 else None

    stopped = run(tmp_path, monitor=monitor)
    # the equilibration of 0.4 ps is a segment of its own and not judged
    assert seen == [(pytest.approx(0.41), pytest.approx(t)) for t in (0.9, 1.4, 1.9, 2.4)]
    assert stopped.stopped == "melted"
    assert stopped.n_frames == 200
    assert stopped.n_steps == 240 * 5
    assert run(tmp_path).stopped == "melted"


def test_after_a_restart_the_monitor_sees_the_same_first_segment(tmp_path):
    def firsts(folder, pause):
        seen = []

        def monitor(first, latest):
            seen.append(first.positions)

        while True:
            try:
                run(folder, monitor=monitor, pause=pause)
                return seen
            except RunPausedError:
                pause = None

    calls = iter(range(10_000))
    broken = firsts(tmp_path / "a", lambda: next(calls) == 199)
    assert len(broken) == len(firsts(tmp_path / "b", None)) == 8
    assert all(np.array_equal(first, broken[0]) for first in broken)


def through_pauses(go):
    """Run again until nothing pauses it any more."""
    while True:
        try:
            return go()
        except RunPausedError:
            pass


def judged(folder, every=None, reason_from_ps=2.0, **changes):
    """Run with a pause every so many frames and a verdict from some time on."""
    seen = {}
    calls = iter(range(1, 10_000))

    def monitor(first, latest):
        seen[round(float(latest.times_ps[-1]), 6)] = (first.positions, latest.positions)
        return "melted" if latest.times_ps[-1] > reason_from_ps else None

    pause = None if every is None else (lambda: next(calls) % every == 0)
    return through_pauses(lambda: run(folder, monitor=monitor, pause=pause, **changes)), seen


@pytest.mark.parametrize("every", [15, 37])
def test_a_paused_run_is_judged_as_the_unbroken_one_and_ends_with_it(tmp_path, every):
    whole, seen = judged(tmp_path / "whole")
    broken, seen_broken = judged(tmp_path / "broken", every)
    assert (whole.n_frames, whole.stopped) == (broken.n_frames, broken.stopped) == (200, "melted")
    assert equal(whole, broken)
    assert list(seen) == list(seen_broken) == pytest.approx([0.9, 1.4, 1.9, 2.4])
    for time_ps in seen:
        assert all(map(np.array_equal, seen[time_ps], seen_broken[time_ps]))


def test_a_continued_run_is_judged_as_the_long_one(tmp_path):
    whole, seen = judged(tmp_path / "whole")
    # the shorter run ends in the first window, and in another in the middle
    for production_ps in (0.3, 1.2):
        folder = tmp_path / f"continued {production_ps}"
        folder.mkdir()
        short = run(tmp_path / f"short {production_ps}", production_ps=production_ps)
        continue_from(folder, short.checkpoint_file.read_bytes(), short.trajectory_file, "short")
        continued, seen_continued = judged(folder, 37)
        assert (continued.n_frames, continued.stopped) == (whole.n_frames, whole.stopped)
        for time_ps, windows in seen_continued.items():
            assert all(map(np.array_equal, windows, seen[time_ps]))
        assert equal(whole, continued)


def test_frames_are_read_by_range_and_atom_and_streamed(tmp_path):
    path = run(tmp_path).trajectory_file
    whole = read_trajectory_file(path)
    part = read_trajectory_file(path, 130, 200, atoms=[1, 5])
    assert np.array_equal(part.positions, whole.positions[130:200, [1, 5]])
    blocks = list(trajectory_blocks(path, 40, frames_per_block=64))
    assert [len(block) for block in blocks] == [64] * 6 + [16]
    assert np.array_equal(np.concatenate([block.positions for block in blocks]), whole.positions[40:])
    scalars = read_scalars(path, 40)
    assert np.array_equal(scalars["potential_energies_eV"], whole.potential_energies_eV[40:])
    assert scalars["volumes_A3"] == pytest.approx(216.0)
    size = stored_size(path)
    assert (size.n_frames, size.n_atoms, size.tolerance_A) == (440, 8, 5e-4)


class _CountingFile(io.BytesIO):
    n_read = 0

    def readinto(self, buffer):
        self.n_read += len(buffer)
        return super().readinto(buffer)


def test_a_range_of_frames_reads_a_part_of_the_file_only(tmp_path):
    rng = np.random.default_rng(3)
    steps = rng.normal(0, 0.05, (4000, 40, 3))
    whole = read_trajectory_file(run(tmp_path).trajectory_file)[:1]
    big = type(whole)(
        positions=np.cumsum(steps, axis=0),
        cells=10 * np.eye(3),
        species=("Li",) * 40,
        times_ps=np.arange(4000) * 0.02,
        unwrapped=True,
    )
    path = tmp_path / "big.h5"
    write_trajectory_file(path, (big[start : start + 50] for start in range(0, 4000, 50)))
    source = _CountingFile(path.read_bytes())
    read_trajectory_file(source, 2000, 2064)
    assert source.n_read < 0.15 * path.stat().st_size
    assert stored_size(path).bytes_per_atom_and_frame < 6


def test_the_memory_of_a_run_does_not_grow_with_its_length(tmp_path):
    """Peak memory of real processes: 1,000 and 20,000 steps."""
    program = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from springs import crystal
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
atoms, springs = crystal(4)
steps = MolecularDynamicsProtocol(
    equilibration_ps=0.2, production_ps=int(sys.argv[1]) * 0.002 - 0.2, frame_interval_fs=10.0
)
result = run_molecular_dynamics(atoms, springs, steps, 300.0, 5, Path(sys.argv[2]))
assert result.n_steps == int(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def peak_kB(n_steps):
        arguments = [sys.executable, "-c", program, str(n_steps), str(tmp_path / str(n_steps))]
        ran = subprocess.run(
            [*arguments, str(Path(__file__).parent)], capture_output=True, text=True, check=True
        )
        return int(ran.stdout)

    assert peak_kB(20_000) < 1.05 * peak_kB(1_000)


def test_stored_positions_leave_the_displacements_within_a_thousandth(tmp_path):
    rng = np.random.default_rng(4)
    # ions that hop by 2 Å on top of vibrations, as in an electrolyte
    hops = np.cumsum(rng.choice([-2.0, 0.0, 2.0], p=[0.005, 0.99, 0.005], size=(2000, 30, 3)), axis=0)
    path = tmp_path / "t.h5"
    exact = hops + rng.normal(0, 0.1, hops.shape)
    write_trajectory_file(
        path,
        [
            Trajectory(
                positions=exact,
                cells=10 * np.eye(3),
                species=("Li",) * 30,
                times_ps=np.arange(2000) * 0.02,
                unwrapped=True,
            )
        ],
    )
    stored = read_trajectory_file(path).positions
    for lag in (1, 10, 100, 1000):
        true, kept = (np.mean(np.sum((p[lag:] - p[:-lag]) ** 2, axis=2)) for p in (exact, stored))
        assert kept == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_earlier_versions_are_still_read(tmp_path, version):
    import h5py

    path = run(tmp_path).trajectory_file
    whole = read_trajectory_file(path)
    old = tmp_path / "old.h5"
    with h5py.File(path) as new, h5py.File(old, "w") as file:
        for name in new:
            array = new[name][:]
            file[name] = np.moveaxis(array, -1, 0) if name == "positions" and version == 1 else array
        file.attrs.update(dict(new.attrs) | {"format_version": version, "species": list(whole.species)})
    again = read_trajectory_file(old, 7, 90, atoms=[0, 3])
    assert np.array_equal(again.positions, whole.positions[7:90, [0, 3]])
    assert again.species == tuple(whole.species[i] for i in (0, 3))
    assert stored_size(old).n_atoms == 8


def test_a_short_run_of_a_small_cell_takes_six_bytes_an_atom_and_frame(tmp_path):
    rng = np.random.default_rng(6)
    species = ("Li",) * 20 + ("Ge",) * 2 + ("P",) * 4 + ("S",) * 24
    short = Trajectory(
        positions=10 * rng.random((1, 50, 3)) + rng.normal(0, 0.15, (100, 50, 3)),
        cells=10 * np.eye(3),
        species=species,
        times_ps=np.arange(100) * 0.02,
        unwrapped=True,
        temperatures_K=600 + 40 * rng.normal(size=100),
        potential_energies_eV=-200 + rng.normal(size=100),
    )
    path = tmp_path / "short.h5"
    write_trajectory_file(path, [short[:40], short[40:]])
    assert stored_size(path).bytes_per_atom_and_frame < 6
    assert read_trajectory_file(path).species == species
