"""Site networks from trajectories of known walks, and what is stored of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.units import kB
from pymatgen.core import Lattice, Structure

from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.jump_barrier import JumpBarriers
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput, MolecularDynamicsProtocol
from sse_screen.documents.site_network import SiteNetwork, SiteNetworkDoc
from sse_screen.documents.structure_function import StructureFunctionDoc, StructureFunctions
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.jumps import SiteRadii
from sse_screen.transport.site_analysis import SiteOptions, analyse_sites

SPACING_A, STEP_PS = 3.0, 0.1
AXES = np.concatenate([np.eye(3), -np.eye(3)])


def parent() -> Structure:
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(SPACING_A), ["Li", "S"], [[0, 0, 0], [0.5] * 3])


def walk(rate_per_ps: float, *, n_frames: int = 500, seed: int = 0, velocities: bool = False) -> Trajectory:
    """27 independent walkers on a simple cubic lattice with sulphur at the body centres."""
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    steps = AXES[rng.integers(0, 6, (n_frames, 27))] * (rng.random((n_frames, 27, 1)) < rate_per_ps * STEP_PS)
    steps[0] = 0
    lithium = (points + np.cumsum(steps, axis=0)) * SPACING_A + rng.normal(0, 0.15, (n_frames, 27, 3))
    sulphur = (points + 0.5) * SPACING_A + rng.normal(0, 0.08, (n_frames, 27, 3))
    return Trajectory(
        positions=np.concatenate([lithium, sulphur], axis=1) % 9.0,
        cells=np.eye(3) * 9.0,
        species=("Li",) * 27 + ("S",) * 27,
        times_ps=np.arange(n_frames) * STEP_PS,
        unwrapped=False,
        velocities=rng.normal(0, 0.01, (n_frames, 54, 3)) if velocities else None,
    )


def output(seed: int = 1, **changes: object) -> MolecularDynamicsOutput:
    fields: dict = {
        "calculation_key": f"k{seed}",
        "material_id": "m" * 64,
        "material_name": "LiS",
        "formula": "LiS",
        "chemical_system": "Li-S",
        "elements": ["Li", "S"],
        "n_atoms": 54,
        "structure": (parent() * (3, 3, 3)).as_dict(),
        "mobile_ion": "Li",
        "charge_number": 1,
        "potential": PotentialIdentity(name="toy", code="toy", code_version="1", weights_sha256="c" * 64),
        "protocol": MolecularDynamicsProtocol(production_ps=50.0, frame_interval_fs=100.0),
        "temperature_K": 600.0,
        "seed": seed,
        "trajectory": {"sha256": "a" * 64, "size_bytes": 1},
        "mean_temperature_K": 600.0,
        "mean_volume_A3": 729.0,
        "n_steps": 25_000,
        "potential_time_s": 1.0,
        "total_time_s": 1.0,
    }
    return MolecularDynamicsOutput.model_validate(fields | changes)


@pytest.fixture(scope="module")
def network() -> SiteNetworkDoc:
    return SiteNetworkDoc.from_trajectories(
        [output(1), output(2)], [walk(0.5, seed=1), walk(0.5, seed=2)], back_jump_time_ps=1.0
    )


def test_sites_that_do_not_describe_the_ions_have_no_numbers_of_jumps() -> None:
    """Ions that drift through the cell as in a liquid are on the way most of their time."""
    crystal = walk(0.0)
    drift = np.cumsum(np.random.default_rng(3).normal(0, 1.0, (500, 27, 3)), axis=0)
    positions = np.concatenate([crystal.positions[:, :27] + drift, crystal.positions[:, 27:]], axis=1) % 9.0
    liquid = replace(crystal, positions=positions)
    options = SiteOptions(radii=SiteRadii(0.3, 0.4))
    analysis = analyse_sites([liquid], "Li", structure=parent() * (3, 3, 3), options=options)
    found = SiteNetwork.of(analysis, "Li", 600.0)
    assert found.verdict == "unresolved"
    assert found.time_at_sites == pytest.approx(analysis.time_at_sites)
    assert 0 < found.time_at_sites < 0.5
    assert found.reasons == [
        f"ions are at a site only {found.time_at_sites:.0%} of the time: the sites do not describe them"
    ]
    assert found.reasons[0] not in found.warnings
    for quantity in (found.back_jump_fraction, found.correlation_factor, found.random_walk_diffusivity):
        assert (quantity.verdict, quantity.value, quantity.upper) == ("unresolved", None, None)
    assert found.percolation is None
    assert found.graph_order_parameter is None


def test_known_rate_residence_and_diffusivity_come_back(network: SiteNetworkDoc) -> None:
    (kind,) = network.site_types
    assert (kind.name, kind.n_sites) == ("1a", 27)
    assert kind.occupancy == pytest.approx(1.0)
    assert kind.residence_time.lower < 2.0 < kind.residence_time.upper
    (rate,) = network.rates
    assert rate.rate.lower < 0.5 < rate.rate.upper
    assert rate.rate.unit == "1/ps"
    assert rate.mean_length_A == pytest.approx(3.0)
    assert network.n_jumps == rate.count == sum(edge.forward + edge.backward for edge in network.edges)
    # D = rate a² / 6 in Å²/ps, 1e-4 of that in cm²/s.
    exact = 0.5 * 9.0 / 6 * 1e-4
    assert network.random_walk_diffusivity.lower < exact < network.random_walk_diffusivity.upper
    assert network.correlation_factor.lower < 1.0 < network.correlation_factor.upper
    # One jump in six is a reversal, and ten frames of 5 % each see 1 - 0.95^10 of them.
    assert network.back_jump_fraction.value == pytest.approx((1 - 0.95**10) / 6, abs=0.02)


def test_network_density_and_volumes(network: SiteNetworkDoc) -> None:
    assert network.percolation.dimension == 3
    assert network.percolation.along_a
    assert network.percolation.along_b
    assert network.percolation.along_c
    assert len(network.percolation.thresholds) == 3
    assert len(network.edges) == 81
    assert network.superbasins == []
    assert network.graph_order_parameter_cubed == pytest.approx(network.graph_order_parameter**3)
    assert network.density.grid == [45, 45, 45]
    assert network.density.isosurface_per_A3 == 1e-4
    assert 0.95 < network.density.isosurface_share < 1.0
    (kind,) = network.site_types
    # Spheres of S2- (1.70 Å) 3 Å apart share three lenses a cell.
    lens = np.pi * (4 * 1.7 + 3) * (2 * 1.7 - 3) ** 2 / 12
    overlapping = 27 - 4 / 3 * np.pi * 1.7**3 + 3 * lens
    assert 0 < kind.accessible_volume_A3 < 27
    assert kind.static_volume_A3 == pytest.approx(overlapping, abs=0.2)
    assert network.warnings == []


def test_document_is_identified_by_its_group_and_survives_json(network: SiteNetworkDoc) -> None:
    assert network.id == SiteNetworkDoc.id_of(network.model_dump())
    again = SiteNetworkDoc.model_validate_json(network.model_dump_json())
    assert again == network
    twice = SiteNetworkDoc.from_trajectories(
        [output(1), output(2)], [walk(0.5, seed=1), walk(0.5, seed=2)], back_jump_time_ps=1.0
    )
    different = {"built_at"}
    assert twice.model_dump(exclude=different) == network.model_dump(exclude=different)
    json.loads(network.model_dump_json())


def test_every_number_has_a_unit() -> None:
    from sse_screen.database.fields import document_fields

    for document in (SiteNetworkDoc, StructureFunctionDoc):
        missing = [
            name
            for name, field in document_fields(document).items()
            if field.kind in ("number", "integer")
            and field.unit is None
            and not name.endswith((".lower", ".upper", ".value", ".confidence"))
        ]
        assert missing == []


def test_runs_of_different_groups_are_refused() -> None:
    with pytest.raises(InputError, match="temperature_K"):
        SiteNetworkDoc.from_trajectories([output(1), output(2, temperature_K=700.0)], [walk(0.5), walk(0.5)])


def frozen(temperature_K: float) -> SiteNetwork:
    analysis = analyse_sites([walk(0.0, n_frames=60)], "Li", structure=parent())
    return SiteNetwork.of(analysis, "Li", temperature_K)


def test_a_frozen_crystal_gives_limits_and_no_numbers() -> None:
    still = frozen(300.0)
    assert still.n_jumps == 0
    assert still.random_walk_diffusivity.verdict == "upper_limit"
    assert still.random_walk_diffusivity.value is None
    assert still.rates[0].rate.verdict == "upper_limit"
    assert still.rates[0].rate.upper == pytest.approx(3.6888794541 / (27 * 6.0))
    assert still.correlation_factor.verdict == "unresolved"
    assert still.site_types[0].residence_time.value is None
    assert still.site_types[0].residence_time.upper is None
    assert still.percolation.dimension == 0
    assert still.graph_order_parameter == 0.0
    still.model_dump_json()


def test_barrier_of_rates_at_several_temperatures_with_a_frozen_one() -> None:
    def rate(temperature_K: float) -> float:
        return 20.0 * np.exp(-0.2 / (kB * temperature_K))

    networks = [frozen(150.0)]
    for seed, temperature in enumerate((500.0, 700.0, 900.0)):
        analysis = analyse_sites([walk(rate(temperature), seed=seed)], "Li", structure=parent())
        networks.append(SiteNetwork.of(analysis, "Li", temperature))
    found = JumpBarriers.of(networks)
    (kind,) = found.kinds
    assert (kind.origin, kind.destination) == ("1a", "1a")
    assert kind.rates[0].count == 0
    assert kind.rates[0].rate.verdict == "upper_limit"
    assert kind.barrier.lower < 0.2 < kind.barrier.upper
    assert kind.barrier.upper - kind.barrier.lower < 0.04
    assert kind.attempt_frequency.lower < 20.0 < kind.attempt_frequency.upper
    assert kind.mean_length_A == pytest.approx(3.0)
    assert (found.barrier, found.verdict) == (kind.barrier, "ok")
    assert (found.formula, found.mobile_ion, found.n_temperatures) == ("LiS", "Li", 4)
    only_hot = JumpBarriers.of([networks[0], networks[3]]).barrier
    assert (only_hot.value, only_hot.upper, only_hot.verdict) == (None, None, "unresolved")
    assert only_hot.lower > 0
    assert JumpBarriers.model_validate_json(found.model_dump_json()) == found


def test_an_isosurface_of_a_share_of_the_ions() -> None:
    document = SiteNetworkDoc.from_trajectories([output()], [walk(0.5)], isosurface_share=0.5)
    assert document.density.isosurface_share == pytest.approx(0.5, abs=0.02)
    # Half of a Gaussian of 0.15 Å, smoothed by 0.25 Å, lies within 1.538 widths.
    width = np.hypot(0.15, 0.25)
    volume = 27 * 4 / 3 * np.pi * (1.538 * width) ** 3
    assert document.density.isosurface_volume_A3 == pytest.approx(volume, rel=0.15)
    with pytest.raises(InputError, match="fraction"):
        SiteNetworkDoc.from_trajectories([output()], [walk(0.5)], isosurface_share=1.5)


def test_radii_of_the_state_machine_and_of_the_ions_are_parameters() -> None:
    document = SiteNetworkDoc.from_trajectories(
        [output()], [walk(0.5)], radii=[0.6, 1.2], radii_A={"S": 1.0}, minimum_residence_ps=0.2
    )
    assert (document.inner_radius_A, document.outer_radius_A) == (0.6, 1.2)
    assert document.site_types[0].static_volume_A3 == pytest.approx(27 - 4 / 3 * np.pi, abs=0.3)


def test_structure_functions_of_the_walk() -> None:
    trajectories = [walk(0.0, velocities=True, seed=seed) for seed in (1, 2)]
    document = StructureFunctionDoc.from_trajectories(
        [output(1), output(2)], trajectories, maximum_radius_A=4.0
    )
    assert document.n_frames == 1000
    assert document.n_frames_of_distributions <= 400
    pairs = {(pair.centre, pair.neighbour): pair for pair in document.pair_distributions}
    assert set(pairs) == {("Li", "Li"), ("Li", "S"), ("S", "Li"), ("S", "S")}
    # CsCl structure: eight unlike neighbours at 2.60 Å, six like ones at 3 Å.
    assert pairs[("Li", "S")].coordination_number == pytest.approx(8.0)
    assert pairs[("S", "Li")].coordination_shares == {"8": 1.0}
    assert pairs[("S", "S")].coordination_number == pytest.approx(6.0, abs=0.02)
    assert {part.species for part in document.spectrum} == {"Li", "S"}
    assert np.isclose(document.frequencies_THz[1], 0.25)
    modes = [np.trapezoid(part.dos, document.frequencies_THz) for part in document.spectrum]
    assert sum(modes) == pytest.approx(3 * 54, rel=0.01)
    # White noise forgets its velocity within a frame.
    assert document.lag_times_ps[:3] == [0.0, 0.1, 0.2]
    assert document.lag_times_ps[-1] == 2.0
    for part in document.spectrum:
        assert part.velocity_autocorrelation[0] == 1.0
        assert np.abs(part.velocity_autocorrelation[1:]).max() < 0.05
    assert any("folded back" in text for text in document.warnings)
    assert any("thermostat" in text for text in document.warnings)
    assert StructureFunctionDoc.model_validate_json(document.model_dump_json()) == document


def test_structure_functions_without_velocities() -> None:
    document = StructureFunctions.of([walk(0.0, n_frames=20)], 300.0, maximum_radius_A=4.0)
    assert document.spectrum == []
    assert document.frequencies_THz == []
    with pytest.raises(InputError, match="different atoms"):
        StructureFunctions.of([walk(0.0), walk(0.0).select_atoms(range(27))], 300.0)
