"""Protocol, metrics and output of one training of a potential."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity, Specification, content_hash

MEANING_VERSION = "2"


class HuberLoss(Document):
    """Sum of Huber losses of energies per atom, force components and stress components.

    With the error x, the Huber loss is x²/2 for abs(x) < δ and δ (abs(x) − δ/2) beyond (Huber 1964).
    """

    kind: Literal["huber"] = "huber"
    delta: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="Where the loss turns linear, in units of the quantity"
    )
    energy_weight: float = Field(1.0, ge=0, description="Weight of energies in eV/atom")
    force_weight: float = Field(1.0, ge=0, description="Weight of forces in eV/Å")
    stress_weight: float = Field(0.1, ge=0, description="Weight of stresses in GPa")

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        if self.energy_weight + self.force_weight + self.stress_weight <= 0:
            raise ValueError("all weights are 0, so there is nothing to learn")
        return self


class BalancedSquaredLoss(Document):
    """The loss of Yang 2025: (1 − β)(E − E_DFT)² + (β/3N) Σ (F − F_DFT)², a cell's total energy in eV."""

    kind: Literal["balanced_squared"] = "balanced_squared"
    beta: float = Field(0.99, ge=0, le=1, description="Share of the forces")


Loss = Annotated[HuberLoss | BalancedSquaredLoss, Field(discriminator="kind")]


class LearningRateSchedule(Document):
    """How the learning rate falls."""

    kind: Literal["constant", "step", "cosine"] = Field(
        "cosine",
        description="step: times ``factor`` every ``interval`` epochs; cosine: to ``factor`` at the end",
    )
    factor: float = Field(0.01, gt=0, le=1, description="Factor of a step, or of the last epoch")
    interval: int = Field(10, ge=1, description="Epochs between steps", json_schema_extra={"unit": "epoch"})


class _AnyProtocol(Specification):
    """What trainings share, whichever code trains."""

    maximum_epochs: int = Field(100, ge=1, le=100_000, description="Last epoch at the latest")
    patience: int = Field(
        20, ge=1, description="Stop after so many epochs without a lower loss on the validation set"
    )
    atom_reference: Literal["refit", "keep"] = Field(
        "refit", description="Whether the energies of the elements are fitted to the labels first"
    )
    maximum_reference_error_eV_per_atom: float = Field(
        0.05,
        gt=0,
        allow_inf_nan=False,
        description="Training is refused when energies are off by more in a way that compositions explain",
        json_schema_extra={"unit": "eV/atom"},
    )


class TrainingProtocol(_AnyProtocol):
    """How a potential is trained; with parent, data and seed it fixes the result."""

    batch_size: int = Field(8, ge=1, description="Structures a step")
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False, description="First learning rate of Adam")
    schedule: LearningRateSchedule = LearningRateSchedule()
    loss: Loss = HuberLoss()
    frozen_layers: tuple[str, ...] = Field(
        (), description="Parameters whose names begin so keep their values, such as atom_embedding"
    )


class MaceProtocol(_AnyProtocol):
    """How a MACE is trained; the architecture counts from scratch only, a foundation model has its own."""

    method: Literal["scratch", "naive", "multihead"] = Field(
        "scratch",
        description="From scratch; fine-tuning; or fine-tuning with a second head on replayed structures",
    )
    channels: int = Field(16, ge=1, description="Channels of the messages")
    largest_order: int = Field(0, ge=0, le=3, description="Largest order of equivariant messages")
    interactions: int = Field(2, ge=1, le=4, description="Layers")
    correlation: int = Field(2, ge=1, le=4, description="Order of the products")
    cutoff_A: float = Field(5.0, gt=0, le=12, json_schema_extra={"unit": "angstrom"})
    batch_size: int = Field(4, ge=1, description="Structures a step")
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False, description="First learning rate of Adam")
    energy_weight: float = Field(1.0, ge=0, description="Weight of energies")
    force_weight: float = Field(10.0, ge=0, description="Weight of forces")
    stress_weight: float = Field(1.0, ge=0, description="Weight of stresses")
    precision: Literal["float32", "float64"] = Field("float32", description="Of all numbers")


class ErrorStatistics(Document):
    """Errors of one quantity on one set."""

    mean_absolute_error: float = Field(description="Mean of absolute errors")
    root_mean_square_error: float = Field(description="Root of the mean squared error")
    r_squared: float | None = Field(description="Coefficient of determination; null where labels do not vary")
    n_values: int = Field(description="Numbers compared", json_schema_extra={"unit": "1"})
    unit: str = Field(description="Unit of the errors")


class SetMetrics(Document):
    """Errors of a potential on one set of labelled structures."""

    n_structures: int = Field(description="Structures in the set", json_schema_extra={"unit": "1"})
    formulas: list[str] = Field(description="Reduced formulas in the set")
    energy: ErrorStatistics = Field(description="Energies per atom")
    forces: ErrorStatistics = Field(description="Components of forces")
    stress: ErrorStatistics | None = Field(description="Components of stresses; null without labels")


class ParityPoints(Document):
    """Labels and predictions on the test set, for a figure; forces and stresses are thinned out."""

    energy_label_eV_per_atom: list[float] = Field(json_schema_extra={"unit": "eV/atom"})
    energy_predicted_eV_per_atom: list[float] = Field(json_schema_extra={"unit": "eV/atom"})
    force_label_eV_per_A: list[float] = Field(json_schema_extra={"unit": "eV/angstrom"})
    force_predicted_eV_per_A: list[float] = Field(json_schema_extra={"unit": "eV/angstrom"})
    stress_label_GPa: list[float] = Field(json_schema_extra={"unit": "GPa"})
    stress_predicted_GPa: list[float] = Field(json_schema_extra={"unit": "GPa"})


class EpochRecord(Document):
    """What one epoch gave."""

    epoch: int = Field(description="Number of the epoch, from 1")
    learning_rate: float = Field(description="Learning rate in the epoch")
    training_loss: float = Field(description="Mean loss over the steps of the epoch")
    validation_loss: float = Field(description="Loss on the validation set after the epoch")
    energy_error_eV_per_atom: float = Field(
        description="Root mean square error on the validation set", json_schema_extra={"unit": "eV/atom"}
    )
    force_error_eV_per_A: float = Field(
        description="Root mean square error on the validation set",
        json_schema_extra={"unit": "eV/angstrom"},
    )


class SplitProtocol(Specification):
    """How labelled structures are divided: to learn from, to choose the epoch, to test on."""

    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the structures that only the errors are measured on, at the end",
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the structures that chooses the epoch"
    )
    unseen_formulas: tuple[str, ...] = Field(
        (), description="Compositions that are only tested on, any multiple of the formula"
    )
    by: Literal["parent", "run"] = Field(
        "parent",
        description="What stays together: frames of a parent configuration, or only those of a run",
    )
    n_training: int | None = Field(
        None, ge=1, description="Learn from so many structures only", json_schema_extra={"unit": "1"}
    )
    training_fraction: float = Field(
        1.0, gt=0, le=1, description="Learn from this share only, where n_training is null"
    )
    seed: int = Field(0, ge=0, description="Seed of the choice")

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        apart = self.test_fraction + self.validation_fraction
        if apart >= 1:
            raise ValueError(
                f"test_fraction and validation_fraction add up to {apart:g}: nothing is left to learn from"
            )
        return self


class TrainingOutput(Document):
    """What one training leaves in ``outputs``; the weights are in the blob store."""

    kind: Literal["training"] = "training"
    calculation_key: str = Field(description="Hash of parent, data, protocol and seed")
    name: str = Field(description="Name given to the potential")
    method: str = Field(description="How it was trained, such as fine-tuning")
    weights: BlobReference
    potential: PotentialIdentity = Field(description="Who the new potential is")
    parent: PotentialIdentity | None = Field(description="What the training began with; null: from scratch")
    elements: list[str] = Field(description="Elements that the labels cover, alphabetical")
    chemical_system: str = Field(description="Elements, joined by -")
    formulas: list[str] = Field(description="Reduced formulas of the training set")
    level_of_theory: str = Field(description="Of all labels")
    level_of_theory_id: str = Field(description="Hash of the level of theory")
    dataset_sha256: str = Field(description="Hash of all labels and their uses, whatever their order")
    validation_sha256: str = Field(description="Hash of the labels that chose the epoch")
    test_sha256: str = Field(description="Hash of the labels that the errors are measured on")
    labels: list[BlobReference] = Field(description="The packed labels it was made from")
    replay: BlobReference | None = Field(
        None,
        description="Packed structures that a second head replayed; null: none, or the library's",
    )
    split: SplitProtocol
    n_training: int = Field(description="Structures to learn from", json_schema_extra={"unit": "1"})
    n_validation: int = Field(description="Structures that chose the epoch", json_schema_extra={"unit": "1"})
    n_test: int = Field(
        description="Structures never looked at before the end", json_schema_extra={"unit": "1"}
    )
    protocol: TrainingProtocol | MaceProtocol
    seed: int = Field(description="Seed of the order of the structures")
    reference_shift_eV: dict[str, float] = Field(
        description="What was added to the energy of each element", json_schema_extra={"unit": "eV"}
    )
    best_epoch: int = Field(description="Epoch whose weights these are")
    n_epochs: int = Field(description="Epochs run")
    stopped_early: bool = Field(description="Whether the patience ran out")
    history: list[EpochRecord] = Field(description="One record an epoch")
    training: SetMetrics = Field(description="Errors on the structures it learnt from")
    validation: SetMetrics = Field(description="Errors on the structures that chose the epoch")
    test: SetMetrics = Field(description="Errors on configurations never looked at before the end")
    unseen_composition: SetMetrics | None = Field(description="Errors on compositions not trained on")
    parent_test: SetMetrics | None = Field(
        description="The parent's errors on the test set, energies of the elements refitted"
    )
    parity: ParityPoints
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    inputs: list[str] = Field(default_factory=list, description="uuids of jobs it came from")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


def training_key(
    dataset_sha256: str,
    parent: PotentialIdentity | None,
    protocol: TrainingProtocol | MaceProtocol,
    seed: int,
    method: str,
) -> str:
    """Give the idempotency key of a training.

    Parameters
    ----------
    dataset_sha256 : str
        Hash of the labels and of what each is used for.
    parent : PotentialIdentity or None
        Only the code and the hash of the weights count.
    protocol : TrainingProtocol or MaceProtocol
        How it is trained.
    seed : int
        Seed of the order of the structures.
    method : str
        Such as fine-tuning.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    content: dict[str, Any] = {
        "kind": "training",
        "meaning": MEANING_VERSION,
        "method": method,
        "dataset": dataset_sha256,
        "parent": None if parent is None else [parent.code, parent.weights_sha256],
        "protocol": protocol.model_dump(mode="json"),
        "seed": seed,
    }
    return content_hash(content)
