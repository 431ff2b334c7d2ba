"""The registry of potentials: one document a model, told by the hash of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal, Self

from pydantic import Field

from sse_screen.documents.base import BlobReference, DerivedDocument, Document, PotentialIdentity
from sse_screen.documents.potential_gates import GateResult, PotentialGatesOutput
from sse_screen.documents.self_consistent import LoopPotential, LoopVerdict
from sse_screen.documents.training import (
    EpochRecord,
    MaceProtocol,
    ParityPoints,
    SetMetrics,
    SplitProtocol,
    TrainingOutput,
    TrainingProtocol,
)
from sse_screen.exceptions import InputError
from sse_screen.training.linear import LinearProtocol

ALIAS_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
GateVerdict = Literal["passed", "failed", "not_checked", "published"]


class PotentialRegistration(Document):
    """A potential that was not trained here: from a package, or brought as a file."""

    kind: Literal["potential_registration"] = "potential_registration"
    calculation_key: str = Field(description="Hash of the weights")
    name: str = Field(description="Its name")
    method: Literal["bundled", "file"] = Field(description="Where it is from")
    weights: BlobReference
    potential: PotentialIdentity
    elements: list[str] = Field(description="Elements it was trained on, alphabetical")
    level_of_theory: str = Field(description="Of its training labels")


class PotentialAlias(Document):
    """A name that a user gave a potential; the latest one of a name counts."""

    kind: Literal["potential_alias"] = "potential_alias"
    calculation_key: str = Field(description="Hash of the alias")
    alias: str = Field(description="The name", pattern=ALIAS_PATTERN)
    weights: BlobReference = Field(description="The potential's weights")
    set_at: datetime = Field(description="When (UTC)")


class PotentialDoc(DerivedDocument):
    """A potential: its weights, what it came from, how good it is, and whether it passed the gates."""

    collection: ClassVar[str] = "potential"
    meaning_version: ClassVar[str] = "2"
    group_fields: ClassVar[tuple[str, ...]] = ("weights_sha256",)

    weights_sha256: str = Field(description="sha256 of the weights, its identity")
    name: str = Field(description="Name given when it was trained or registered")
    aliases: list[str] = Field(description="Names given to it later, alphabetical")
    method: str = Field(description="bundled, file, fine-tuning, self-consistent loop …")
    weights: BlobReference = Field(description="The file of weights in the blob store")
    potential: PotentialIdentity = Field(description="Who it is, as documents that it makes say")
    parent: PotentialIdentity | None = Field(description="What its training began with; null: nothing")
    elements: list[str] = Field(description="Elements covered, alphabetical")
    chemical_system: str = Field(description="Elements covered, joined by -")
    level_of_theory: str = Field(description="Of its training labels")
    level_of_theory_id: str | None = Field(None, description="Hash of the level of theory; null if brought")
    dataset_sha256: str | None = Field(None, description="Hash of its labels and their uses")
    n_training: int | None = Field(
        None, description="Structures learnt from", json_schema_extra={"unit": "1"}
    )
    n_validation: int | None = Field(
        None, description="Structures that chose the epoch", json_schema_extra={"unit": "1"}
    )
    n_test: int | None = Field(
        None, description="Structures never looked at before the end", json_schema_extra={"unit": "1"}
    )
    formulas: list[str] = Field(default_factory=list, description="Reduced formulas learnt from")
    protocol: TrainingProtocol | MaceProtocol | LinearProtocol | None = Field(
        None, description="How it was trained"
    )
    replay: BlobReference | None = Field(
        None,
        description="Packed structures that a second head replayed; null: none, or the library's",
    )
    loop_id: str | None = Field(None, description="The self-consistent loop that made it; null: none did")
    loop_verdict: LoopVerdict | None = Field(None, description="How that loop ended")
    split: SplitProtocol | None = Field(None, description="How the labels were divided")
    seed: int | None = Field(None, description="Seed of the training")
    best_epoch: int | None = Field(
        None, description="Epoch whose weights these are", json_schema_extra={"unit": "epoch"}
    )
    history: list[EpochRecord] = Field(default_factory=list, description="One record an epoch")
    training: SetMetrics | None = Field(None, description="Errors on the structures learnt from")
    validation: SetMetrics | None = Field(None, description="Errors on the structures that chose the epoch")
    test: SetMetrics | None = Field(
        None, description="Errors on configurations never looked at before the end"
    )
    unseen_composition: SetMetrics | None = Field(
        None, description="Errors on compositions not trained on; null: none were labelled"
    )
    parent_test: SetMetrics | None = Field(
        None, description="The parent's errors on the test set, energies of the elements refitted"
    )
    parity: ParityPoints | None = Field(None, description="Labels and predictions on the test set")
    gate_verdict: GateVerdict = Field(
        description="Whether it may be used in production; published: it comes with a package"
    )
    gates: list[GateResult] = Field(default_factory=list, description="The latest run of the gates")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that made it")
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")

    @property
    def names(self) -> list[str]:
        """All names it can be asked for by."""
        return [self.name, *self.aliases]

    @classmethod
    def from_sources(
        cls,
        made: TrainingOutput | PotentialRegistration | LoopPotential,
        gates: Sequence[PotentialGatesOutput] = (),
        aliases: Sequence[PotentialAlias] = (),
    ) -> Self:
        """Make the document of one potential.

        Parameters
        ----------
        made : TrainingOutput, PotentialRegistration or LoopPotential
            Where it is from.
        gates : sequence of PotentialGatesOutput
            Runs of the gates; the latest counts.
        aliases : sequence of PotentialAlias
            Names given to it.

        Returns
        -------
        PotentialDoc
            The document, without build metadata.
        """
        latest = max(gates, key=lambda run: run.checked_at, default=None)
        verdict: GateVerdict = "published" if made.method == "bundled" else "not_checked"
        if latest is not None:
            verdict = "passed" if latest.passed else "failed"
        shared = {
            "id": cls.id_of({"weights_sha256": made.weights.sha256}),
            "weights_sha256": made.weights.sha256,
            "aliases": sorted(alias.alias for alias in aliases),
            "chemical_system": "-".join(made.elements),
            "gate_verdict": verdict,
            "gates": [] if latest is None else latest.results,
        }
        names = ("name", "method", "weights", "potential", "elements", "level_of_theory")
        copied = {name: getattr(made, name) for name in names}
        if isinstance(made, PotentialRegistration):
            return cls(**shared, **copied, parent=None)
        own = set(cls.model_fields) - set(DerivedDocument.model_fields) - copied.keys() - shared.keys()
        of_training = own & set(type(made).model_fields)
        return cls(**shared, **copied, **{name: getattr(made, name) for name in of_training})


def check_alias(alias: str, reserved: Sequence[str]) -> None:
    """Refuse an alias that could be taken for something else.

    Parameters
    ----------
    alias : str
        The name wanted.
    reserved : sequence of str
        Names that mean something already.

    Raises
    ------
    InputError
        Saying what a name may look like.
    """
    import re

    if not re.match(ALIAS_PATTERN, alias):
        raise InputError(
            f"alias {alias!r}: use up to 64 lower-case letters, digits, points, dashes and underscores"
        )
    if alias in reserved:
        raise InputError(f"alias {alias!r}: is the name of a potential that comes with the platform")
    if re.fullmatch("[0-9a-f]{8,}", alias):
        raise InputError(f"alias {alias!r}: could be the beginning of a hash; use a name with other letters")
