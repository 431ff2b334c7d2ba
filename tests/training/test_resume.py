"""A training killed in the middle (SIGKILL) ends as an unbroken one, by CHGNet's loop and by MACE's."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_toys import small_sets

from sse_screen.documents.training import MaceProtocol, TrainingProtocol
from sse_screen.potentials import load_calculator
from sse_screen.potentials.registry import find_potential
from sse_screen.training.fine_tuning import CHECKPOINT, fine_tune
from sse_screen.training.mace_training import train_mace
from sse_screen.training.metrics import predict_with

CHGNET = TrainingProtocol(maximum_epochs=6, batch_size=2)
# a rate at which later epochs are no better than an early one, so that the best epoch is not the last
MACE = MaceProtocol(
    channels=4,
    interactions=1,
    cutoff_A=3.5,
    maximum_epochs=8,
    batch_size=2,
    learning_rate=0.05,
    precision="float64",
)
_CHILD = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_resume import run
run(sys.argv[1], Path(sys.argv[2]))
"""
# What a resumed training may differ by, relative: nothing where all sums are taken in one order, which no
# library promises (it depends on the number of threads and on where arrays lie in memory). CHGNet trains in
# single precision, whose rounding these epochs amplify to 1e-4 (one thread against two); a lost state of the
# optimiser is off by 1 to 4.
TOLERANCES = {"chgnet": 1e-3, "mace": 1e-6}


def run(code, folder, progress=lambda _done, _total: None):
    if code == "mace":
        return train_mace(small_sets(), MACE, 7, folder, progress=progress)
    return fine_tune(small_sets(), find_potential("chgnet").path, CHGNET, 7, folder, progress)


def _kill_after_the_second_epoch(code, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, code, str(folder)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    seen, checkpoint = set(), folder / CHECKPOINT
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime_ns)
        if len(seen) >= 2:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    return process.wait()


@pytest.mark.parametrize(("code", "n_epochs", "suffix"), [("chgnet", 6, ".pth.tar"), ("mace", 8, ".model")])
def test_a_killed_training_ends_with_the_same_metrics(tmp_path, code, n_epochs, suffix):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert _kill_after_the_second_epoch(code, tmp_path / "killed") == -signal.SIGKILL
    epochs = []
    before = time.time_ns()
    resumed = run(code, tmp_path / "killed", lambda done, _total: epochs.append(done))
    # it went on, it did not begin anew
    assert len(resumed.history) == n_epochs
    assert min(done for done in epochs if done) > 1
    assert (tmp_path / "killed" / CHECKPOINT).stat().st_mtime_ns > before
    whole = run(code, tmp_path / "whole")
    assert resumed.best_epoch == whole.best_epoch
    for one, other in zip(resumed.history, whole.history, strict=True):
        numbers, expected = list(one.model_dump().values()), list(other.model_dump().values())
        assert np.allclose(numbers, expected, rtol=TOLERANCES[code], atol=1e-12)
    forces = []
    for name, result in (("resumed", resumed), ("whole", whole)):
        (tmp_path / (name + suffix)).write_bytes(result.weights)
        calculator = load_calculator(str(tmp_path / (name + suffix)), device="cpu")
        forces.append(np.concatenate(predict_with(calculator, small_sets().validation).forces_eV_per_A))
    assert np.allclose(*forces, rtol=0, atol=TOLERANCES[code])
