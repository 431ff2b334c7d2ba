"""What every stored document shares: identities, references, quantities with intervals, build metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sse_screen.exceptions import InputError

Verdict = Literal["ok", "diffusive", "upper_limit", "unresolved", "refused"]


def content_hash(content: Any) -> str:
    """Hash JSON-like content in a canonical form.

    Parameters
    ----------
    content : Any
        Nested dicts, lists, strings, numbers, booleans, None; floats are hashed by their shortest repr.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Document(BaseModel):
    """Base of all stored models: unknown fields are refused; jobflow carries them through job stores."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    @model_validator(mode="before")
    @classmethod
    def _without_class_marks(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if not str(key).startswith("@")}
        return values

    def as_dict(self) -> dict[str, Any]:
        """Serialise as monty does, so that a Maker may hold it.

        Returns
        -------
        dict
            JSON-like content with the names of module and class.
        """
        names = {"@module": type(self).__module__, "@class": type(self).__name__}
        return names | self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Undo :meth:`as_dict`.

        Parameters
        ----------
        content : dict
            With or without the names of module and class.

        Returns
        -------
        Document
            The model.
        """
        return cls.model_validate(content)


class Specification(Document):
    """Base of what people ask for: numbers that are not finite are refused."""

    model_config = ConfigDict(allow_inf_nan=False)


class BlobReference(Document):
    """A large array in the blob store, named by what it contains."""

    sha256: str = Field(description="sha256 of the stored bytes, and the blob's id", pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(description="Size of the stored bytes", ge=0, json_schema_extra={"unit": "byte"})
    content_type: str = Field("application/octet-stream", description="What the bytes are")


class PotentialIdentity(Document):
    """Which potential made a number; two potentials are the same only if their hashes are."""

    name: str = Field(description="Name or alias by which it was asked for")
    code: str = Field(description="Code that evaluates it, such as chgnet")
    code_version: str = Field(description="Version of that code")
    model_version: str | None = Field(None, description="Version of the model, where it has one")
    weights_sha256: str = Field(description="sha256 of the weights or parameters", pattern="^[0-9a-f]{64}$")
    level_of_theory: str | None = Field(None, description="What it was trained on, such as PBE+U")
    elements: list[str] | None = Field(
        None, description="Elements it was trained on, alphabetical; null where the code itself tells"
    )
    warnings: list[str] = Field(
        default_factory=list, description="What to know before using it, such as numbers without a source"
    )


class Quantity(Document):
    """A number with its interval, unit and verdict; an upper limit has no value, only an upper end."""

    value: float | None = Field(
        None, description="Best estimate; null when there is none, and always for an upper limit"
    )
    lower: float | None = Field(None, description="Lower end of the interval; null when unbounded")
    upper: float | None = Field(None, description="Upper end of the interval; null when unbounded")
    unit: str = Field(description="Unit of value, lower and upper")
    confidence: float = Field(0.95, description="Probability that the interval is to hold the truth")
    verdict: Verdict = Field("ok", description="What the number may be taken for")
    reasons: list[str] = Field(default_factory=list, description="Why the verdict is not ok, or warnings")

    @model_validator(mode="before")
    @classmethod
    def _no_value_of_an_upper_limit(cls, values: Any) -> Any:
        # A search for a range of values must not find what is only known to be smaller.
        if isinstance(values, dict) and values.get("verdict") == "upper_limit":
            return values | {"value": None}
        return values

    def unresolved(self, *reasons: str) -> Self:
        """Take the value away, so that nobody quotes it, and leave the interval.

        Parameters
        ----------
        *reasons : str
            Why, added to those that are there.

        Returns
        -------
        Quantity
            With verdict unresolved.
        """
        update = {"value": None, "verdict": "unresolved", "reasons": [*self.reasons, *reasons]}
        return self.model_copy(update=update)


class InputReference(Document):
    """One input of a derived document."""

    collection: str = Field(description="Where it is stored, such as outputs")
    id: str = Field(description="Its id there (job uuid for outputs)")
    content_sha256: str = Field(description="Hash of the part of it that was used")


class DerivedDocument(Document):
    """Base of derived documents: grouped, fingerprinted, rebuilt when an input or the builder changes.

    ``meaning_version`` is raised whenever the code that computes the fields changes what they mean.
    """

    collection: ClassVar[str]
    meaning_version: ClassVar[str] = "1"
    group_fields: ClassVar[tuple[str, ...]] = ()

    id: str = Field(description="Hash of the fields that the document groups by")
    inputs: list[InputReference] = Field(default_factory=list, description="All that it came from")
    inputs_fingerprint: str = Field("", description="Hash of the inputs' ids and contents")
    builder: str = Field("", description="Builder that made it")
    builder_version: str = Field("", description="Version of the builder's meaning")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters of the builder")
    built_at: datetime = Field(
        default_factory=lambda: datetime.now(UTC), description="When it was built (UTC)"
    )
    stale: bool = Field(False, description="True when a rebuild failed and this is the last good one")
    stale_reason: str | None = Field(None, description="Why it is stale")
    deprecated: bool = Field(False, description="True when its inputs are gone")
    deprecated_reason: str | None = Field(None, description="Why it is deprecated")

    @classmethod
    def id_of(cls, group: dict[str, Any]) -> str:
        """Give the deterministic id of a group.

        Parameters
        ----------
        group : dict
            Values of ``group_fields``.

        Returns
        -------
        str
            First 24 hexadecimal digits of the group's hash.
        """
        return content_hash({"collection": cls.collection, **{k: group[k] for k in cls.group_fields}})[:24]

    def with_build(self, **build: Any) -> Self:
        """Copy the document with build metadata set.

        Parameters
        ----------
        **build : Any
            Fields of this class to set.

        Returns
        -------
        DerivedDocument
            The copy.
        """
        return self.model_copy(update=build)


def common_fields(documents: Sequence[DerivedDocument], names: Sequence[str]) -> dict[str, Any]:
    """Give the values of some fields that all documents of a fit share.

    Parameters
    ----------
    documents : sequence of DerivedDocument
        Documents of one collection.
    names : sequence of str
        Fields.

    Returns
    -------
    dict
        Value by field.

    Raises
    ------
    InputError
        When there is no document, or two differ in one of the fields.
    """
    if not documents:
        raise InputError("a fit over temperatures needs documents; there are none")
    shared = {name: getattr(documents[0], name) for name in names}
    for found in documents[1:]:
        for name, value in shared.items():
            if (other := getattr(found, name)) != value:
                raise InputError(
                    f"{found.collection} documents of one fit differ in {name}: {value}, {other}"
                )
    return shared
