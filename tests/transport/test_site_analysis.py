"""The whole way from trajectories of known walks to sites and jumps."""

import time
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.jump_statistics import correlation_factor
from sse_screen.transport.jumps import SiteRadii
from sse_screen.transport.migration import migration_paths
from sse_screen.transport.network import network_components
from sse_screen.transport.site_analysis import SiteOptions, analyse_sites

SPACING_A = 3.0
AXES = np.concatenate([np.eye(3), -np.eye(3)])


def parent() -> Structure:
    """Simple cubic lithium with sulphur at the body centre, CsCl structure."""
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(SPACING_A), ["Li", "S"], [[0, 0, 0], [0.5] * 3])


def walk(
    *, n_frames: int = 600, size: int = 3, probability: float = 0.05, seed: int = 0, drift_A: float = 0.0
) -> Trajectory:
    """Independent lithium walkers on the parent's sites, vibrating sulphur, all of it drifting, wrapped."""
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), -1).reshape(-1, 3)
    n = len(points)
    steps = AXES[rng.integers(0, 6, (n_frames, n))] * (rng.random((n_frames, n, 1)) < probability)
    steps[0] = 0
    lithium = (points + np.cumsum(steps, axis=0)) * SPACING_A + rng.normal(0, 0.15, (n_frames, n, 3))
    sulphur = (points + 0.5) * SPACING_A + rng.normal(0, 0.08, (n_frames, n, 3))
    length = size * SPACING_A
    positions = np.concatenate([lithium, sulphur], axis=1)
    positions = positions + drift_A * np.arange(n_frames)[:, None, None] / n_frames + 0.2
    return Trajectory(
        positions=positions % length,
        cells=np.eye(3) * length,
        species=("Li",) * n + ("S",) * n,
        times_ps=np.arange(n_frames) * 0.1,
        unwrapped=False,
    )


def test_known_walk_with_its_parent_through_drift_and_a_shifted_origin() -> None:
    trajectories = [walk(seed=1, drift_A=4.0), walk(seed=2)]
    found = analyse_sites(trajectories, "Li", structure=parent())
    assert found.sites.types == ("1a",) * 27
    assert found.warnings == ()
    assert found.n_ions == 27
    assert found.n_frames == 1200
    assert found.visits.n_ions == 54
    assert len(found.jumps) == pytest.approx(0.05 * 599 * 54, rel=0.1)
    np.testing.assert_allclose(np.linalg.norm(found.jumps.vectors_A, axis=1), SPACING_A, atol=1e-6)
    assert network_components(found.network)[0].axes == (True, True, True)
    factor, _ = correlation_factor(found.jumps)
    assert factor.lower < 1 < factor.upper
    assert found.framework.species == ("S",) * 27


def test_without_a_structure_the_peaks_are_the_same_sites() -> None:
    trajectory = walk(seed=3)
    with_parent = analyse_sites([trajectory], "Li", structure=parent())
    alone = analyse_sites([trajectory], "Li")
    assert alone.sites.types == ("peak",) * 27
    assert abs(len(alone.jumps) - len(with_parent.jumps)) <= 0.02 * len(with_parent.jumps)


def test_unoccupied_places_of_the_structure_are_found_in_the_density() -> None:
    """Only every other lithium site is in the structure given; the other one is found and named."""
    half = Structure(
        Lattice.orthorhombic(SPACING_A, SPACING_A, 2 * SPACING_A),
        ["Li", "S", "S"],
        [[0, 0, 0], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75]],
    )
    found = analyse_sites([walk(size=4, n_frames=300)], "Li", structure=half)
    assert set(found.sites.types) == {"1a", "i-1b"}
    assert found.sites.types.count("i-1b") == 32


def test_low_symmetry_structures_get_one_name_for_all_hosts() -> None:
    rng = np.random.default_rng(0)
    big = parent() * (3, 3, 3)
    rattled = Structure(big.lattice, big.species, big.frac_coords + rng.normal(0, 0.01, (54, 3)))
    found = analyse_sites([walk(n_frames=200)], "Li", structure=rattled)
    assert found.sites.types == ("host",) * 27
    assert "disordered parent" in found.warnings[0]


def test_warnings_for_sparse_frames_and_for_ions_off_their_sites() -> None:
    sparse = walk(n_frames=300, probability=0.9)
    found = analyse_sites([sparse], "Li", structure=parent())
    assert any("store frames more often" in text for text in found.warnings)
    tight = analyse_sites(
        [walk(n_frames=200)], "Li", structure=parent(), options=SiteOptions(radii=SiteRadii(0.05, 0.1))
    )
    assert any("do not describe them" in text for text in tight.warnings)


def test_all_mobile_and_foreign_structures() -> None:
    trajectory = walk(n_frames=100)
    lithium = trajectory.select_atoms(trajectory.indices("Li"))
    assert len(analyse_sites([lithium], "Li").sites) == 27
    with pytest.raises(InputError, match="no supercell"):
        analyse_sites([trajectory], "Li", structure=Structure(Lattice.cubic(4.1), ["Li"], [[0, 0, 0]]))
    with pytest.raises(InputError, match="different atoms"):
        analyse_sites([trajectory, lithium], "Li")
    with pytest.raises(InputError, match="no site"):
        analyse_sites([trajectory], "Li", options=SiteOptions(minimum_occupancy=50.0))


def test_two_frames_and_one_frame() -> None:
    trajectory = walk(n_frames=20, probability=0.0)
    two = analyse_sites([trajectory[:2]], "Li", structure=parent())
    assert len(two.jumps) == 0
    assert two.visits.truncated_start.all()
    with pytest.raises(InputError, match="one frame"):
        analyse_sites([trajectory[:1]], "Li", structure=parent())


def test_a_breathing_cell_gives_the_same_jumps() -> None:
    trajectory = walk(n_frames=300, seed=5)
    scale = 1 + 0.01 * np.sin(np.arange(300) / 10)
    breathing = Trajectory(
        positions=trajectory.positions * scale[:, None, None],
        cells=trajectory.cells * scale[:, None, None],
        species=trajectory.species,
        times_ps=trajectory.times_ps,
        unwrapped=False,
    )
    still = analyse_sites([trajectory], "Li", structure=parent())
    found = analyse_sites([breathing], "Li", structure=parent())
    np.testing.assert_array_equal(found.jumps.frame, still.jumps.frame)
    np.testing.assert_array_equal(found.jumps.destination, still.jumps.destination)


def test_an_ion_gas_is_told_from_a_crystal() -> None:
    rng = np.random.default_rng(0)
    crystal = walk(n_frames=200)
    gas = crystal.positions.copy()
    gas[:, :27] = np.cumsum(rng.normal(0, 0.6, (200, 27, 3)), axis=0) % 9.0
    molten = Trajectory(
        positions=gas,
        cells=crystal.cells,
        species=crystal.species,
        times_ps=crystal.times_ps,
        unwrapped=False,
    )
    found = analyse_sites([molten], "Li", structure=parent())
    assert any("do not describe them" in text for text in found.warnings)


def reference_folder() -> Path:
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "reference").is_dir():
            return folder / "shared" / "reference"
    pytest.skip("reference data not found: ../shared/reference is absent")


def test_li6ps5cl_of_the_reference_has_its_sites_and_its_tetrahedra() -> None:
    """Li6PS5Cl at 500 K: 48h and new places in the cages, every P in four S, four in five S at a P."""
    from sse_screen.dynamics.readers import ReadOptions, read_trajectory
    from sse_screen.transport.structure_functions import coordination_statistics

    folder = reference_folder()
    options = ReadOptions(time_step_fs=2.0, steps_per_frame=50)
    trajectory = read_trajectory(folder / "trajectories" / "example_XDATCAR.gz", options=options)
    crystal = Structure.from_file(folder / "structures" / "Li6PS5Cl_F-43m_OBELiX-122.cif")
    found = analyse_sites([trajectory], "Li", structure=crystal)
    assert found.sites.types.count("48h") == 8 * 48
    assert set(found.sites.types) == {"48h", "i-48h", "i-16e"}
    # 100 fs between frames is too sparse for jumps of 0.2 ps, and that is said.
    assert any("last a single frame" in text for text in found.warnings)
    arrays = trajectory.positions, trajectory.cells, trajectory.species
    assert coordination_statistics(*arrays, ("P", "S"), 3.0) == (4.0, 0.0, {4: 1.0})
    assert coordination_statistics(*arrays, ("S", "P"), 3.0).fractions == pytest.approx({0: 0.2, 1: 0.8})


def test_density_and_paths_come_along() -> None:
    found = analyse_sites([walk(n_frames=400)], "Li", structure=parent())
    assert found.density.values_per_A3.sum() * found.density.voxel_volume_A3 == pytest.approx(1.0)
    paths = migration_paths(found.smooth_density, found.sites, 600.0)
    assert all(path.barrier_eV > 0 for path in paths)


def test_speed_of_5000_frames_of_200_atoms() -> None:
    trajectory = walk(n_frames=5000, size=4, probability=0.01)
    start = time.perf_counter()
    analyse_sites([trajectory], "Li", structure=parent())
    assert time.perf_counter() - start < 4.0
