"""Which constant-energy runs a batch needs: one a basin, none for what a sum leaves out."""

import pytest

from sse_screen.documents.base import BlobReference
from sse_screen.documents.relaxation import ConfigurationBatchOutput, ConfigurationResult, RelaxationProtocol
from sse_screen.potentials import resolve_potential
from sse_screen.workflows.vibrations import VibrationBatchMaker, _wanted

CHGNET = resolve_potential("chgnet")


def batch(configurations, **changes):
    """Give a batch of (id, energy per cell, reached id) in cells of ten atoms."""
    fields = {
        "calculation_key": "k",
        "parent_id": "p" * 64,
        "parent_name": "parent",
        "occupancy_class": "4a = 2",
        "formula": "LiCl",
        "chemical_system": "Cl-Li",
        "elements": ["Cl", "Li"],
        "n_atoms": 10,
        "n_labelled_total": 8,
        "n_unique_total": 4,
        "sampled": False,
        "temperatures_K": [300.0],
        "potential": CHGNET,
        "protocol": RelaxationProtocol(relax_cell=False),
        "configurations": [
            ConfigurationResult(
                configuration_id=name,
                degeneracy=2,
                weight=2.0,
                energy_eV_per_cell=energy,
                maximum_force_eV_per_A=0.01,
                converged=name != "unconverged",
                n_moved_ions=int(reached != name),
                reached_id=reached,
            )
            for name, energy, reached in configurations
        ],
        "structures": BlobReference(sha256="a" * 64, size_bytes=1),
        "potential_time_s": 1.0,
        "total_time_s": 1.0,
    }
    return ConfigurationBatchOutput(**(fields | changes))


@pytest.fixture
def maker():
    return VibrationBatchMaker(CHGNET, (300.0, 600.0))


FOUR = [("a", -40.000, "a"), ("b", -40.001, "a"), ("c", -39.9, "a"), ("unconverged", -40.0, "unconverged")]


def test_configurations_of_one_basin_share_a_run(maker):
    runs = _wanted(maker, batch(FOUR), "level")
    assert sorted(runs) == ["a_300K", "a_600K", "b_300K", "b_600K", "c_300K", "c_600K"]
    assert runs["a_300K"].key == runs["b_300K"].key
    assert runs["a_300K"].seed == runs["b_300K"].seed
    assert runs["c_300K"].key != runs["a_300K"].key  # same sites, another minimum
    assert runs["a_600K"].key != runs["a_300K"].key
    elsewhere = _wanted(maker, batch([("d", -40.0, "a")]), "level")
    assert elsewhere["d_300K"].key == runs["a_300K"].key  # in another batch as well


def test_a_sample_does_not_run_what_left_its_basin(maker):
    assert {
        run.configuration.configuration_id for run in _wanted(maker, batch(FOUR, sampled=True), "l").values()
    } == {"a"}


def test_the_number_of_basins_is_limited(maker):
    maker.maximum_configurations = 1
    names = {run.configuration.configuration_id for run in _wanted(maker, batch(FOUR), "level").values()}
    assert names == {"a", "b"}


def test_a_two_phase_treatment_is_another_result(maker):
    plain = _wanted(maker, batch(FOUR), "level")["a_300K"].key
    maker.two_phase_species = "Li"
    assert _wanted(maker, batch(FOUR), "level")["a_300K"].key != plain
