"""Protocol, state and outputs of a self-consistent training loop (Marcolongo 2019)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sse_screen.documents.base import (
    BlobReference,
    Document,
    PotentialIdentity,
    Quantity,
    Specification,
    content_hash,
)
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.training import ParityPoints, SetMetrics, TrainingProtocol
from sse_screen.training.cleaning import CleaningRules
from sse_screen.training.labelled import LevelOfTheory
from sse_screen.training.linear import LinearProtocol

LoopVerdict = Literal["running", "stationary", "not_stationary"]
TeacherVerdict = Literal["agrees", "disagrees", "unresolved"]


class CommitteeProtocol(Specification):
    """Label only where several students disagree."""

    n_members: int = Field(4, ge=2, le=20, description="Students trained to different draws of the labels")
    threshold_eV_per_A: float = Field(
        0.15,
        gt=0,
        description="A frame is labelled when the forces on an atom deviate by more",
        json_schema_extra={"unit": "eV/angstrom"},
    )
    on_the_fly: bool = Field(
        False, description="End a run at the first such frame, label it, refit, and go on from before it"
    )


class LoopProtocol(Specification):
    """How a student explores, what is labelled, and when it is good enough."""

    n_initial: int = Field(20, ge=2, description="Distorted cells labelled before the first fit")
    initial_displacement_A: float = Field(
        0.15, gt=0, le=1, description="Their displacements (sd)", json_schema_extra={"unit": "angstrom"}
    )
    initial_strain: float = Field(0.02, ge=0, le=0.1, description="Their largest strain")
    temperatures_K: tuple[float, ...] = Field(
        tuple(float(t) for t in range(300, 1001, 50)),
        min_length=1,
        description="Climbed in each loop, one training step each",
        json_schema_extra={"unit": "K"},
    )
    exploration: MolecularDynamicsProtocol = Field(
        default_factory=lambda: MolecularDynamicsProtocol(equilibration_ps=1, production_ps=40),
        description="Run of a training step",
    )
    frames_per_step: int = Field(40, ge=1, description="Equidistant frames of it that may be labelled")
    committee: CommitteeProtocol | None = Field(
        None, description="Label only where students disagree; all equidistant frames without it"
    )
    diffusion_temperatures_K: tuple[float, ...] = Field(
        min_length=1,
        description="Where the diffusivity is measured after each loop",
        json_schema_extra={"unit": "K"},
    )
    diffusion: MolecularDynamicsProtocol = Field(description="Runs that measure it")
    maximum_loops: int = Field(5, ge=1, description="Give up after so many")
    test_frames: int = Field(
        5,
        ge=0,
        description="Frames of each of the last runs for the diffusivity that are labelled to measure the "
        "errors of the student, and never learnt from",
    )
    minimum_distance_A: float = Field(
        0.6,
        gt=0,
        description="Ions that come closer end the run: refit with a larger batch",
        json_schema_extra={"unit": "angstrom"},
    )
    maximum_refits: int = Field(4, ge=0, description="At one temperature")
    cleaning: CleaningRules = Field(CleaningRules(), description="Which labels are not learnt from")

    @model_validator(mode="after")
    def _enough_frames(self) -> Self:
        if self.frames_per_step > self.exploration.n_frames:
            raise ValueError(
                f"frames_per_step {self.frames_per_step}: the exploration stores {self.exploration.n_frames}"
            )
        return self


class TrainedStudent(Document):
    """What one fit leaves: the student, its committee, its weights in the blob store."""

    kind: Literal["self_consistent_student"] = "self_consistent_student"
    calculation_key: str = Field(description="Hash of labels, student, attempt and seed")
    potential: PotentialIdentity
    weights: BlobReference
    committee: list[PotentialIdentity] = Field(
        default_factory=list, description="Members, without the student"
    )
    committee_weights: list[BlobReference] = Field(default_factory=list)
    n_labels: int = Field(description="Labels learnt from", json_schema_extra={"unit": "1"})
    rejected: list[str] = Field(
        default_factory=list, description="Labels that cleaning left out, with reasons"
    )
    training_force_error_eV_per_A: float = Field(
        description="Root mean square on the labels learnt from", json_schema_extra={"unit": "eV/angstrom"}
    )
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


class Exploration(Document):
    """What one run of a student found."""

    kind: Literal["self_consistent_exploration"] = "self_consistent_exploration"
    calculation_key: str = Field(description="Hash of student, start, protocol, temperature and seed")
    temperature_K: float = Field(description="Of the run", json_schema_extra={"unit": "K"})
    time_ps: float = Field(description="Length until its end", json_schema_extra={"unit": "ps"})
    broke: str | None = Field(None, description="Why the student failed there; none when it did not")
    uncertain: str | None = Field(None, description="Why an on-the-fly run was ended; none when it was not")
    largest_deviation_eV_per_A: float | None = Field(
        None,
        description="Of the committee, over all frames looked at",
        json_schema_extra={"unit": "eV/angstrom"},
    )
    n_chosen: int = Field(description="Frames to be labelled", json_schema_extra={"unit": "1"})
    batch: BlobReference | None = Field(None, description="These frames, packed")
    last_certain: dict[str, Any] | None = Field(
        None, description="Cell that an on-the-fly run goes on from, pymatgen as_dict"
    )
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


class BrokenMeasurement(Document):
    """A run for the diffusivity in which the student failed."""

    kind: Literal["self_consistent_broken_measurement"] = "self_consistent_broken_measurement"
    temperature_K: float = Field(description="Of the run", json_schema_extra={"unit": "K"})
    potential_sha256: str = Field("", description="The potential that was run")
    broke: str = Field(description="Why")


class LoopStep(Document):
    """One line of a loop's history."""

    loop: int = Field(description="Number of the training loop, from 1; 0: initial labels")
    temperature_K: float | None = Field(None, json_schema_extra={"unit": "K"})
    refits: int = Field(0, description="Refits at this temperature so far")
    broke: str | None = Field(None, description="Why the student failed; none when it did not")
    left_uncertain: bool = Field(
        False,
        description="The committee still disagreed when an on-the-fly run had spent frames_per_step labels: "
        "the loop went on to the next temperature before the run had its length",
    )
    n_new_labels: int = Field(description="Labels added", json_schema_extra={"unit": "1"})
    force_error_eV_per_A: float | None = Field(
        None,
        description="Root mean square error of the student on these labels, before it learnt them",
        json_schema_extra={"unit": "eV/angstrom"},
    )
    largest_deviation_eV_per_A: float | None = Field(
        None, description="Largest of the committee", json_schema_extra={"unit": "eV/angstrom"}
    )
    potential_sha256: str | None = Field(None, description="The student that explored")


class LoopDiffusivity(Document):
    """Diffusivity of a loop's student, or of its teacher, at one temperature."""

    loop: int = Field(description="Number of the training loop")
    temperature_K: float = Field(json_schema_extra={"unit": "K"})
    diffusivity: Quantity = Field(json_schema_extra={"unit": "cm^2/s"})
    potential_sha256: str = Field(description="The potential that was run")


class LoopState(Document):
    """All that the next step of a loop needs; every step leaves one in ``outputs``."""

    kind: Literal["self_consistent_state"] = "self_consistent_state"
    calculation_key: str = Field("", description="Hash of the loop and of how far it is")
    loop_id: str = Field(description="Hash of crystal, protocol, student, teacher and seed")
    name: str = Field(description="Name given to the loop")
    structure: dict[str, Any] = Field(description="Cell that runs start from, pymatgen as_dict")
    material: dict[str, Any] = Field(description="material_id, material_name, mobile_ion, charge_number")
    seed: int = Field(description="Every run's seed is derived from it")
    potential_name: str = Field("", description="Name that the last student is registered by")
    level_of_theory: LevelOfTheory | None = Field(None, description="Of the teacher's labels")
    labels: list[BlobReference] = Field(default_factory=list, description="Packed labels, all so far")
    n_labels: int = Field(0, description="Labels paid for", json_schema_extra={"unit": "1"})
    loop: int = Field(1, description="Training loop, from 1")
    position: int = Field(0, description="Index of the temperature that comes next")
    refits: int = Field(0, description="Refits at this temperature so far")
    interruptions: int = Field(0, description="On-the-fly labels at this temperature so far")
    start: dict[str, Any] | None = Field(None, description="Where an on-the-fly run goes on; none: structure")
    student: TrainedStudent | None = Field(None, description="The latest")
    history: list[LoopStep] = Field(default_factory=list, description="One line a step")
    diffusivities: list[LoopDiffusivity] = Field(default_factory=list, description="After each loop")
    verdict: LoopVerdict = "running"
    teacher_diffusivities: list[LoopDiffusivity] = Field(
        default_factory=list, description="By the same runs of the teacher, where it was asked for"
    )
    teacher_verdict: TeacherVerdict | None = Field(
        None, description="Whether the latest diffusivities are the teacher's within their joint intervals"
    )

    @property
    def progress(self) -> tuple[int, int]:
        """What grows from each state of a loop to the next."""
        return len(self.history), len(self.diffusivities)

    @property
    def latest_diffusivities(self) -> list[LoopDiffusivity]:
        """Those of the last loop that was measured."""
        last = max((found.loop for found in self.diffusivities), default=0)
        return [found for found in self.diffusivities if found.loop == last]

    def with_key(self) -> Self:
        """Give the state as a step leaves it, with its key.

        Returns
        -------
        LoopState
            The same state of the same loop has the same key.
        """
        where = [self.loop_id, *self.progress, self.loop, self.position, self.refits, self.interruptions]
        key = content_hash({"kind": self.kind, "where": [*where, self.verdict]})
        return self.model_copy(update={"calculation_key": key})


class LoopPotential(Document):
    """The last student of a loop, as the registry of potentials takes it."""

    kind: Literal["self_consistent_potential"] = "self_consistent_potential"
    calculation_key: str = Field(description="Hash of loop, weights, name and test labels")
    loop_id: str = Field(description="The loop that made it")
    loop_verdict: LoopVerdict = Field(description="How that loop ended")
    name: str = Field(description="Name given to the potential")
    method: str = Field(description="How it was trained")
    weights: BlobReference
    potential: PotentialIdentity = Field(description="Who it is")
    parent: PotentialIdentity | None = Field(description="What its training began with; null: nothing")
    elements: list[str] = Field(description="Elements that the labels cover, alphabetical")
    formulas: list[str] = Field(description="Reduced formulas learnt from")
    level_of_theory: str = Field(description="Of all labels")
    level_of_theory_id: str = Field(description="Hash of the level of theory")
    dataset_sha256: str = Field(description="Hash of the labels learnt from, whatever their order")
    n_training: int = Field(description="Structures learnt from", json_schema_extra={"unit": "1"})
    n_test: int = Field(description="Structures tested on", json_schema_extra={"unit": "1"})
    protocol: TrainingProtocol | LinearProtocol = Field(description="How it was trained")
    seed: int = Field(description="Of the loop")
    training: SetMetrics = Field(description="Errors on the structures learnt from")
    test: SetMetrics | None = Field(
        description="Errors on frames of the last runs for the diffusivity; null without such labels"
    )
    test_labels: BlobReference | None = Field(description="The packed labels of these frames")
    parity: ParityPoints | None = Field(description="Labels and predictions on these frames")
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    inputs: list[str] = Field(default_factory=list, description="uuids of jobs it came from")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")
