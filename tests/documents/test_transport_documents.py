"""Diffusivity and activation energy as documents: pooling, refusals, published fits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import BlobReference, PotentialIdentity, Quantity
from sse_screen.documents.diffusivity import DiffusivityDoc, DynamicsConditions, group_of
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput, MolecularDynamicsProtocol
from sse_screen.exceptions import InputError
from sse_screen.reporting.figures import arrhenius_figure
from sse_screen.reporting.ranking import quantity_text
from sse_screen.transport.figures import arrhenius_figure as fit_figure
from sse_screen.transport.synthetic import as_trajectory, uncorrelated_hops

POTENTIAL = PotentialIdentity(name="chgnet", code="chgnet", code_version="0.4.2", weights_sha256="c" * 64)


def output(**changes):
    fields = {
        "calculation_key": "k",
        "material_id": "m",
        "material_name": "walker",
        "formula": "LiS",
        "chemical_system": "Li-S",
        "elements": ["Li", "S"],
        "n_atoms": 48,
        "structure": {},
        "mobile_ion": "Li",
        "charge_number": 1,
        "potential": POTENTIAL,
        "protocol": MolecularDynamicsProtocol(equilibration_ps=0.0, production_ps=8.0),
        "temperature_K": 700.0,
        "seed": 1,
        "trajectory": BlobReference(sha256="a" * 64, size_bytes=1),
        "mean_temperature_K": 720.0,
        "mean_volume_A3": 1728.0,
        "n_steps": 1,
        "potential_time_s": 1.0,
        "total_time_s": 1.0,
    }
    return MolecularDynamicsOutput(**(fields | changes))


def walk(jumps, seed=0, n_frames=400):
    generator = np.random.default_rng(seed)
    walks, per_frame = uncorrelated_hops(1, 24, n_frames, jumps, generator)
    return as_trajectory(walks[0], 0.02, generator), per_frame / 0.02 * 1e-4


def protocol(**changes):
    return MolecularDynamicsProtocol(**({"equilibration_ps": 0.0, "production_ps": 8.0} | changes))


def test_a_diffusive_walk_has_a_number_with_an_interval():
    trajectory, truth = walk(1500)
    found = DiffusivityDoc.from_trajectories([output()], [trajectory], hop_distance_A=2.0)
    assert found.verdict == found.tracer_diffusivity.verdict == "diffusive"
    assert found.tracer_diffusivity.lower < truth < found.tracer_diffusivity.upper
    assert found.n_jumps == pytest.approx(1500, rel=0.3)
    assert found.hop_distance_A == 2.0
    assert np.trace(found.tensor.tensor_cm2_per_s) / 3 == pytest.approx(found.tracer_diffusivity.value)
    assert found.tensor.verdict == "ok"
    assert all(plane.lower < truth < plane.upper for plane in found.tensor.planar.values())
    assert found.id == DiffusivityDoc.id_of(group_of(output().model_dump()))


def test_a_frozen_crystal_is_an_upper_limit_with_reasons():
    found = DiffusivityDoc.from_trajectories([output()], [walk(0)[0]])
    assert found.verdict == "upper_limit"
    assert found.tracer_diffusivity.upper > 0
    # A search for a range of values finds none of these.
    assert found.tracer_diffusivity.value is None
    assert found.conductivity.value is None
    assert found.tensor is None or found.tensor.verdict == "unresolved"
    assert found.tracer_diffusivity.reasons
    assert found.conductivity.verdict == "upper_limit"
    assert any(flag.endswith(": failed") for flag in found.flags)


def test_the_interval_narrows_with_replicas():
    widths = []
    for number in (1, 4):
        runs = [walk(600, seed)[0] for seed in range(number)]
        found = DiffusivityDoc.from_trajectories([output(seed=i) for i in range(number)], runs)
        assert found.n_replicas == number
        widths.append(np.log(found.slope.upper / found.slope.lower))
    assert widths[1] < 0.75 * widths[0]


def test_without_a_thermostat_the_measured_temperature_counts():
    trajectory = walk(1500)[0]
    nvt = DiffusivityDoc.from_trajectories([output()], [trajectory])
    nve = DiffusivityDoc.from_trajectories([output(protocol=protocol(ensemble="nve"))], [trajectory])
    assert nve.conductivity.value / nvt.conductivity.value == pytest.approx(700 / 720)
    assert ActivationEnergyDoc.from_diffusivities([nve]).points[0].temperature_K == 720.0
    assert ActivationEnergyDoc.from_diffusivities([nvt]).points[0].temperature_K == 700.0


@pytest.mark.parametrize(
    "changes",
    [
        {"material_id": "other"},
        {"potential": POTENTIAL.model_copy(update={"weights_sha256": "d" * 64})},
        {"mobile_ion": "Na"},
        {"n_atoms": 96},
        {"temperature_K": 701.0},
        {"protocol": protocol(time_step_fs=1.0)},
        {"protocol": protocol(ensemble="npt")},
        {"protocol": protocol(frame_interval_fs=40.0)},
        {"protocol": protocol(thermostat_time_fs=50.0)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_differs_is_not_pooled(changes):
    assert group_of(output(**changes).model_dump()) != group_of(output().model_dump())
    trajectory = walk(600)[0]
    with pytest.raises(InputError, match="runs to be pooled differ in"):
        DiffusivityDoc.from_trajectories([output(), output(**changes)], [trajectory, trajectory])


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"protocol": protocol(production_ps=80.0, equilibration_ps=3.0)},
        {"protocol": protocol(pressure_bar=1000.0)},
        {"potential": POTENTIAL.model_copy(update={"name": "mine", "code_version": "0.5"})},
        {"material_name": "renamed"},
    ],
    ids=["seed", "duration", "pressure without barostat", "name of the potential", "name"],
)
def test_what_is_pooled(changes):
    assert group_of(output(**changes).model_dump()) == group_of(output().model_dump())


def test_no_run_is_an_input_error():
    with pytest.raises(InputError, match="at least one run"):
        DiffusivityDoc.from_trajectories([], [])
    with pytest.raises(InputError, match="there are none"):
        ActivationEnergyDoc.from_diffusivities([])


TEMPLATE = DiffusivityDoc.from_trajectories([output()], [walk(1500)[0]])


def at(temperature_K, value, error=0.05, verdict="diffusive", **changes):
    """Give a diffusivity document with chosen numbers (cm²/s)."""
    ends = (None, None, None)
    if verdict == "diffusive":
        ends = (value, value * np.exp(-1.96 * error), value * np.exp(1.96 * error))
    elif verdict == "upper_limit":
        ends = (value / 2, 0.0, value)
    quantity = Quantity(value=ends[0], lower=ends[1], upper=ends[2], unit="cm2/s", verdict=verdict)
    update = {"temperature_K": temperature_K, "tracer_diffusivity": quantity, "verdict": verdict}
    return TEMPLATE.model_copy(update={**update, **changes})


# D in Å²/ps at temperatures, and the activation energy that the table gives: Hajibabaei and Kim,
# J. Phys. Chem. Lett. 12, 8115 (2021)
PUBLISHED = {
    "Li7PS6": ({600: 0.15, 800: 0.29, 1000: 0.54, 1200: 0.83}, 0.18),
    "Li3PS4": ({500: 0.068, 600: 0.14, 700: 0.28, 800: 0.46}, 0.23),
    "Li10GeP2S12": ({600: 0.16, 800: 0.32, 1000: 0.55, 1200: 0.76}, 0.17),
    "Li3InBr6": ({400: 0.018, 500: 0.057, 600: 0.13}, 0.20),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_activation_energies(name):
    rows, energy_eV = PUBLISHED[name]
    found = ActivationEnergyDoc.from_diffusivities(
        [at(float(t), d * 1e-4, error=0.15) for t, d in rows.items()]
    )
    assert found.activation_energy.value == pytest.approx(energy_eV, abs=0.011)
    assert found.activation_energy.unit == "eV"
    assert (found.n_diffusive, found.n_upper_limits, found.n_refused) == (len(rows), 0, 0)
    assert (found.lowest_temperature_K, found.highest_temperature_K) == (min(rows), max(rows))
    assert found.diffusivity_300K.lower < found.diffusivity_300K.value < found.diffusivity_300K.upper


def test_limits_and_refusals_are_counted_and_kept():
    points = [
        at(1000.0, 3e-5),
        at(800.0, 1.5e-5),
        at(600.0, 9e-6, verdict="upper_limit"),
        at(500.0, 0.0, verdict="refused", flags=["framework: refused"]),
    ]
    found = ActivationEnergyDoc.from_diffusivities(points)
    assert (found.n_diffusive, found.n_upper_limits, found.n_refused) == (2, 1, 1)
    assert [point.temperature_K for point in found.points] == [500.0, 600.0, 800.0, 1000.0]
    assert found.diffusivity_300K.verdict == found.conductivity_300K.verdict == "refused"
    assert "500 K framework: refused" in found.flags
    assert found.verdict == "unresolved"


def test_nothing_usable_is_refused_with_the_reason():
    found = ActivationEnergyDoc.from_diffusivities([at(800.0, 0.0, verdict="refused")])
    assert found.fit is None
    for quantity in (
        found.activation_energy,
        found.prefactor,
        found.diffusivity_300K,
        found.conductivity_300K,
    ):
        assert (quantity.value, quantity.verdict) == (None, "refused")
        assert quantity.reasons == ["no temperature has a diffusivity or an upper limit"]
    assert found.conductivity_300K.unit == "S/cm"


def test_materials_are_not_mixed():
    with pytest.raises(InputError, match="differ in material_id"):
        ActivationEnergyDoc.from_diffusivities([at(800.0, 1e-5), at(900.0, 2e-5, material_id="other")])


def test_documents_come_back_from_their_json():
    found = ActivationEnergyDoc.from_diffusivities([at(t, 1e-5 * t / 700) for t in (600.0, 700.0, 800.0)])
    assert ActivationEnergyDoc.model_validate(found.model_dump(mode="json")) == found
    assert DiffusivityDoc.model_validate(TEMPLATE.model_dump(mode="json")) == TEMPLATE
    assert isinstance(TEMPLATE.protocol, DynamicsConditions)


@settings(max_examples=25, deadline=None)
@given(energy_eV=st.floats(0.05, 1.0), scale=st.floats(1e-6, 1e-2), order=st.permutations(range(4)))
def test_an_exact_law_comes_back_whatever_the_order(energy_eV, scale, order):
    temperatures = np.array([600.0, 700.0, 850.0, 1000.0])
    values = scale * np.exp(-energy_eV / 8.617333262e-5 / temperatures)
    points = [at(float(temperatures[i]), float(values[i])) for i in order]
    found = ActivationEnergyDoc.from_diffusivities(points)
    assert found.activation_energy.value == pytest.approx(energy_eV, rel=1e-6)
    assert found.prefactor.value == pytest.approx(scale, rel=1e-5)


def test_a_doubtful_activation_energy_has_no_value_for_a_search_but_an_interval_for_a_reader():
    found = ActivationEnergyDoc.from_diffusivities([at(600.0, 1e-5), at(800.0, 3e-5)])
    energy = found.activation_energy
    assert (energy.verdict, energy.value, found.prefactor.value) == ("unresolved", None, None)
    assert energy.lower < found.fit.parameters[1] < energy.upper
    shown = f"{energy.lower:.2g} to {energy.upper:.2g} eV"
    assert quantity_text(energy) == shown
    assert arrhenius_figure(found).axes[0].get_title().endswith(f"E_a = {shown}, unresolved")
    ends = f"{energy.lower:.3f} to {energy.upper:.3f} eV, unresolved"
    assert ends in fit_figure(found.fit).axes[0].get_title()
