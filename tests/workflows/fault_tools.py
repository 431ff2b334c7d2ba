"""What the tests of faults share: a small campaign, workers with something done to them, the unbroken run."""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.database.blobs import BlobStore
from sse_screen.database.stores import OUTPUTS
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials import load_calculator
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan

MD = {"output.kind": "molecular_dynamics"}
#: a worker; {} is done to it before it begins
WORKER = """
import os, signal, sys
{}
from sse_screen.workflows.worker import main
main(globals().get("prepare"))
"""


def submit(pad, database, name="small", production_ps=1.2):
    """Add one crystal with one run: 8 atoms, a segment of 50 frames takes a second."""
    content = {
        "name": name,
        "molecular_dynamics": {
            "temperatures_K": [600],
            "minimum_length_A": 4.5,
            "protocol": {
                "equilibration_ps": 0.1,
                "production_ps": production_ps,
                "frame_interval_fs": 4.0,
            },
        },
        "materials": [{"prototype": "licl"}],
    }
    submit_plan(plan_campaign(Campaign.model_validate(content)), database, pad)


def start_worker(settings, done_to_it="", **changes):
    """Start a worker process of its own; it says what went wrong in worker.log."""
    environment = os.environ | settings.environment() | {"OMP_NUM_THREADS": "1"} | changes
    settings.work_directory.mkdir(parents=True, exist_ok=True)
    with (settings.work_directory / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER.format(done_to_it)], env=environment, stdout=log, stderr=log
        )


def wait_for(condition, seconds=180.0, process=None):
    """Wait until something is true; give what it was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        assert process is None or process.poll() is None, f"the worker ended: {process.poll()}"
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def segments(settings):
    """Give all segments on the disk with the times at which they were written."""
    found = settings.work_directory.glob("calculations/*/segment_*.npz")
    return {path: path.stat().st_mtime_ns for path in found}


def check_nothing_lost_nothing_twice(pad, database, n_jobs=2):
    """All jobs done, each calculation stored once, every blob whole, the run equal to the unbroken one."""
    states = Counter(firework["state"] for firework in pad.fireworks.find({}, {"state": 1}))
    assert states == {"COMPLETED": n_jobs}
    keys = [found["output"]["calculation_key"] for found in database[OUTPUTS].find()]
    assert len(keys) == n_jobs
    named = {found["_id"] for found in database["blobs.files"].find({}, {"_id": 1})}
    assert set(database["blobs.chunks"].distinct("files_id")) == named
    for found in database[OUTPUTS].find(MD):
        output = MolecularDynamicsOutput.model_validate(found["output"])
        assert named >= {output.trajectory.sha256, output.checkpoint.sha256}
        stored = read_trajectory_file(BlobStore(database).get(output.trajectory.sha256))
        expected = unbroken(output.model_dump_json(include=_RUN))
        for name in ("positions", "times_ps", "temperatures_K", "potential_energies_eV"):
            assert np.array_equal(getattr(stored, name), getattr(expected, name)), name


_RUN = {
    "structure", "protocol", "temperature_K", "seed",
    # what else the document needs to be read again
    "calculation_key", "material_id", "material_name", "formula", "chemical_system", "elements", "n_atoms",
    "mobile_ion", "charge_number", "potential",
}  # fmt: skip


@lru_cache
def unbroken(run):
    """Run the same in this process without FireWorks, database or interruption."""
    import json

    asked = json.loads(run)
    atoms = AseAtomsAdaptor.get_atoms(Structure.from_dict(asked["structure"]), msonable=False)
    protocol = MolecularDynamicsOutput.model_fields["protocol"].annotation.model_validate(asked["protocol"])
    with tempfile.TemporaryDirectory() as folder:
        made = run_molecular_dynamics(
            atoms, _chgnet(), protocol, asked["temperature_K"], asked["seed"], Path(folder)
        )
        return read_trajectory_file(made.trajectory_file)


@lru_cache
def _chgnet() -> Calculator:
    return load_calculator("chgnet")
