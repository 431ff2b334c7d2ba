"""Runs in LAMMPS: exact continuation, right temperature and energy, the frames of the other engine."""

import numpy as np
import pytest
from ase.spacegroup import crystal

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics import lammps_dynamics
from sse_screen.dynamics.molecular_dynamics import DynamicsError, RunPausedError, run_molecular_dynamics
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials import load_calculator

POTENTIAL = "garnet-buckingham"


def lithium_oxide(size=(2, 2, 2)):
    atoms = crystal(
        ["Li", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[4.7] * 3 + [90] * 3
    )
    return atoms * size


def protocol(**changes):
    values = {"time_step_fs": 1.0, "equilibration_ps": 0.2, "production_ps": 0.8, "frame_interval_fs": 10.0}
    return MolecularDynamicsProtocol(**(values | changes))


def run(folder, *, atoms=None, progress=None, temperature_K=1300.0, monitor=None, pause=None, **changes):
    atoms = lithium_oxide() if atoms is None else atoms
    calculator, options = load_calculator(POTENTIAL), {"monitor": monitor, "pause": pause}
    steps = protocol(**changes)
    return run_molecular_dynamics(atoms, calculator, steps, temperature_K, 7, folder, progress, **options)


class _KilledError(Exception):
    pass


def _kill_at(step):
    def progress(done, _total):
        if done == step:
            raise _KilledError

    return progress


@pytest.mark.parametrize("ensemble", ["nvt", "npt", "nve"])
def test_a_run_in_killed_segments_equals_an_unbroken_one_bit_for_bit(tmp_path, ensemble, monkeypatch):
    monkeypatch.setattr(lammps_dynamics, "FRAMES_PER_SEGMENT", 12)
    whole = run(tmp_path / "whole", ensemble=ensemble, store_velocities=True)
    for step in (110, 250, 480, 810):
        with pytest.raises(_KilledError):
            run(tmp_path / "broken", ensemble=ensemble, store_velocities=True, progress=_kill_at(step))
    broken = run(tmp_path / "broken", ensemble=ensemble, store_velocities=True)
    a, b = read_trajectory_file(whole.trajectory_file), read_trajectory_file(broken.trajectory_file)
    assert len(a) == 100
    for name in ("positions", "velocities", "cells", "potential_energies_eV", "temperatures_K"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert (np.ptp(a.cells[:, 0, 0]) > 0) == (ensemble == "npt")


@pytest.mark.parametrize("every", [15, 37])
def test_a_paused_run_ends_where_the_unbroken_one_does(tmp_path, monkeypatch, every):
    monkeypatch.setattr(lammps_dynamics, "FRAMES_PER_SEGMENT", 20)
    small = lithium_oxide((1, 1, 1))

    def judged(folder, pause):
        seen = []

        def monitor(first, latest):
            seen.append((first.positions, latest.positions))
            return "melted" if latest.times_ps[-1] > 0.7 else None

        while True:
            try:
                done = run(folder, atoms=small, monitor=monitor, pause=pause, equilibration_ps=0.3)
                return (done.stopped, done.n_frames), seen
            except RunPausedError:
                continue

    calls = iter(range(1, 10_000))
    whole, seen = judged(tmp_path / "whole", None)
    broken, seen_broken = judged(tmp_path / "broken", lambda: next(calls) % every == 0)
    assert whole == broken == ("melted", 60)
    for one, other in zip(seen, seen_broken, strict=True):
        assert all(map(np.array_equal, one, other))


def test_the_thermostat_gives_the_temperature_and_nve_keeps_the_energy(tmp_path):
    hot = run(tmp_path / "nvt", atoms=lithium_oxide((1, 1, 1)), production_ps=20.0, time_step_fs=2.0)
    assert hot.mean_temperature_K == pytest.approx(1300.0, rel=0.06)
    free = run(tmp_path / "nve", ensemble="nve", production_ps=2.0)
    trajectory = read_trajectory_file(free.trajectory_file, 20)
    kinetic = 1.5 * (96 - 1) * 8.617333e-5 * trajectory.temperatures_K
    total = trajectory.potential_energies_eV + kinetic
    assert np.std(total) < 0.02 * np.std(kinetic)


def test_frames_are_those_of_the_crystal_as_given(tmp_path):
    atoms = lithium_oxide((1, 1, 1))
    atoms.set_cell(atoms.cell[:] @ np.array([[1.0, 0.1, 0], [0, 1, 0.05], [0, 0, 1]]), scale_atoms=True)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    result = run(tmp_path, atoms=atoms, store_velocities=True)
    trajectory = read_trajectory_file(result.trajectory_file)
    assert trajectory.species == tuple(atoms.get_chemical_symbols())
    assert np.allclose(trajectory.cells, atoms.cell[:], atol=1e-9)
    step = np.linalg.norm(np.diff(trajectory.positions, axis=0), axis=2)
    assert step.max() < 1.5  # unwrapped: nothing jumps by a cell
    assert np.linalg.norm(trajectory.positions[0] - atoms.positions, axis=1).max() < 1.0
    again = atoms.copy()
    again.positions = trajectory.positions[-1]
    again.calc = load_calculator(POTENTIAL)
    assert again.get_potential_energy() == pytest.approx(trajectory.potential_energies_eV[-1], abs=0.02)
    moved = (trajectory.velocities[1:] + trajectory.velocities[:-1]) / 2 * 10.0  # Å in 10 fs
    assert np.corrcoef(moved.ravel(), np.diff(trajectory.positions, axis=0).ravel())[0, 1] > 0.99


def test_the_barostat_reaches_its_pressure(tmp_path):
    pressed, free = (
        run(tmp_path / str(p), ensemble="npt", production_ps=3.0, pressure_bar=p).mean_volume_A3
        for p in (1e5, 1.0)
    )
    assert pressed < 0.97 * free


def test_an_explosion_is_a_scientific_error_with_the_way_out(tmp_path):
    atoms = lithium_oxide()
    atoms.positions[0] = atoms.positions[1] + 0.02
    with pytest.raises(DynamicsError, match="try a shorter time_step_fs"):
        run(tmp_path, atoms=atoms)
