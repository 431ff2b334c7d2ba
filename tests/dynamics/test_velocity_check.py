"""Velocities against displacements: a wrong time between frames is found, a right one is not doubted."""

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet

from sse_screen.dynamics.readers import ReadOptions, read_trajectory
from sse_screen.dynamics.velocity_check import frame_interval_of_velocities_fs

STEP_FS = 2.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """400 steps of copper at about 900 K, all of them written, wrapped into the cell."""
    path = tmp_path_factory.mktemp("run") / "copper.traj"
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    MaxwellBoltzmannDistribution(atoms, temperature_K=1800, rng=np.random.default_rng(4))
    images = []

    def keep():
        image = atoms.copy()
        image.wrap()
        images.append(image)

    dynamics = VelocityVerlet(atoms, STEP_FS * units.fs)
    dynamics.attach(keep)
    dynamics.run(400)
    ase.io.write(path, images)
    return path


@pytest.mark.parametrize("stride", [1, 2, 5, 10, 25, 50])
def test_right_times_are_not_doubted_however_far_the_frames_are_apart(run, stride):
    read = read_trajectory(run, options=ReadOptions(time_step_fs=STEP_FS, stride=stride))
    assert frame_interval_of_velocities_fs(read) is None
    assert not any("velocities" in note for note in read.notes)


@pytest.mark.parametrize("stated_fs", [0.2, 1.0, 1.5, 3.0, 4.0, 20.0])
def test_a_wrong_time_step_of_dense_frames_is_found(run, stated_fs):
    read = read_trajectory(run, options=ReadOptions(time_step_fs=stated_fs))
    assert frame_interval_of_velocities_fs(read) == pytest.approx(STEP_FS, rel=0.05)
    assert any(f"{stated_fs:.3g} fs apart" in note and "in 2 fs" in note for note in read.notes)


def test_steps_between_frames_that_were_not_given_are_found(run, tmp_path):
    coarse = tmp_path / "coarse.traj"
    ase.io.write(coarse, ase.io.read(run, index="::10"))
    read = read_trajectory(coarse, options=ReadOptions(time_step_fs=STEP_FS))
    found = frame_interval_of_velocities_fs(read)
    assert found is not None
    assert STEP_FS * 2 < found <= STEP_FS * 10 * 1.05  # a lower end: atoms have turned round in between


def test_nothing_is_said_without_motion(run):
    read = read_trajectory(run, options=ReadOptions(time_step_fs=STEP_FS))
    assert frame_interval_of_velocities_fs(read[:1]) is None
    still = type(read)(
        positions=np.zeros((5, 2, 3)) + np.arange(2)[:, None],
        cells=np.eye(3) * 5,
        species=("Li", "Li"),
        times_ps=np.arange(5) / 1000,
        unwrapped=True,
        velocities=np.zeros((5, 2, 3)),
    )
    assert frame_interval_of_velocities_fs(still) is None
