"""A training killed in the middle (SIGKILL) ends as an unbroken one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from training_toys import small_sets

from sse_screen.documents.training import TrainingProtocol
from sse_screen.potentials.registry import find_potential
from sse_screen.training.fine_tuning import CHECKPOINT, fine_tune

PROTOCOL = TrainingProtocol(maximum_epochs=6, batch_size=2)
_CHILD = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_resume import PROTOCOL, run
run(Path(sys.argv[1]))
"""
# What a resumed training may differ by: nothing on one thread of one machine; this leaves room for others.
TOLERANCE = 1e-6


def run(folder):
    return fine_tune(small_sets(), find_potential("chgnet").path, PROTOCOL, 7, folder)


def _kill_after_the_second_epoch(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder)], env=os.environ | {"OMP_NUM_THREADS": "1"}
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


def test_a_killed_training_ends_with_the_same_metrics(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert _kill_after_the_second_epoch(tmp_path / "killed") == -signal.SIGKILL
    epochs = []
    resumed = fine_tune(
        small_sets(),
        find_potential("chgnet").path,
        PROTOCOL,
        7,
        tmp_path / "killed",
        lambda done, _total: epochs.append(done),
    )
    assert 0 < len(epochs) < 6  # it went on, it did not begin anew
    whole = run(tmp_path / "whole")
    assert resumed.best_epoch == whole.best_epoch
    for one, other in zip(resumed.history, whole.history, strict=True):
        numbers, expected = list(one.model_dump().values()), list(other.model_dump().values())
        assert np.allclose(numbers, expected, rtol=TOLERANCE, atol=1e-12)
