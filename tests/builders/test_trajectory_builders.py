"""Site networks and structure functions of walks on a known lattice, stored as jobs store them."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from ase.units import kB
from builder_outputs import as_stored, molecular_dynamics
from pymatgen.core import Lattice, Structure

from sse_screen.builders.jump_barrier import JumpBarrierBuilder
from sse_screen.builders.run import run_builder
from sse_screen.builders.site_network import SiteNetworkBuilder
from sse_screen.builders.structure_function import StructureFunctionBuilder
from sse_screen.database.blobs import BlobStore
from sse_screen.database.indexes import derived_indexes, verify_indexes
from sse_screen.database.served import served_collection
from sse_screen.documents.jump_barrier import JumpBarrierDoc
from sse_screen.documents.site_network import SiteNetworkDoc
from sse_screen.documents.structure_function import StructureFunctionDoc
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import write_trajectory_file
from sse_screen.transport.density_archive import unpack_density

pytestmark = pytest.mark.usefixtures("settings_environment")

SPACING_A, STEP_PS, RATE_PER_PS = 3.0, 0.02, 2.0
AXES = np.concatenate([np.eye(3), -np.eye(3)])


def crystal():
    """3 × 3 × 3 cells of the CsCl structure."""
    cell = Structure.from_spacegroup("Pm-3m", Lattice.cubic(SPACING_A), ["Li", "S"], [[0, 0, 0], [0.5] * 3])
    return cell * (3, 3, 3)


def walk(seed, n_frames=250, rate_per_ps=RATE_PER_PS, velocities=True, edge_A=9.0):
    """27 lithium on a simple cubic lattice, hopping, and sulphur at the body centres, vibrating."""
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    hops = rng.random((n_frames, 27, 1)) < rate_per_ps * STEP_PS
    steps = AXES[rng.integers(0, 6, (n_frames, 27))] * hops
    steps[:1] = 0
    lithium = (points + np.cumsum(steps, axis=0)) * SPACING_A + rng.normal(0, 0.15, (n_frames, 27, 3))
    sulphur = (points + 0.5) * SPACING_A + rng.normal(0, 0.08, (n_frames, 27, 3))
    return Trajectory(
        positions=np.concatenate([lithium, sulphur], axis=1) * edge_A / 9.0,
        cells=np.eye(3) * edge_A,
        species=("Li",) * 27 + ("S",) * 27,
        times_ps=np.arange(n_frames) * STEP_PS,
        unwrapped=True,
        velocities=rng.normal(0, 0.01, (n_frames, 54, 3)) if velocities else None,
    )


def store(database, uuid, trajectory, seed=1, **changes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.h5"
        write_trajectory_file(path, [trajectory])
        blob = BlobStore(database).put(path.read_bytes())
    fields = {"structure": crystal().as_dict(), "n_atoms": 54, "name": "lattice"} | changes
    database.outputs.insert_one(as_stored(uuid, molecular_dynamics(blob, seed=seed, **fields)))


def build():
    reports = [run_builder(SiteNetworkBuilder()), run_builder(StructureFunctionBuilder())]
    return [(report.built, report.failures) for report in reports]


def stored(database):
    site = [SiteNetworkDoc.model_validate(d) for d in database.site_network.find({}, {"_id": 0})]
    structure = database.structure_function.find({}, {"_id": 0})
    return site, [StructureFunctionDoc.model_validate(d) for d in structure]


def test_replicas_are_pooled_and_known_numbers_come_back(database):
    for seed in (1, 2):
        store(database, f"u{seed}", walk(seed), seed)
    assert build() == [(1, {}), (1, {})]
    (network,), (functions,) = stored(database)
    assert (network.verdict, network.reasons) == ("ok", [])
    assert (network.n_replicas, network.n_sites, network.n_ions) == (2, 27, 27)
    (rate,) = network.rates
    assert rate.rate.lower < RATE_PER_PS < rate.rate.upper
    assert network.percolation.dimension == 3
    assert (functions.verdict, functions.reasons) == ("ok", [])
    assert functions.n_frames == 500
    pairs = {(pair.centre, pair.neighbour): pair for pair in functions.pair_distributions}
    assert pairs["S", "S"].coordination_number == pytest.approx(6.0, abs=0.05)
    assert {part.species for part in functions.spectrum} == {"Li", "S"}
    density = unpack_density(BlobStore(database).get(network.density.values.sha256))
    assert density.density.shape == tuple(network.density.grid)
    assert density.density.n_samples == 500 * 27
    assert density.species.count("S") == 27
    assert [ref.id for ref in network.inputs] == [ref.id for ref in functions.inputs] == ["u1", "u2"]
    assert network.id != functions.id
    assert network.builder == "SiteNetworkBuilder"


def test_built_once_and_again_when_a_replica_is_added(database):
    store(database, "u1", walk(1))
    assert build() == [(1, {}), (1, {})]
    assert build() == [(0, {}), (0, {})]
    store(database, "u2", walk(2), seed=2)
    assert build() == [(1, {}), (1, {})]
    (network,), (functions,) = stored(database)
    assert network.n_replicas == 2
    assert functions.n_frames == 500


def test_parameters_reach_the_documents(database):
    store(database, "u1", walk(1))
    assert run_builder(SiteNetworkBuilder({"radii": [0.6, 1.2]})).built == 1
    assert run_builder(StructureFunctionBuilder({"maximum_radius_A": 4.0})).built == 1
    (network,), (functions,) = stored(database)
    assert (network.inner_radius_A, network.outer_radius_A) == (0.6, 1.2)
    assert functions.pair_distributions[0].radii_A[-1] == pytest.approx(3.975)


def test_no_jump_is_an_upper_limit(database):
    store(database, "u1", walk(1, n_frames=100, rate_per_ps=0.0))
    assert build() == [(1, {}), (1, {})]
    (network,), _ = stored(database)
    assert (network.verdict, network.reasons) == ("upper_limit", ["no jump was seen"])
    assert network.rates[0].rate.verdict == "upper_limit"


@pytest.mark.parametrize("n_frames", [1, 3])
def test_too_few_frames_are_said_and_no_failure(database, n_frames):
    store(database, "u1", walk(1, n_frames=n_frames))
    assert build() == [(1, {}), (1, {})]
    (network,), (functions,) = stored(database)
    assert network.verdict == "refused"
    assert network.reasons == [f"{n_frames} frames are too few; sites need at least 20"]
    assert network.random_walk_diffusivity.verdict == "refused"
    assert network.edges == []
    assert functions.verdict == "unresolved"
    assert functions.reasons[0] == f"{n_frames} frames are too few; distributions need at least 20"
    assert "no spectrum" in functions.reasons[1]


def test_a_cell_that_left_its_crystal_and_missing_velocities_are_said(database):
    store(database, "u1", walk(1, velocities=False, edge_A=12.0))
    assert build() == [(1, {}), (1, {})]
    (network,), (functions,) = stored(database)
    assert network.verdict == "refused"
    assert "no supercell of the structure's" in network.reasons[0]
    assert functions.verdict == "ok"
    assert functions.reasons == ["no spectrum: velocities were not stored"]
    assert functions.frequencies_THz == []


def test_what_is_wrong_with_the_parameters_is_a_failure(database):
    store(database, "u1", walk(1))
    (error,) = run_builder(SiteNetworkBuilder({"radii": [2.0, 1.0]})).failures.values()
    assert "site radii need 0 < inner" in error


@pytest.mark.parametrize("name", ["site_network", "structure_function", "jump_barrier"])
def test_indexes_are_there_after_a_build(database, name):
    build()
    run_builder(JumpBarrierBuilder())
    assert verify_indexes(database, {name: derived_indexes(served_collection(name))}) == []


def test_barriers_are_built_from_the_networks_of_all_temperatures(database):
    def rate(temperature_K):
        return 40.0 * np.exp(-0.2 / (kB * temperature_K))

    for number, temperature in enumerate((600.0, 800.0, 1000.0)):
        trajectory = walk(number, rate_per_ps=rate(temperature), velocities=False)
        store(database, f"u{number}", trajectory, temperature_K=temperature)
    assert run_builder(SiteNetworkBuilder()).built == 3
    assert run_builder(JumpBarrierBuilder()).built == 1
    assert run_builder(JumpBarrierBuilder()).built == 0
    (found,) = database.jump_barrier.find({}, {"_id": 0})
    barriers = JumpBarrierDoc.model_validate(found)
    assert barriers.barrier.lower < 0.2 < barriers.barrier.upper
    assert barriers.n_temperatures == 3
    networks = {network["id"] for network in database.site_network.find()}
    assert {reference.id for reference in barriers.inputs} == networks
    # Another replica changes a network and with it the barriers.
    store(database, "u3", walk(3, rate_per_ps=rate(600.0), velocities=False), seed=2, temperature_K=600.0)
    assert [run_builder(builder()).built for builder in (SiteNetworkBuilder, JumpBarrierBuilder)] == [1, 1]
    again = JumpBarrierDoc.model_validate(database.jump_barrier.find_one({}, {"_id": 0}))
    assert again.id == barriers.id
    assert again.n_jumps > barriers.n_jumps


def test_one_temperature_is_a_refused_barrier_and_no_failure(database):
    store(database, "u1", walk(1, velocities=False))
    run_builder(SiteNetworkBuilder())
    report = run_builder(JumpBarrierBuilder())
    assert (report.built, report.failures) == (1, {})
    found = database.jump_barrier.find_one()
    assert found["verdict"] == "refused"
    assert "a barrier needs two" in found["reasons"][0]
