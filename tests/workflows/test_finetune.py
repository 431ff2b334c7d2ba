"""The small version of ``make finetune``: crystal, DFT labels, potential, its use by name. All of it real."""

from pathlib import Path

import pytest
import yaml
from jobflow import run_locally

from sse_screen.builders.learning_curve import LearningCurveBuilder
from sse_screen.builders.potential import PotentialBuilder
from sse_screen.builders.run import run_builder
from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.training import TrainingOutput
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials.registration import find_registered
from sse_screen.training.cleaning import minimum_distance_A
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.runtime import calculator_of, worker

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"


@pytest.fixture(autouse=True)
def _fresh_worker(settings_environment):
    worker.cache_clear()
    calculator_of.cache_clear()
    yield
    worker.cache_clear()


def small_campaign():
    """campaigns/finetune.yaml with a primitive cell, fewer labels and epochs."""
    content = yaml.safe_load((CAMPAIGNS / "finetune.yaml").read_text())
    section = content["potential_development"]
    short = {"time_step_fs": 2.0, "equilibration_ps": 0.1, "production_ps": 0.6, "frame_interval_fs": 10.0}
    section["compositions"] = [{"file": str(Path(__file__).parent / "licl_primitive.cif"), "name": "licl"}]
    section["snapshots"] |= {"frames": 5}
    section["dynamics"] |= {"replicas": 5, "minimum_length_A": 2.0, "protocol": short}
    section["labels"]["settings"] |= {"cutoff_eV": 300, "k_point_spacing_per_A": 0.8}
    section["training"] |= {"maximum_epochs": 50}
    section["training_fractions"] = [0.25, 0.5, 0.75, 1.0]
    section["split"] |= {"test_fraction": 0.2, "validation_fraction": 0.2}
    section["gates"] = {"minimum_length_A": 3.0, "hot_time_ps": 0.1, "drift_time_ps": 0.1}
    content["molecular_dynamics"] |= {"minimum_length_A": 3.0, "protocol": short}
    return Campaign.model_validate(content)


def run(plan, database, settings):
    for flow in plan.ready_flows(BlobStore(database).put):
        run_locally(flow, store=job_store(settings), ensure_success=True)


def test_from_a_crystal_to_a_potential_used_by_its_name(database, settings_environment):
    run(plan_campaign(small_campaign()), database, settings_environment)
    trainings = [
        TrainingOutput.model_validate(d["output"])
        for d in database[OUTPUTS].find({"output.kind": "training"})
    ]
    best = max(trainings, key=lambda training: training.n_training)
    before, after = best.parent_test, best.test
    assert after.forces.root_mean_square_error <= 0.5 * before.forces.root_mean_square_error
    assert after.energy.root_mean_square_error < before.energy.root_mean_square_error
    assert "gpaw PBE" in best.level_of_theory
    run_builder(PotentialBuilder())
    run_builder(LearningCurveBuilder())
    assert len(database.learning_curve.find_one()["points"]) == 4
    found = find_registered(database, best.weights.sha256[:12])
    assert (found.name, found.gate_verdict) == ("licl-pbe", "passed"), found.gates
    # molecular dynamics with it ran in the same campaign; another campaign names it
    used = database[OUTPUTS].find_one(
        {"output.kind": "molecular_dynamics", "output.potential.weights_sha256": best.weights.sha256}
    )
    frames = read_trajectory_file(BlobStore(database).get(used["output"]["trajectory"]["sha256"]))
    pairs = zip(frames.positions, frames.cells, strict=True)
    assert min(minimum_distance_A(cell, positions) for positions, cell in pairs) > 1.5
    content = yaml.safe_load((CAMPAIGNS / "finetuned.yaml").read_text())
    assert plan_campaign(Campaign.model_validate(content)).potential.weights_sha256 == best.weights.sha256
