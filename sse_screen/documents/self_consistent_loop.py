"""Stored form of a self-consistent loop: how far it came, what it cost, what its students gave."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field
from pydantic.config import JsonDict
from pymatgen.core import Structure

from sse_screen.documents.base import DerivedDocument, PotentialIdentity
from sse_screen.documents.self_consistent import (
    LoopDiffusivity,
    LoopState,
    LoopStep,
    LoopVerdict,
    TeacherVerdict,
)
from sse_screen.exceptions import InputError

_NUMBER: JsonDict = {"unit": "1"}


class SelfConsistentLoopDoc(DerivedDocument):
    """A self-consistent training loop: its steps, its labels, its diffusivities beside the teacher's."""

    collection: ClassVar[str] = "self_consistent_loop"
    meaning_version: ClassVar[str] = "2"
    group_fields: ClassVar[tuple[str, ...]] = ("loop_id",)

    loop_id: str = Field(description="Hash of crystal, protocol, student, teacher and seed")
    name: str = Field(description="Name given to the loop")
    potential_name: str = Field(description="Name that its last student is registered by")
    material_id: str = Field(description="Hash of the crystal")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    n_atoms: int = Field(description="Atoms in the simulated cell", json_schema_extra=_NUMBER)
    mobile_ion: str = Field(description="Mobile species")
    charge_number: int = Field(
        description="Charge of the mobile ion in units of e", json_schema_extra=_NUMBER
    )
    seed: int = Field(description="Every run's seed is derived from it")
    level_of_theory: str = Field(description="Of the teacher's labels")
    level_of_theory_id: str = Field(description="Its hash")
    teacher_sha256: str | None = Field(description="The teacher's weights; null when it is no potential")
    student: PotentialIdentity | None = Field(description="The latest student; null before the first fit")
    student_sha256: str | None = Field(description="Its weights")
    n_committee: int = Field(
        description="Members of the committee; 0 when every frame is labelled", json_schema_extra=_NUMBER
    )
    verdict: LoopVerdict = Field(description="Whether the diffusivity is stationary, or the loop goes on")
    teacher_verdict: TeacherVerdict | None = Field(
        description="Whether the latest diffusivities are the teacher's; null when that was not asked for"
    )
    n_loops: int = Field(description="Loops begun", json_schema_extra=_NUMBER)
    n_labels: int = Field(description="Labels paid for", json_schema_extra=_NUMBER)
    n_rejected: int = Field(
        description="Of these, labels that the latest student did not learn from", json_schema_extra=_NUMBER
    )
    training_force_error_eV_per_A: float | None = Field(
        description="Root mean square error of the latest student on the labels learnt from",
        json_schema_extra={"unit": "eV/angstrom"},
    )
    history: list[LoopStep] = Field(description="One line a step")
    diffusivities: list[LoopDiffusivity] = Field(description="After each loop")
    teacher_diffusivities: list[LoopDiffusivity] = Field(description="By the same runs of the teacher")

    @classmethod
    def from_state(cls, state: LoopState) -> Self:
        """Make the document of a loop.

        Parameters
        ----------
        state : LoopState
            The latest.

        Returns
        -------
        SelfConsistentLoopDoc
            The document, without build metadata.

        Raises
        ------
        InputError
            For a state that does not say what the teacher is.
        """
        level, student = state.level_of_theory, state.student
        if level is None:
            raise InputError(f"loop {state.name!r}: its state does not say what the teacher is")
        composition = Structure.from_dict(state.structure).composition
        copied = ("loop_id", "name", "potential_name", "seed", "verdict", "teacher_verdict", "n_labels")
        lists = ("history", "diffusivities", "teacher_diffusivities")
        of_teacher = dict(level.settings).get("weights_sha256")
        return cls(
            id=cls.id_of({"loop_id": state.loop_id}),
            **{name: getattr(state, name) for name in (*copied, *lists)},
            material_id=state.material["material_id"],
            mobile_ion=state.material["mobile_ion"],
            charge_number=state.material["charge_number"],
            formula=composition.reduced_formula,
            chemical_system=composition.chemical_system,
            elements=sorted(element.symbol for element in composition.elements),
            n_atoms=int(composition.num_atoms),
            level_of_theory=level.describe(),
            level_of_theory_id=level.identifier,
            teacher_sha256=None if of_teacher is None else str(of_teacher),
            student=None if student is None else student.potential,
            student_sha256=None if student is None else student.potential.weights_sha256,
            n_committee=0 if student is None else len(student.committee),
            n_loops=state.loop,
            n_rejected=0 if student is None else len(student.rejected),
            training_force_error_eV_per_A=None if student is None else student.training_force_error_eV_per_A,
        )
