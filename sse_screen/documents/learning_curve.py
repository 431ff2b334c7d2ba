"""Stored form of a learning curve: errors on the test set over the number of structures learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from sse_screen.documents.base import DerivedDocument, Document, PotentialIdentity, content_hash
from sse_screen.documents.training import MaceProtocol, TrainingOutput, TrainingProtocol
from sse_screen.training.learning_curve import MINIMUM_SIZES, fit_power_law, judge_data

DataVerdict = Literal["enough", "more_data_needed", "undecided"]
_UNITS = {"energy": "eV/atom", "forces": "eV/angstrom", "stress": "GPa"}


class LearningPoint(Document):
    """One training of the curve."""

    n_training: int = Field(description="Structures learnt from", json_schema_extra={"unit": "1"})
    seed: int = Field(description="Seed of the training")
    weights_sha256: str = Field(description="The potential that came out")
    energy_error_eV_per_atom: float = Field(
        description="RMSE on the test set", json_schema_extra={"unit": "eV/atom"}
    )
    force_error_eV_per_A: float = Field(
        description="RMSE on the test set", json_schema_extra={"unit": "eV/angstrom"}
    )
    stress_error_GPa: float | None = Field(
        description="RMSE on the test set", json_schema_extra={"unit": "GPa"}
    )


class FittedLaw(Document):
    """error = prefactor · n^(−exponent) of one quantity, and what it says."""

    quantity: Literal["energy", "forces", "stress"]
    unit: str = Field(description="Unit of the errors")
    exponent: float = Field(description="Exponent", json_schema_extra={"unit": "1"})
    exponent_lower: float = Field(description="Lower end of its interval", json_schema_extra={"unit": "1"})
    exponent_upper: float = Field(description="Upper end of its interval", json_schema_extra={"unit": "1"})
    prefactor: float = Field(description="Error at one structure, by the law")
    confidence: float = Field(description="Probability that an interval is to hold the truth")
    levels_off: bool = Field(description="Whether only the larger half of the sizes was fitted")
    n_points: int = Field(description="Trainings that were fitted", json_schema_extra={"unit": "1"})
    expected_error_at_twice_the_data: float = Field(description="By the law")
    expected_error_lower: float = Field(description="Lower end of its interval")
    expected_error_upper: float = Field(description="Upper end of its interval")
    verdict: DataVerdict = Field(description="Whether there is enough data for this quantity")
    reasons: list[str] = Field(description="Why")


class LearningCurveDoc(DerivedDocument):
    """Trainings that differ in nothing but the number of structures and the seed."""

    collection: ClassVar[str] = "learning_curve"
    meaning_version: ClassVar[str] = "2"
    group_fields: ClassVar[tuple[str, ...]] = (
        "method",
        "parent_sha256",
        "validation_sha256",
        "test_sha256",
        "level_of_theory_id",
        "protocol_sha256",
    )

    names: list[str] = Field(description="Names of the potentials, smallest training set first")
    method: str = Field(description="How they were trained")
    parent: PotentialIdentity | None = Field(description="What all trainings began with")
    parent_sha256: str = Field(description="Its weights; empty for trainings from scratch")
    validation_sha256: str = Field(description="Hash of the labels that chose the epoch of all")
    test_sha256: str = Field(description="Hash of the labels that all are judged by")
    n_test: int = Field(description="Structures that all are judged by", json_schema_extra={"unit": "1"})
    elements: list[str] = Field(description="Elements of the labels")
    chemical_system: str = Field(description="Elements of the labels, joined by -")
    level_of_theory: str = Field(description="Of all labels")
    level_of_theory_id: str = Field(description="Its hash")
    protocol: TrainingProtocol | MaceProtocol = Field(description="How they were trained, in full")
    protocol_sha256: str = Field(description="Its hash")
    n_sizes: int = Field(description="Different training-set sizes", json_schema_extra={"unit": "1"})
    largest_n_training: int = Field(description="Largest training set", json_schema_extra={"unit": "1"})
    points: list[LearningPoint] = Field(description="One a training, by size and seed")
    laws: list[FittedLaw] = Field(description="Fits; none below four sizes")
    verdict: DataVerdict = Field(description="Whether there is enough data: that of the forces")
    reasons: list[str] = Field(description="Why")

    @classmethod
    def group_of(cls, output: dict[str, Any]) -> dict[str, Any]:
        """Give the group of a stored training.

        Parameters
        ----------
        output : dict
            A :class:`TrainingOutput` as stored.

        Returns
        -------
        dict
            Values of ``group_fields``.
        """
        parent = output["parent"]
        return {
            "method": output["method"],
            "parent_sha256": "" if parent is None else parent["weights_sha256"],
            "validation_sha256": output["validation_sha256"],
            "test_sha256": output["test_sha256"],
            "level_of_theory_id": output["level_of_theory_id"],
            "protocol_sha256": content_hash(output["protocol"]),
        }

    @classmethod
    def from_trainings(
        cls,
        trainings: Sequence[TrainingOutput],
        *,
        tolerance: float = 0.1,
        confidence: float = 0.95,
        target_force_error_eV_per_A: float | None = None,
        target_energy_error_eV_per_atom: float | None = None,
    ) -> Self:
        """Make the curve of trainings of one group.

        Parameters
        ----------
        trainings : sequence of TrainingOutput
            At least one.
        tolerance : float
            Doubling the data is not worth it when it removes less than this share of the error.
        confidence : float
            Of all intervals.
        target_force_error_eV_per_A, target_energy_error_eV_per_atom : float, optional
            Errors that are good enough.

        Returns
        -------
        LearningCurveDoc
            The document, without build metadata.
        """
        ordered = sorted(trainings, key=lambda training: (training.n_training, training.seed, training.name))
        points = [_point(training) for training in ordered]
        sizes = [point.n_training for point in points]
        targets = {"energy": target_energy_error_eV_per_atom, "forces": target_force_error_eV_per_A}
        laws = []
        if len(set(sizes)) >= MINIMUM_SIZES:
            for quantity, errors in _errors(points).items():
                laws.append(_law(quantity, sizes, errors, tolerance, confidence, targets.get(quantity)))
        of_forces = next((law for law in laws if law.quantity == "forces"), None)
        few = f"{len(set(sizes))} training-set sizes; a curve needs {MINIMUM_SIZES}"
        first = ordered[0]
        group = cls.group_of(first.model_dump(mode="json"))
        copied = ("method", "parent", "n_test", "level_of_theory", "protocol")
        elements = sorted({element for training in ordered for element in training.elements})
        return cls(
            id=cls.id_of(group),
            **(group | {name: getattr(first, name) for name in copied}),
            names=list(dict.fromkeys(training.name for training in ordered)),
            elements=elements,
            chemical_system="-".join(elements),
            n_sizes=len(set(sizes)),
            largest_n_training=max(sizes),
            points=points,
            laws=laws,
            verdict="undecided" if of_forces is None else of_forces.verdict,
            reasons=[few] if of_forces is None else of_forces.reasons,
        )


def _point(training: TrainingOutput) -> LearningPoint:
    errors = training.test
    return LearningPoint(
        n_training=training.n_training,
        seed=training.seed,
        weights_sha256=training.weights.sha256,
        energy_error_eV_per_atom=errors.energy.root_mean_square_error,
        force_error_eV_per_A=errors.forces.root_mean_square_error,
        stress_error_GPa=None if errors.stress is None else errors.stress.root_mean_square_error,
    )


def _errors(points: Sequence[LearningPoint]) -> dict[Literal["energy", "forces", "stress"], list[float]]:
    found: dict[Literal["energy", "forces", "stress"], list[float]] = {
        "energy": [point.energy_error_eV_per_atom for point in points],
        "forces": [point.force_error_eV_per_A for point in points],
    }
    stresses = [point.stress_error_GPa for point in points]
    if all(stress is not None for stress in stresses):
        found["stress"] = [stress for stress in stresses if stress is not None]
    return found


def _law(
    quantity: Literal["energy", "forces", "stress"],
    sizes: list[int],
    errors: list[float],
    tolerance: float,
    confidence: float,
    target: float | None,
) -> FittedLaw:
    law = fit_power_law(sizes, errors, confidence)
    judgement = judge_data(law, tolerance, target, _UNITS[quantity])
    value, lower, upper = law.at(2 * law.largest_size)
    return FittedLaw(
        quantity=quantity,
        unit=_UNITS[quantity],
        exponent=law.exponent,
        exponent_lower=law.exponent_lower,
        exponent_upper=law.exponent_upper,
        prefactor=law.prefactor,
        confidence=confidence,
        levels_off=law.levels_off,
        n_points=law.n_points,
        expected_error_at_twice_the_data=value,
        expected_error_lower=lower,
        expected_error_upper=upper,
        verdict=judgement.verdict,
        reasons=list(judgement.reasons),
    )
