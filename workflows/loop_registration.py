"""The end of a self-consistent loop: its last student, tested and made ready for the registry."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pymatgen.core import Structure

from sse_screen.documents.base import Document
from sse_screen.documents.label import LabelBatchOutput
from sse_screen.documents.self_consistent import BrokenMeasurement, LoopPotential, LoopState
from sse_screen.training.cleaning import CleaningRules, clean
from sse_screen.training.datasets import dataset_hash
from sse_screen.training.exploration import equidistant
from sse_screen.training.metrics import formulas_of, parity_points, predict_with, set_metrics
from sse_screen.training.students import LinearStudent, Student
from sse_screen.workflows.runtime import calculator_for, versions
from sse_screen.workflows.self_consistent_steps import cell_of, labelled, measurement, production_of

METHOD = "self-consistent loop"


def frames_to_test_on(outputs: Sequence[dict[str, Any] | Document], n_each: int) -> list[Structure]:
    """Choose frames that tell the errors of a student where its diffusivity was measured.

    Parameters
    ----------
    outputs : sequence of MolecularDynamicsOutput or BrokenMeasurement
        Runs for the diffusivity; those in which the student failed give none.
    n_each : int
        Equidistant frames of each run.

    Returns
    -------
    list of Structure
        The frames.
    """
    cells = []
    for output in outputs:
        run = measurement(output)
        if n_each and not isinstance(run, BrokenMeasurement):
            frames = production_of(run)
            cells += [cell_of(frames, index) for index in equidistant(len(frames), n_each)]
    return cells


def loop_potential(
    state: LoopState, student: Student, rules: CleaningRules, tests: LabelBatchOutput | None, key: str
) -> LoopPotential:
    """Say what the last student of a loop is, and how good.

    Parameters
    ----------
    state : LoopState
        Of a loop that ended.
    student : LinearStudent or FineTunedStudent
        How it was trained.
    rules : CleaningRules
        Which labels were not learnt from.
    tests : LabelBatchOutput or None
        Labels of frames that it met in its last runs.
    key : str
        Idempotency key.

    Returns
    -------
    LoopPotential
        For the registry; its weights are in the blob store since it was trained.
    """
    started = time.perf_counter()
    assert state.student is not None  # a loop that ended has one
    calculator = calculator_for(state.student.potential)
    learnt = clean(labelled(state.labels), rules).kept
    judged = labelled([tests.packed]) if tests is not None and tests.labels else []
    predicted = predict_with(calculator, judged)
    level = learnt[0].level_of_theory
    elements = sorted({symbol for structure in learnt for symbol in structure.species})
    return LoopPotential(
        calculation_key=key,
        loop_id=state.loop_id,
        loop_verdict=state.verdict,
        name=state.potential_name,
        method=METHOD,
        weights=state.student.weights,
        potential=state.student.potential.model_copy(update={"name": state.potential_name}),
        parent=student.parent_identity,
        elements=elements,
        formulas=formulas_of(learnt),
        level_of_theory=level.describe(),
        level_of_theory_id=level.identifier,
        dataset_sha256=dataset_hash(learnt),
        n_training=len(learnt),
        n_test=len(judged),
        protocol=student.protocol,
        seed=state.seed,
        training=set_metrics(learnt, predict_with(calculator, learnt)),
        test=set_metrics(judged, predicted) if judged else None,
        test_labels=tests.packed if tests is not None and judged else None,
        parity=parity_points(judged, predicted) if judged else None,
        warnings=_warnings(state, student),
        total_time_s=time.perf_counter() - started,
        versions=versions(),
    )


def _warnings(state: LoopState, student: Student) -> list[str]:
    """Say what a user of the potential has to know."""
    warnings = []
    if state.verdict != "stationary":
        warnings.append(f"its diffusivity was not stationary when the loop ended, after {state.loop} loops")
    if state.teacher_verdict == "disagrees":
        warnings.append("its diffusivity is not that of its teacher")
    if isinstance(student, LinearStudent):
        warnings.append("a linear potential: it knows crystals like those that it was trained on only")
    return warnings
