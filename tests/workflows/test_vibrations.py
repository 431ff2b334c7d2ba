"""A small disordered crystal from its CIF to a configurational free energy with vibrations, all real."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sse_screen.builders.pipeline import BUILDERS
from sse_screen.builders.run import run_builder
from sse_screen.database.stores import launchpad
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import failures
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan


@pytest.fixture
def campaign(tmp_path):
    mixed = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.3), ["Li", {"Cl": 0.5, "Br": 0.5}], [[0.5, 0.5, 0.5], [0, 0, 0]]
    )
    path = tmp_path / "mixed.cif"
    mixed.to(str(path))
    return Campaign.model_validate(
        {
            "name": "mixed",
            "orderings": [
                {
                    "file": str(path),
                    "temperatures_K": [300],
                    "vibrations": {
                        "temperatures_K": [300],
                        "equilibration_ps": 0.2,
                        "production_ps": 1.0,
                        "two_phase_species": "Li",
                    },
                    "phonons": {"temperatures_K": [300], "minimum_length_A": 5.0},
                }
            ],
        }
    )


def test_from_partial_occupancies_to_a_free_energy_with_vibrations(campaign, database, settings_environment):
    pad = launchpad(settings_environment)
    submission = submit_plan(plan_campaign(campaign), database, pad)
    assert submission.n_jobs == 3
    assert launch_workers(settings_environment, pad, 1, lambda _c: None) == 0, failures(pad)
    for builder in BUILDERS:
        assert run_builder(builder()).failures == {}
    (configuration,) = database["configuration"].find()  # all six orderings of two in four sites are equal
    assert configuration["degeneracy"] == 6
    assert (configuration["n_moved_ions"], configuration["reached_id"]) == (
        0,
        configuration["configuration_id"],
    )
    vibration, phonons = database["vibrational_free_energy"].find().sort("route")
    assert (vibration["route"], phonons["route"]) == ("constant_energy", "phonons")
    assert vibration["usable"], vibration["flags"]
    assert vibration["two_phase"]["fluidicity"] < 0.05
    assert phonons["n_modes"] == pytest.approx(24)
    assert phonons["imaginary_share"] < 0.005
    relaxed = [v["relaxed_energy_eV_per_cell"] for v in (vibration, phonons)]
    assert relaxed[0] - 0.02 < relaxed[1] <= relaxed[0] + 1e-4  # phonons relax further
    batch = database.outputs.find_one({"output.kind": "phonon_batch"})["output"]
    assert 0 < batch["potential_time_s"] < batch["total_time_s"]
    parts = [v["free_energy_eV_per_cell"] - v["relaxed_energy_eV_per_cell"] for v in (vibration, phonons)]
    assert parts[0] / 8 == pytest.approx(parts[1] / 8, abs=0.03)  # short runs, and three modes fewer
    assert vibration["n_modes"] == pytest.approx(3 * 8 - 3)
    plain, vibrating = (
        database["configurational_free_energy"].find_one(
            {"with_vibrations": with_vibrations, "convention": "physical"}
        )
        for with_vibrations in (False, True)
    )
    kT = 8.617333262e-5 * 300
    relaxed = configuration["energy_eV_per_cell"]
    assert plain["free_energy_eV_per_cell"] == pytest.approx(relaxed - kT * np.log(6))
    expected = vibration["free_energy_eV_per_cell"] - kT * np.log(6)
    assert vibrating["free_energy_eV_per_cell"] == pytest.approx(expected)
    assert {reference["collection"] for reference in vibrating["inputs"]} == {"outputs"}
    assert len(vibrating["inputs"]) == 2
    for builder in BUILDERS:
        assert run_builder(builder()).built == 0
