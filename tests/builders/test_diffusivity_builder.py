"""Diffusivities and activation energies from stored trajectories of known diffusivity."""

import time

import numpy as np
import pytest
from builder_outputs import CHGNET, as_stored, molecular_dynamics, trajectory_bytes

from sse_screen.builders.activation_energy import ActivationEnergyBuilder
from sse_screen.builders.base import fingerprint
from sse_screen.builders.diffusivity import DiffusivityBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import BlobReference
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.transport.arrhenius import BOLTZMANN_EV_PER_K
from sse_screen.transport.conductivity import nernst_einstein

pytestmark = pytest.mark.usefixtures("settings_environment")

ENERGY_EV = 0.2
TEMPERATURES_K = (600.0, 800.0, 1100.0)


def jumps_at(temperature_K):
    """Jumps of an Arrhenius law with 1500 of them at 1100 K."""
    return 1500 * np.exp(-ENERGY_EV / BOLTZMANN_EV_PER_K * (1 / temperature_K - 1 / 1100))


def store(database, uuid, jumps, **changes):
    data, diffusivity = trajectory_bytes(jumps, changes.get("seed", 1))
    output = molecular_dynamics(BlobStore(database).put(data), **changes)
    database.outputs.insert_one(as_stored(uuid, output))
    return diffusivity


def build():
    return run_builder(DiffusivityBuilder()), run_builder(ActivationEnergyBuilder())


def diffusivities(database):
    found = database.diffusivity.find({}, {"_id": 0})
    return {(d["material_name"], d["temperature_K"]): DiffusivityDoc.model_validate(d) for d in found}


def activation_energies(database):
    found = database.activation_energy.find({}, {"_id": 0})
    return {d["material_name"]: ActivationEnergyDoc.model_validate(d) for d in found}


@pytest.fixture
def filled(database):
    """Two replicas a temperature of one material; one temperature of another."""
    for i, temperature_K in enumerate(TEMPERATURES_K):
        for seed in (1, 2):
            jumps = jumps_at(temperature_K)
            store(database, f"u{i}{seed}", jumps, temperature_K=temperature_K, seed=seed)
    store(database, "v0", 900, temperature_K=800.0, name="other")
    reports = build()
    assert [(report.built, report.failed) for report in reports] == [(4, 0), (2, 0)]
    return database


def test_known_numbers_come_back(filled):
    for temperature_K in TEMPERATURES_K:
        found = diffusivities(filled)["walker", temperature_K]
        truth = trajectory_bytes(jumps_at(temperature_K), 1)[1]
        assert found.verdict == "diffusive"
        assert found.tracer_diffusivity.unit == "cm2/s"
        assert found.tracer_diffusivity.value == pytest.approx(truth, rel=0.3)
        factor = nernst_einstein(1.0, 24, 1, 1728.0, temperature_K)
        assert found.conductivity.value == pytest.approx(factor * found.tracer_diffusivity.value)
        assert (found.n_replicas, found.n_ions, found.charge_number) == (2, 24, 1)
        assert found.mean_volume_A3 == pytest.approx(1728.0)
        assert found.mean_temperature_K == pytest.approx(temperature_K + 1)
        assert found.total_time_ps == pytest.approx(2 * 399 * 0.02)
        assert [curve.species for curve in found.mean_squared_displacements] == ["Li", "S"]
        assert all(len(curve.times_ps) <= 60 for curve in found.mean_squared_displacements)
    activation = activation_energies(filled)["walker"]
    energy = activation.activation_energy
    assert energy.lower < ENERGY_EV < energy.upper
    assert energy.value == pytest.approx(ENERGY_EV, abs=0.05)
    at_300 = activation.diffusivity_300K
    truth = trajectory_bytes(1500, 1)[1] * np.exp(-ENERGY_EV / BOLTZMANN_EV_PER_K * (1 / 300 - 1 / 1100))
    assert at_300.lower < truth < at_300.upper
    factor = nernst_einstein(1.0, 24, 1, 1728.0, 300.0)
    assert activation.conductivity_300K.value == pytest.approx(factor * at_300.value)
    assert activation.conductivity_300K.unit == "S/cm"
    assert [point.temperature_K for point in activation.points] == list(TEMPERATURES_K)


def test_too_few_temperatures_are_a_refused_document(filled):
    activation = activation_energies(filled)["other"]
    assert activation.verdict == "refused"
    assert activation.activation_energy.value is None
    assert activation.activation_energy.reasons
    assert activation.conductivity_300K.verdict == "refused"
    assert len(activation.points) == 1


def test_equilibration_is_dropped(filled):
    protocol = MolecularDynamicsProtocol(equilibration_ps=1.0, production_ps=8.0)
    data, _ = trajectory_bytes(900, 1, equilibration_frames=50)
    output = molecular_dynamics(BlobStore(filled).put(data), 800.0, name="equilibrated", protocol=protocol)
    filled.outputs.insert_one(as_stored("w0", output))
    assert build()[0].built == 1
    found = diffusivities(filled)
    equilibrated, plain = found["equilibrated", 800.0], found["other", 800.0]
    assert equilibrated.total_time_ps == pytest.approx(plain.total_time_ps)
    assert equilibrated.tracer_diffusivity.value == pytest.approx(plain.tracer_diffusivity.value, rel=0.1)


def test_no_change_no_build(filled):
    before = diffusivities(filled), activation_energies(filled)
    assert [report.built for report in build()] == [0, 0]
    assert (diffusivities(filled), activation_energies(filled)) == before


def test_touching_one_trajectory_rebuilds_exactly_what_depends_on_it(filled):
    before = diffusivities(filled), activation_energies(filled)
    data, _ = trajectory_bytes(jumps_at(800.0), 77)
    reference = BlobStore(filled).put(data).model_dump(mode="json")
    filled.outputs.update_one({"uuid": "u11"}, {"$set": {"output.trajectory": reference}})
    assert [report.built for report in build()] == [1, 1]
    after = diffusivities(filled), activation_energies(filled)
    changed = [{key for key in old if new[key] != old[key]} for old, new in zip(before, after, strict=True)]
    assert changed == [{("walker", 800.0)}, {"walker"}]


def test_a_missing_blob_is_a_failure_that_keeps_the_good_document(filled):
    missing = BlobReference(sha256="0" * 64, size_bytes=1).model_dump(mode="json")
    filled.outputs.update_one({"uuid": "u11"}, {"$set": {"output.trajectory": missing}})
    first, second = build()
    assert (first.failed, second.failed) == (1, 0)
    kept = diffusivities(filled)["walker", 800.0]
    assert kept.stale
    assert "is not stored" in kept.stale_reason
    assert kept.tracer_diffusivity.value is not None
    assert "800 K stale" in activation_energies(filled)["walker"].flags
    failure = filled.diffusivity_failures.find_one()
    assert failure["error"].startswith("BlobNotFoundError")


def test_removed_runs_deprecate_up_the_chain(filled):
    filled.outputs.delete_many({"output.material_name": "other"})
    assert [report.deprecated for report in build()] == [1, 1]
    assert diffusivities(filled)["other", 800.0].deprecated
    assert activation_energies(filled)["other"].deprecated


def test_potentials_and_protocols_are_not_pooled(filled):
    weights = CHGNET.model_copy(update={"weights_sha256": "d" * 64})
    store(filled, "w0", 900, temperature_K=800.0, seed=3, potential=weights)
    slow = MolecularDynamicsProtocol(equilibration_ps=0.0, production_ps=8.0, time_step_fs=1.0)
    store(filled, "w1", 900, temperature_K=800.0, seed=3, protocol=slow)
    store(filled, "w2", 900, temperature_K=800.0, seed=3, n_atoms=96)
    assert build()[0].built == 3
    assert filled.diffusivity.count_documents({"n_replicas": 2}) == 3


def test_duration_and_seed_are_pooled_and_an_extended_run_replaces_the_shorter(filled):
    longer = MolecularDynamicsProtocol(equilibration_ps=0.0, production_ps=9.0)
    store(filled, "a0", jumps_at(800.0), temperature_K=800.0, seed=2, protocol=longer)
    assert build()[0].built == 1
    found = diffusivities(filled)["walker", 800.0]
    assert sorted(reference.id for reference in found.inputs) == ["a0", "u11"]
    store(filled, "a1", jumps_at(800.0), temperature_K=800.0, seed=3, protocol=longer)
    build()
    assert diffusivities(filled)["walker", 800.0].n_replicas == 3


def test_identical_content_when_built_anew(filled):
    def content():
        dated = [diffusivities(filled), activation_energies(filled)]
        return [{key: doc.model_dump(exclude={"built_at"}) for key, doc in found.items()} for found in dated]

    before = content()
    filled.diffusivity.drop()
    filled.activation_energy.drop()
    assert [run_builder(DiffusivityBuilder(), 2).built, run_builder(ActivationEnergyBuilder()).built] == [
        4,
        2,
    ]
    assert content() == before


def insert_current(database, builder, template):
    """Store documents that are up to date for all groups, without the hours of estimating them."""
    builder.connect()
    sources, _ = builder.read_sources(builder.source_filter)
    documents = []
    for group in builder.group(sources):
        inputs = [reference.model_dump() for reference in builder.references(group.members)]
        build_fields = {
            "inputs": inputs,
            "inputs_fingerprint": fingerprint(builder.references(group.members)),
        }
        documents.append(template | group.key | build_fields | {"id": builder.document.id_of(group.key)})
    database[builder.collection].delete_many({})
    database[builder.collection].insert_many(documents)
    builder.finish()


def test_twenty_thousand_runs_without_a_change(filled, commands):
    output = molecular_dynamics(BlobReference(sha256="a" * 64, size_bytes=1))
    template = as_stored("", output)
    outputs = []
    for i in range(20_000):
        changes = {"material_id": f"m{i // 20}", "temperature_K": 500.0 + i % 5, "seed": i % 20 // 5}
        changes["calculation_key"] = f"k{i}"
        outputs.append(template | {"uuid": f"s{i:05d}", "output": template["output"] | changes})
    filled.outputs.insert_many(outputs)
    builders = DiffusivityBuilder(), ActivationEnergyBuilder()
    for builder in builders:
        document = filled[builder.collection].find_one({}, {"_id": 0, "mean_squared_displacements": 0})
        insert_current(filled, builder, document)
    commands.clear()
    start = time.process_time()  # the wall clock would measure other processes as well
    first, second = build()
    elapsed = time.process_time() - start
    assert [(report.groups, report.built) for report in (first, second)] == [(5_004, 0), (1_002, 0)]
    assert elapsed < 3.0
    reads = [name for name in commands if name in ("find", "getMore", "aggregate", "count")]
    assert len(reads) <= 20
    assert not {"insert", "update", "delete", "createIndexes"} & set(commands)
