"""The engine: right temperature, exact continuation, small files, errors that say what happened."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics import segmented_run
from sse_screen.dynamics.molecular_dynamics import (
    DynamicsError,
    FolderBusyError,
    _locked,
    run_molecular_dynamics,
)
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import read_trajectory_file, write_trajectory_file


def argon():
    return bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)


class _NoHistory(LennardJones):
    """Builds its neighbour list anew each time, as the machine-learned potentials do."""

    def calculate(self, *args, **kwargs):
        self.nl = None
        super().calculate(*args, **kwargs)


class _Refusing(LennardJones):
    def calculate(self, *args, **kwargs):
        raise AssertionError("nothing may be computed again")


def calculator():
    return _NoHistory(sigma=3.4, epsilon=0.0104, rc=7.0, smooth=True)


def protocol(**changes):
    values = {
        "time_step_fs": 4.0,
        "equilibration_ps": 0.4,
        "production_ps": 1.2,
        "frame_interval_fs": 16.0,
    }
    return MolecularDynamicsProtocol(**(values | changes))


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("ensemble", ["nvt", "npt", "nve"])
def test_a_run_killed_in_the_middle_equals_an_unbroken_one_bit_for_bit(tmp_path, ensemble, monkeypatch):
    monkeypatch.setattr(segmented_run, "FRAMES_PER_SEGMENT", 10)
    steps = protocol(ensemble=ensemble)
    whole = run_molecular_dynamics(argon(), calculator(), steps, 40.0, 7, tmp_path / "whole")

    def kill_at(step):
        def progress(done, _total):
            if done == step:
                raise _KilledError

        return progress

    for step in (60, 132, 300):
        with pytest.raises(_KilledError):
            run_molecular_dynamics(argon(), calculator(), steps, 40.0, 7, tmp_path / "broken", kill_at(step))
    broken = run_molecular_dynamics(argon(), calculator(), steps, 40.0, 7, tmp_path / "broken")
    a, b = read_trajectory_file(whole.trajectory_file), read_trajectory_file(broken.trajectory_file)
    assert len(a) == steps.n_equilibration_frames + steps.n_frames == 100
    assert np.array_equal(a.positions, b.positions)
    assert np.array_equal(a.potential_energies_eV, b.potential_energies_eV)
    assert np.array_equal(a.cells, b.cells)


def test_the_thermostat_gives_the_temperature_asked_for_in_a_small_cell(tmp_path):
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)  # four atoms: 3N and 3N-3 differ by a third
    result = run_molecular_dynamics(
        atoms,
        LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0, smooth=True),
        protocol(production_ps=60.0, thermostat_time_fs=50.0),
        40.0,
        3,
        tmp_path,
    )
    assert result.mean_temperature_K == pytest.approx(40.0, rel=0.06)


def test_nve_keeps_its_energy(tmp_path):
    result = run_molecular_dynamics(
        argon(), calculator(), protocol(ensemble="nve", production_ps=2.0), 30.0, 5, tmp_path
    )
    trajectory = read_trajectory_file(result.trajectory_file, 25)
    kinetic = 1.5 * (len(argon()) - 1) * 8.617333e-5 * trajectory.temperatures_K
    total = trajectory.potential_energies_eV + kinetic
    assert np.std(total) < 0.02 * np.std(kinetic)


def test_a_finished_run_is_returned_and_not_repeated(tmp_path):
    first = run_molecular_dynamics(argon(), calculator(), protocol(), 40.0, 7, tmp_path)
    second = run_molecular_dynamics(argon(), _Refusing(), protocol(), 40.0, 7, tmp_path)
    assert first == second


def test_an_explosion_is_a_scientific_error_with_the_way_out(tmp_path):
    atoms = argon()
    atoms.positions[0] = atoms.positions[1] + 0.3
    with pytest.raises(DynamicsError, match="time_step_fs"):
        run_molecular_dynamics(atoms, calculator(), protocol(), 40.0, 7, tmp_path)


def test_a_busy_folder_is_refused(tmp_path):
    with _locked(tmp_path), pytest.raises(FolderBusyError, match="another process"):
        run_molecular_dynamics(argon(), calculator(), protocol(), 40.0, 7, tmp_path)


def test_stored_positions_keep_their_tolerance_and_stay_small(tmp_path):
    rng = np.random.default_rng(1)
    n_frames, n_atoms = 400, 100
    positions = rng.uniform(0, 12, (1, n_atoms, 3)) + np.cumsum(
        rng.normal(0, 0.05, (n_frames, n_atoms, 3)), axis=0
    )
    trajectory = Trajectory(
        positions=positions,
        cells=np.tile(12 * np.eye(3), (n_frames, 1, 1)),
        species=("Li",) * n_atoms,
        times_ps=np.arange(n_frames) * 0.02,
        unwrapped=True,
    )
    path = tmp_path / "t.h5"
    write_trajectory_file(path, [trajectory[:150], trajectory[150:]])
    again = read_trajectory_file(path.read_bytes())
    assert np.abs(again.positions - positions).max() <= 5.0001e-4
    assert path.stat().st_size / (n_frames * n_atoms) < 6
    part = read_trajectory_file(path, 100, 160)
    assert np.array_equal(part.positions, again.positions[100:160])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"time_step_fs": 0}, "time_step_fs"),
        ({"time_step_fs": 12}, "time_step_fs"),
        ({"frame_interval_fs": 5}, "multiple"),
    ],
)
def test_bad_protocols_are_refused(changes, word):
    with pytest.raises(ValueError, match=word):
        protocol(**changes)
