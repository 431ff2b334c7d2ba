"""70,583 orderings are submitted within a minute, and their builders' memory does not follow their number."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.disorder import BATCH_SIZE, COLLECTIONS, measure

N_BATCHES = 2


def test_submission_and_builders() -> None:
    submitted, *built = measure(N_BATCHES)
    assert submitted["n"] == 142
    assert submitted["seconds"] < 60
    numbers = dict(zip(COLLECTIONS, (1, 2, 8 / (N_BATCHES * BATCH_SIZE)), strict=True))
    for found, (collection, per_ordering) in zip(built, numbers.items(), strict=True):
        assert found["what"] == f"build {collection}"
        assert found["n"] == N_BATCHES * BATCH_SIZE * per_ordering
        assert found["peak_MB"] < 500
