"""Free energies from batches of orderings, against the sum written out."""

import sys
from pathlib import Path

import numpy as np
import pytest
from builder_outputs import as_stored, configuration_batch, vibration_batch
from scipy.constants import physical_constants
from scipy.ndimage import gaussian_filter1d

from sse_screen.builders.configurational_free_energy import ConfigurationalFreeEnergyBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.vibration_batch import pack_documents
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.thermodynamics.vibrations import harmonic_thermodynamics

sys.path.insert(0, str(Path(__file__).parents[1] / "documents"))

from test_vibrational_free_energy_document import ARGUMENTS, oscillating

pytestmark = pytest.mark.usefixtures("settings_environment")

K_B = physical_constants["Boltzmann constant in eV/K"][0]
ORBITS = [("x1", 2, -200.00, True), ("x2", 4, -199.97, True), ("x3", 2, -199.90, True)]


def store(database, *batches, start=0):
    database.outputs.insert_many(as_stored(f"c{start + i}", found) for i, found in enumerate(batches))


def build(database, **parameters):
    report = run_builder(ConfigurationalFreeEnergyBuilder(parameters))
    query = {"deprecated": False, "convention": "physical"}
    found = database.configurational_free_energy.find(query, {"_id": 0})
    return report, {d["temperature_K"]: ConfigurationalFreeEnergyDoc.model_validate(d) for d in found}


def expected_eV_per_atom(temperature_K):
    energies = np.array([energy for _, _, energy, _ in ORBITS])
    weights = np.array([degeneracy for _, degeneracy, _, _ in ORBITS])
    beta = 1 / (K_B * temperature_K)
    return (-200 - K_B * temperature_K * np.log(weights @ np.exp(-beta * (energies + 200)))) / 52


def test_batches_are_merged_for_all_temperatures(database):
    store(database, configuration_batch(1, ORBITS[:2]), configuration_batch(2, ORBITS[2:], (300.0, 900.0)))
    report, found = build(database)
    assert (report.built, sorted(found)) == (6, [300.0, 600.0, 900.0])
    for temperature_K, document in found.items():
        assert document.free_energy.value == pytest.approx(expected_eV_per_atom(temperature_K), abs=1e-12)
        assert document.is_complete
        assert (document.n_configurations, document.total_orderings) == (3, 8)
        assert (document.parent_name, document.atoms_per_cell) == ("argyrodite", 52)
        assert document.warnings == document.free_energy.reasons
    assert build(database)[0].built == 0


def test_orderings_in_several_batches_count_once(database):
    store(database, configuration_batch(1, ORBITS), configuration_batch(2, ORBITS[1:]))
    assert build(database)[1][300.0].n_configurations == 3


def test_missing_orderings_are_said(database):
    unconverged = [*ORBITS[:2], ("x3", 2, -199.0, False)]
    store(database, configuration_batch(1, unconverged))
    document = build(database)[1][300.0]
    assert not document.is_complete
    assert document.total_orderings == pytest.approx(8)
    assert any("1 of 3 orderings are missing" in text for text in document.warnings)
    store(database, configuration_batch(2, ORBITS[2:]), start=1)
    report, found = build(database)
    assert (report.built, found[300.0].is_complete) == (4, True)


def test_a_sample_is_no_warning(database):
    store(database, configuration_batch(1, ORBITS[:2], sampled=True))
    document = build(database)[1][300.0]
    assert not document.is_complete
    assert not any("missing" in text for text in document.warnings)


def test_conventions_are_documents_side_by_side(database):
    store(database, configuration_batch(1, ORBITS))
    _, found = build(database)
    stored = database.configurational_free_energy.find_one(
        {"convention": "per_atom", "temperature_K": 300.0}, {"_id": 0}
    )
    published = ConfigurationalFreeEnergyDoc.model_validate(stored)
    energies = np.array([energy for _, _, energy, _ in ORBITS]) / 52
    entropy = K_B * np.log(np.exp(-(energies - energies.min()) / (K_B * 300)).sum())
    assert published.configurational_entropy_meV_per_K_per_atom == pytest.approx(1e3 * entropy)
    assert found[300.0].configurational_entropy_meV_per_K_per_atom < 0.1 * 1e3 * entropy
    assert database.configurational_free_energy.count_documents({"deprecated": False}) == 4


def test_contradicting_batches_are_a_failure(database):
    store(
        database, configuration_batch(1, ORBITS[:2]), configuration_batch(2, ORBITS[2:], n_labelled_total=9)
    )
    report, found = build(database)
    assert (report.failed, found) == (4, {})
    record = database.configurational_free_energy_failures.find_one()
    assert "differ in n_labelled_total" in record["error"]


def test_nothing_converged_is_a_failure(database):
    store(database, configuration_batch(1, [("x1", 2, -200.0, False)]))
    assert build(database)[0].failed == 4


def test_vibrations_add_a_document_and_flagged_runs_are_left_out(database):
    runs = [("x1", -205.0, 0.02, True), ("x2", -205.01, 0.02, True), ("x3", -209.0, 0.02, False)]
    store(database, configuration_batch(1, ORBITS), vibration_batch(runs, documents=spectra(database)))
    report, _ = build(database)
    assert (report.built, report.failed) == (6, 0)
    query = {"with_vibrations": True, "convention": "physical"}
    stored = database.configurational_free_energy.find_one(query, {"_id": 0})
    document = ConfigurationalFreeEnergyDoc.model_validate(stored)
    beta = 1 / (K_B * 300)
    # the labelled orderings of the one left out are taken to be like the others
    partition_function = 8 / 6 * (2 * np.exp(-beta * 0.01) + 4)
    expected = (-205.01 - np.log(partition_function) / beta) / 52
    assert document.free_energy.value == pytest.approx(expected, abs=1e-9)
    assert (document.temperature_K, document.n_configurations, document.is_complete) == (300.0, 2, False)
    assert any("1 of 3 runs were left out: an ion changed its site" in text for text in document.warnings)
    assert [reference.id for reference in document.inputs] == ["c0", "c1"]
    likely = np.array([2 * np.exp(-beta * 0.01), 4]) / (2 * np.exp(-beta * 0.01) + 4)
    averaged = document.averaged_spectrum
    peak = int(np.argmax(averaged.modes_per_THz["Li"]))
    assert sum(averaged.modes_per_THz["Li"]) * 0.1 == pytest.approx(likely @ [150.0, 153.0], rel=1e-4)
    height = gaussian_filter1d(np.eye(1, 81, 40)[0], 0.2 / 0.1)[40]
    assert averaged.frequencies_THz[peak] == pytest.approx(8.0)
    mean = likely @ [150.0, 153.0] / 0.1 * height
    assert averaged.modes_per_THz["Li"][peak] == pytest.approx(mean, rel=1e-5)
    effective = 1 / (likely @ likely)
    assert averaged.effective_sample_size == pytest.approx(effective)
    variance = likely @ (np.array([1500.0, 1530.0]) * height - mean) ** 2 * effective / (effective - 1)
    assert averaged.spread_per_THz[peak] == pytest.approx(np.sqrt(variance), rel=1e-4)
    assert build(database)[0].built == 0
    database.outputs.update_one(
        {"uuid": "c1"}, {"$set": {"output.results.1.free_energy_eV_per_cell": -206.0}}
    )
    assert build(database)[0].built == 2


def spectra(database):
    """Store the documents of runs whose modes are all at 8 THz, a few more in each configuration."""
    _, trajectory = oscillating(600)
    documents = []
    for name, n_modes in (("x1", 150.0), ("x2", 153.0), ("x3", 10.0)):
        document = VibrationalFreeEnergyDoc.from_trajectory(
            trajectory, **ARGUMENTS | {"configuration_id": name}
        )
        modes = np.zeros(len(document.frequencies_THz))
        modes[80] = n_modes
        update = {"modes_by_species": {"Li": modes.tolist()}, "target_temperature_K": 300.0}
        documents.append(document.model_copy(update=update).model_dump_json())
    return BlobStore(database).put(pack_documents(documents))


def test_noise_comes_from_runs_at_another_temperature(database):
    """Runs of eight orderings at two temperatures, whose modes are off by random factors in frequency."""
    rng = np.random.default_rng(0)
    _, trajectory = oscillating(600)
    template = VibrationalFreeEnergyDoc.from_trajectory(trajectory, **ARGUMENTS)
    names = [f"y{i}" for i in range(8)]
    results, documents, sums = [], [], {300.0: [], 400.0: []}
    for temperature_K, found in sums.items():
        for name in names:
            node = int(rng.integers(60, 100))
            modes = np.zeros(120)
            modes[node] = 33.0
            update = {"modes_by_species": {"Li": modes.tolist()}, "target_temperature_K": temperature_K}
            document = template.model_copy(update=update | {"configuration_id": name})
            documents.append(document.model_dump_json())
            found.append(harmonic_thermodynamics(document.density, 300.0).free_energy_eV)
            results.append((name, temperature_K, -205.0))
    batch = vibration_batch([(name, f, 0.02, True) for name, _, f in results])
    for result, (_, temperature_K, _) in zip(batch.results, results, strict=True):
        result.temperature_K = temperature_K
    batch = batch.model_copy(update={"documents": BlobStore(database).put(pack_documents(documents))})
    relaxed = configuration_batch(1, [(n, 1, -200.0, True) for n in names], n_unique_total=8)
    store(database, relaxed, batch)
    assert build(database)[0].failed == 0
    query = {"with_vibrations": True, "convention": "physical", "temperature_K": 300.0}
    document = database.configurational_free_energy.find_one(query)
    noise = np.std(np.subtract(sums[300.0], sums[400.0]), ddof=1) / np.sqrt(2)
    assert document["noise_eV_per_cell"] == pytest.approx(noise)
    assert noise > 2 * K_B * 300
    assert document["ranking_allowed"] is False
    assert document["free_energy"]["verdict"] == "refused"
    assert "cannot be ranked" in " ".join(document["warnings"])


def moved(batch, **reached):
    """Give the batch with (moved ions, id, degeneracy) of what the relaxed ions map to."""
    fields = ("n_moved_ions", "reached_id", "reached_degeneracy")
    found = [
        c.model_copy(update=dict(zip(fields, reached[c.configuration_id], strict=True)))
        for c in batch.configurations
    ]
    return batch.model_copy(update={"configurations": found})


def test_orderings_that_relaxed_to_one_basin_count_once(database):
    orbits = [ORBITS[0], ("x2", 4, -200.01, True), ORBITS[2]]
    batch = moved(configuration_batch(1, orbits), x1=(0, "x1", 2), x2=(1, "x1", 2), x3=(0, "x3", 2))
    store(database, batch)
    document = build(database)[1][300.0]
    beta = 1 / (K_B * 300)
    expected = (-200.01 - np.log(2 + 2 * np.exp(-beta * 0.11)) / beta) / 52
    assert document.free_energy.value == pytest.approx(expected, abs=1e-12)
    assert (document.n_configurations, document.total_orderings, document.is_complete) == (2, 4, True)
    assert any("1 of 3 orderings relaxed to the sites of other" in text for text in document.warnings)


def test_a_sample_leaves_out_what_left_its_basin_with_its_share(database):
    batch = configuration_batch(1, ORBITS, sampled=True)
    store(database, moved(batch, x1=(0, "x1", 2), x2=(2, "elsewhere", 6), x3=(3, None, None)))
    document = build(database)[1][300.0]
    assert (document.n_configurations, document.total_orderings) == (2, 4)
    texts = " ".join(document.warnings)
    assert "left out of the sample" in texts
    assert "1 of 3 orderings relaxed to places that are no ordering of this class" in texts
