"""A labelling worker that is killed by SIGKILL loses the label it was at, and nothing else."""

import os
import signal
import subprocess
import sys
import time

from ase.build import bulk
from jobflow import run_locally
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.label import UnlabelledStructure
from sse_screen.training.gpaw_labels import GpawSettings
from sse_screen.workflows.labelling import GpawLabelMaker, store_batch

CHEAP = GpawSettings(cutoff_eV=200, k_point_spacing_per_A=None, smearing_eV=0.2)
CHILD = """
import sys
from jobflow import run_locally
from sse_screen.database.stores import job_store
from sse_screen.documents.base import BlobReference
from sse_screen.settings import get_settings
from sse_screen.training.gpaw_labels import GpawSettings
from sse_screen.workflows.labelling import GpawLabelMaker

maker = GpawLabelMaker(GpawSettings.model_validate_json(sys.argv[1]))
batch = BlobReference.model_validate_json(sys.argv[2])
run_locally(maker.make(batch), store=job_store(get_settings()), ensure_success=True)
"""


def salt(seed):
    atoms = bulk("LiCl", "rocksalt", a=5.1)
    atoms.rattle(0.05, seed=seed)
    structure = AseAtomsAdaptor.get_structure(atoms).as_dict()
    return UnlabelledStructure(structure=structure, parent_configuration="licl", source=f"run frame {seed}")


def lines_of(journal):
    return [line for line in journal.read_text().splitlines() if line.endswith("}")]


def test_a_killed_batch_goes_on(database, settings_environment):
    batch = store_batch(salt(seed) for seed in range(8))
    arguments = [sys.executable, "-c", CHILD, CHEAP.model_dump_json(), batch.model_dump_json()]
    folder = settings_environment.work_directory / "calculations"
    earlier = set(folder.glob("*/labels.jsonl"))
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    journal = None
    while time.monotonic() < deadline and child.poll() is None:
        journal = next(iter(set(folder.glob("*/labels.jsonl")) - earlier), None)
        if journal is not None and len(lines_of(journal)) >= 2:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = lines_of(journal)
    assert 2 <= len(done) < 8
    assert database[OUTPUTS].count_documents({}) == 0

    job = GpawLabelMaker(CHEAP).make(batch)
    responses = run_locally(job, store=job_store(settings_environment), log=False, ensure_success=True)
    output = responses[job.uuid][1].output
    assert (len(output.labels), output.failures) == (8, [])
    assert lines_of(journal)[: len(done)] == done  # what was done was not done again
    assert len(lines_of(journal)) == 8
    assert database[OUTPUTS].count_documents({}) == 1
