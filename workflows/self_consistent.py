"""The self-consistent training loop as a dynamic flow (Marcolongo 2019).

Fit, explore at the next temperature with the fit, label what was met, fit again; after the last temperature
the diffusivity is measured, and loops go on until it no longer changes. Each step is a job of its own that
adds the next one, and leaves the whole state of the loop as its output: it can be looked at, killed and
restarted anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jobflow import Flow, Job, Maker, Response, job
from pymatgen.core import Structure

from sse_screen.documents.base import BlobReference, PotentialIdentity, content_hash
from sse_screen.documents.label import LabelBatchOutput
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.self_consistent import (
    BrokenMeasurement,
    Exploration,
    LoopPotential,
    LoopProtocol,
    LoopState,
    TrainedStudent,
)
from sse_screen.dynamics.molecular_dynamics import DynamicsError
from sse_screen.exceptions import SseScreenError
from sse_screen.structures.distortions import random_strain, rattle
from sse_screen.structures.identity import structure_hash
from sse_screen.training.exploration import compare_diffusivities
from sse_screen.training.students import Student
from sse_screen.workflows.labelling import LabelMaker, store_batch
from sse_screen.workflows.loop_registration import frames_to_test_on, loop_potential
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.runtime import once
from sse_screen.workflows.self_consistent_steps import (
    diffusivity_of,
    explore_with,
    seed_of,
    state_after,
    step_of,
    train_student,
    unlabelled,
)

_NO_SUPERCELL_A = 0.1  # the cell of the loop is what runs are made in


class StudentBrokeError(SseScreenError):
    """The student failed at one temperature, however often it was fitted again."""


@dataclass
class SelfConsistentLoopMaker(Maker):
    """Train a student by a teacher until its diffusivity is stationary.

    Parameters
    ----------
    labeller : LabelMaker
        The teacher.
    student : LinearStudent or FineTunedStudent
        What learns.
    protocol : LoopProtocol
        Temperatures, runs, committee, when to stop.
    name : str
        Of the loop.
    teacher : PotentialIdentity, optional
        The teacher, when it is a potential whose own diffusivity is to be measured by the same runs, once,
        and compared with the student's.
    potential_name : str, optional
        Name that the last student is registered by; that of the loop if left out.
    """

    labeller: LabelMaker
    student: Student
    protocol: LoopProtocol
    name: str = "self-consistent loop"
    teacher: PotentialIdentity | None = None
    potential_name: str | None = None

    def make(self, structure: Structure, material: dict[str, Any], seed: int) -> Flow:
        """Compose the first jobs; the others are added as the loop goes on.

        Parameters
        ----------
        structure : Structure
            Ordered cell that all runs are made in.
        material : dict
            material_id, material_name, mobile_ion and charge_number.
        seed : int
            Every run's seed is derived from it.

        Returns
        -------
        Flow
            One job.
        """
        state = self.first_state(structure, material, seed)
        return Flow([_named(self.begin(state), state, "initial cells")], name=self.name)

    def first_state(self, structure: Structure, material: dict[str, Any], seed: int) -> LoopState:
        """Give the state before anything was done, with the id of the loop.

        Parameters
        ----------
        structure, material, seed
            As in :meth:`make`.

        Returns
        -------
        LoopState
            Without labels.
        """
        level = self.labeller.level_of_theory
        # what was added later counts only where it is used, so that earlier loops keep their ids
        more = {} if self.teacher is None else {"compared_with": self.teacher.weights_sha256}
        content = more | {
            "structure": structure_hash(structure),
            "material": material,
            "protocol": self.protocol.model_dump(mode="json"),
            "student": self.student.model_dump(mode="json"),
            "teacher": level.identifier,
            "seed": seed,
        }
        return LoopState(
            loop_id=content_hash(content)[:24],
            name=self.name,
            structure=structure.as_dict(),
            material=material,
            seed=seed,
            potential_name=self.potential_name or self.name,
            level_of_theory=level,
        )

    @job
    def begin(self, state: LoopState | dict[str, Any]) -> Response[LoopState]:
        """Draw distorted cells, to be labelled before the first fit.

        Parameters
        ----------
        state : LoopState
            Without labels.

        Returns
        -------
        Response
            The state; the labelling is added.
        """
        state = LoopState.model_validate(state)
        cell, rng = Structure.from_dict(state.structure), np.random.default_rng(state.seed)
        cells = []
        for _ in range(self.protocol.n_initial):
            strained = random_strain(cell, self.protocol.initial_strain, rng)
            cells.append(rattle(strained, self.protocol.initial_displacement_A, rng))
        batch = store_batch(unlabelled(cells, state, "initial cell"))
        return Response(output=state.with_key(), addition=self._labelling(state, batch, None))

    def _labelling(self, state: LoopState, batch: BlobReference, found: Exploration | None) -> Flow:
        label = _named(self.labeller.make(batch), state, "labels")
        absorb = _named(self.absorb(state, label.output, found), state, "labels taken in")
        return Flow([label, absorb])

    @job
    def absorb(
        self,
        state: LoopState | dict[str, Any],
        labels: LabelBatchOutput | dict[str, Any] | None,
        found: Exploration | dict[str, Any] | None,
    ) -> Response[LoopState]:
        """Take new labels in, judge the student by them, and decide what comes next.

        Parameters
        ----------
        state : LoopState
            Before the labels.
        labels : LabelBatchOutput or None
            None when there was nothing to label.
        found : Exploration or None
            The run that they are from; None for the initial cells.

        Returns
        -------
        Response
            The new state; the next fit, run or measurement is added.
        """
        state = LoopState.model_validate(state)
        batch = None if labels is None else LabelBatchOutput.model_validate(labels)
        exploration = None if found is None else Exploration.model_validate(found)
        step = step_of(state, batch, exploration, self.protocol)
        following = state_after(state, batch, exploration, self.protocol)
        following = following.model_copy(update={"history": [*state.history, step]}).with_key()
        if exploration is not None and exploration.broke and following.refits > self.protocol.maximum_refits:
            raise StudentBrokeError(
                f"{state.name}: the student broke at {exploration.temperature_K:g} K after "
                f"{self.protocol.maximum_refits} refits ({exploration.broke}); give it more initial cells, "
                "smaller temperature steps or a short-range repulsion"
            )
        learn = batch is not None or exploration is None or bool(exploration.broke)
        if learn:
            return Response(output=following, addition=_only(self.train(following), following, "fit"))
        return Response(output=following, addition=self._next(following))

    def _next(self, state: LoopState) -> Flow:
        """Explore at the next temperature, or measure after the last one."""
        assert state.student is not None  # a fit came before
        if state.position < len(self.protocol.temperatures_K):
            temperature_K = self.protocol.temperatures_K[state.position]
            return _only(self.explore(state), state, f"exploration {temperature_K:g} K")
        runs, truths = [], []
        for temperature_K in self.protocol.diffusion_temperatures_K:
            name = f"diffusion {temperature_K:g} K"
            runs.append(_named(self.measure(state, temperature_K), state, name))
            if self.teacher is not None and not state.teacher_diffusivities:
                measure = self.measure(state, temperature_K, of_teacher=True)
                truths.append(_named(measure, state, f"{name} of the teacher"))
        judge = self.judge(state, [run.output for run in runs], [run.output for run in truths])
        return Flow([*runs, *truths, _named(judge, state, "judgement")])

    @job
    def train(self, state: LoopState | dict[str, Any]) -> Response[TrainedStudent]:
        """Fit the student to all labels.

        Parameters
        ----------
        state : LoopState
            With labels.

        Returns
        -------
        Response
            A :class:`TrainedStudent`; the next run is added.
        """
        state = LoopState.model_validate(state)
        key = content_hash(
            {
                "kind": "self_consistent_student",
                "labels": sorted(blob.sha256 for blob in state.labels),
                "student": self.student.model_dump(mode="json"),
                "cleaning": self.protocol.cleaning.model_dump(mode="json"),
                "committee": self._n_members,
                "refits": state.refits,
                "seed": state.seed,
                # linear students hold nothing out, and keep their keys
                **({"held_out": "runs"} if self.student.kind == "fine_tuned" else {}),
            }
        )

        def compute(folder: Path) -> TrainedStudent:
            """Fit in the folder of this calculation."""
            return train_student(self.student, state, self.protocol.cleaning, self._n_members, key, folder)

        response = once(key, TrainedStudent, compute)
        following = state.model_copy(update={"student": TrainedStudent.model_validate(response.output)})
        response.addition = self._next(following)
        return response

    @property
    def _n_members(self) -> int:
        return 0 if self.protocol.committee is None else self.protocol.committee.n_members

    @job
    def explore(self, state: LoopState | dict[str, Any]) -> Response[Exploration]:
        """Run the student at one temperature and choose frames to be labelled.

        Parameters
        ----------
        state : LoopState
            With a student.

        Returns
        -------
        Response
            An :class:`Exploration`; the labelling is added.
        """
        state = LoopState.model_validate(state)
        assert state.student is not None  # a fit came before
        temperature_K = self.protocol.temperatures_K[state.position]
        seed = seed_of(state, "exploration", temperature_K)
        key = content_hash(
            {
                "kind": "self_consistent_exploration",
                "potential": state.student.potential.weights_sha256,
                "committee": [member.weights_sha256 for member in state.student.committee],
                "start": content_hash(state.start or state.structure),
                "protocol": self.protocol.model_dump(mode="json"),
                "temperature_K": temperature_K,
                "seed": seed,
            }
        )

        def compute(folder: Path) -> Exploration:
            """Run in the folder of this calculation."""
            return explore_with(state, self.protocol, temperature_K, seed, key, folder)

        response = once(key, Exploration, compute)
        found = Exploration.model_validate(response.output)
        if found.batch is None:
            response.addition = _only(self.absorb(state, None, found), state, "nothing to label")
        else:
            response.addition = self._labelling(state, found.batch, found)
        return response

    @job
    def measure(
        self, state: LoopState | dict[str, Any], temperature_K: float, of_teacher: bool = False
    ) -> Response[MolecularDynamicsOutput | BrokenMeasurement]:
        """Run the student, or its teacher, for the diffusivity, as any campaign would.

        Parameters
        ----------
        state : LoopState
            With a student.
        temperature_K : float
            Of the run.
        of_teacher : bool
            Run the teacher.

        Returns
        -------
        Response
            A :class:`MolecularDynamicsOutput`, or the reason why the potential failed.
        """
        state = LoopState.model_validate(state)
        assert state.student is not None  # a fit came before
        potential, what = state.student.potential, "diffusion"
        if of_teacher:
            assert self.teacher is not None  # it was asked for
            potential, what = self.teacher, "diffusion of the teacher"
        maker = MolecularDynamicsMaker(potential, self.protocol.diffusion, _NO_SUPERCELL_A)
        cell, seed = Structure.from_dict(state.structure), seed_of(state, what, temperature_K)
        make: Any = MolecularDynamicsMaker.make  # a job's own function is its attribute
        try:
            return make.original(maker, cell, state.material, temperature_K, seed)
        except DynamicsError as error:  # of the student, so another loop is what it takes
            broken = BrokenMeasurement(
                temperature_K=temperature_K, potential_sha256=potential.weights_sha256, broke=str(error)
            )
            return Response(output=broken)

    @job
    def judge(
        self,
        state: LoopState | dict[str, Any],
        outputs: list[dict[str, Any]],
        teacher_outputs: list[dict[str, Any]] | None = None,
    ) -> Response[LoopState]:
        """Compare the diffusivities with those of the loop before, and with the teacher's.

        Parameters
        ----------
        state : LoopState
            At the end of a loop.
        outputs : list of MolecularDynamicsOutput or BrokenMeasurement
            Runs that measure the diffusivity.
        teacher_outputs : list of MolecularDynamicsOutput or BrokenMeasurement, optional
            The teacher's, after the first loop of those that compare.

        Returns
        -------
        Response
            The state; the next loop is added, or after the last one the registration of the student.
        """
        state = LoopState.model_validate(state)
        measured = [diffusivity_of(state, output) for output in outputs]
        earlier = [found for found in state.diffusivities if found.loop == state.loop - 1]
        stationary = bool(earlier) and compare_diffusivities(measured, earlier) == "agrees"
        last = state.loop == self.protocol.maximum_loops
        verdict = "stationary" if stationary else "not_stationary" if last else "running"
        truths = [diffusivity_of(state, output) for output in teacher_outputs or []]
        truths = truths or state.teacher_diffusivities
        changes: dict[str, Any] = {
            "diffusivities": [*state.diffusivities, *measured],
            "teacher_diffusivities": truths,
            "teacher_verdict": compare_diffusivities(measured, truths) if truths else None,
            "verdict": verdict,
        }
        if verdict != "running":
            ended = state.model_copy(update=changes).with_key()
            return Response(output=ended, addition=self._registration(ended, outputs))
        changes |= {"loop": state.loop + 1, "position": 0, "refits": 0}
        following = state.model_copy(update=changes).with_key()
        return Response(output=following, addition=self._next(following))

    def _registration(self, state: LoopState, outputs: list[dict[str, Any]]) -> Flow:
        """Label frames of the last runs, to test the student on, and hand it to the registry."""
        cells = frames_to_test_on(outputs, self.protocol.test_frames)
        if not cells:
            return _only(self.register(state, None), state, "registration")
        batch = store_batch(unlabelled(cells, state, "test frame"))
        label = _named(self.labeller.make(batch), state, "test labels")
        return Flow([label, _named(self.register(state, label.output), state, "registration")])

    @job
    def register(
        self, state: LoopState | dict[str, Any], tests: LabelBatchOutput | dict[str, Any] | None
    ) -> Response[LoopPotential]:
        """Test the last student, and leave it to the registry of potentials.

        Parameters
        ----------
        state : LoopState
            Of a loop that ended.
        tests : LabelBatchOutput or None
            Labels of frames of its last runs.

        Returns
        -------
        Response
            A :class:`LoopPotential`.
        """
        state = LoopState.model_validate(state)
        batch = None if tests is None else LabelBatchOutput.model_validate(tests)
        assert state.student is not None  # a fit came before
        content = {
            "kind": "self_consistent_potential",
            "loop": state.loop_id,
            "weights": state.student.weights.sha256,
            "name": state.potential_name,
            "tests": None if batch is None else batch.packed.sha256,
        }
        key = content_hash(content)

        def compute(_folder: Path) -> LoopPotential:
            """Gather what the registry stores, in the folder of this calculation."""
            return loop_potential(state, self.student, self.protocol.cleaning, batch, key)

        return once(key, LoopPotential, compute)


def _named(made: Job, state: LoopState, what: str) -> Job:
    made.name = f"{state.name} loop {state.loop} {what}"
    return made


def _only(made: Job, state: LoopState, what: str) -> Flow:
    return Flow([_named(made, state, what)])
