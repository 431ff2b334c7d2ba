"""The speed of runs counts only the steps that they made themselves."""

import pytest

from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.screening.costs import measured_ms_per_atom_and_step


def run(n_steps, total_time_s, n_continued_steps=0):
    return MolecularDynamicsOutput.model_construct(
        n_steps=n_steps, total_time_s=total_time_s, n_continued_steps=n_continued_steps, n_atoms=50
    )


def test_a_continued_run_is_no_faster_than_the_one_it_went_on_from():
    # 20 ms a step of 50 atoms: 0.4 ms an atom and step
    assert measured_ms_per_atom_and_step([run(1000, 20.0)]) == pytest.approx(0.4)
    assert measured_ms_per_atom_and_step([run(5000, 80.0, 1000)]) == pytest.approx(0.4)
