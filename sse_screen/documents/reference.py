"""The reference of collections and fields, written from the document classes themselves."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sse_screen.documents.base import (
    BlobReference,
    DerivedDocument,
    InputReference,
    PotentialIdentity,
    Quantity,
)
from sse_screen.documents.dataset import DatasetOutput
from sse_screen.documents.extension import ExtensionDecisionOutput
from sse_screen.documents.label import Label, LabelBatchOutput
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.relaxation import ConfigurationBatchOutput, RelaxationOutput
from sse_screen.documents.snapshots import SnapshotsOutput
from sse_screen.documents.survey import SurveyDecisionOutput, SurveyOutput
from sse_screen.documents.vibration_batch import PhononBatchOutput, VibrationBatchOutput

OUTPUTS: tuple[type[BaseModel], ...] = (
    MolecularDynamicsOutput,
    RelaxationOutput,
    ConfigurationBatchOutput,
    VibrationBatchOutput,
    PhononBatchOutput,
    SurveyOutput,
    SurveyDecisionOutput,
    LabelBatchOutput,
    DatasetOutput,
    SnapshotsOutput,
    ExtensionDecisionOutput,
)
SHARED: tuple[type[BaseModel], ...] = (Quantity, PotentialIdentity, BlobReference, InputReference, Label)
_NAMES = {str: "text", int: "integer", float: "number", bool: "flag", datetime: "date", Any: "any"}
_HEAD = """# Collections and fields

Written by `sse-screen collections --write docs/collections.md` from the document classes; a test compares it.
Raw documents are what jobs leave in `outputs` (under `output`, by `output.kind`); derived ones are made of
them by [the builders](builders.md). Numbers that have an interval are a *quantity*: see its fields below.
Large arrays are in the blob store, named by the sha256 of their bytes.
"""


def collections_reference(documents: Sequence[type[DerivedDocument]]) -> str:
    """Write the reference as Markdown.

    Parameters
    ----------
    documents : sequence of type
        Classes of the derived documents.

    Returns
    -------
    str
        One section a collection, one a kind of output, one a nested model.
    """
    parts = [_HEAD, "## Derived collections\n"]
    parts += [_derived(document) for document in documents]
    parts += ["## Fields of every derived document\n", _table(DerivedDocument.model_fields)]
    parts += ["## Outputs of jobs\n"]
    parts += [_model(model, f"`output.kind`: {_kind(model)}") for model in OUTPUTS]
    parts += ["## Parts of documents\n"]
    nested = {model.__name__: model for model in SHARED}
    for top in (*documents, *OUTPUTS):
        nested |= {model.__name__: model for model in _nested(top)}
    parts += [_model(nested[name]) for name in sorted(nested)]
    return "\n".join(parts)


def _derived(document: type[DerivedDocument]) -> str:
    own = {
        name: info for name, info in document.model_fields.items() if name not in DerivedDocument.model_fields
    }
    grouped = ", ".join(f"`{name}`" for name in document.group_fields)
    title = (
        f"### {document.collection}\n\n{_summary(document)} Route `/{document.collection.replace('_', '-')}`."
    )
    return f"{title} One document for each {grouped}; version {document.meaning_version}.\n\n{_table(own)}"


def _model(model: type[BaseModel], note: str = "") -> str:
    note = f" {note}." if note else ""
    return f"### {_title(model.__name__)}\n\n{_summary(model)}{note}\n\n{_table(model.model_fields)}"


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = ["| field | type | unit | meaning |", "| --- | --- | --- | --- |"]
    for name, info in fields.items():
        extra = info.json_schema_extra
        unit = extra.get("unit", "") if isinstance(extra, dict) else ""
        meaning = (info.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {_type(info.annotation)} | {unit} | {meaning} |")
    return "\n".join(rows) + "\n"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if member is type(None) else _type(member) for member in arguments)
    if origin is Literal:
        return " / ".join(str(choice) for choice in arguments)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[1])} by {_type(arguments[0])}"
    if _is_model(annotation):
        title = _title(annotation.__name__)
        return f"[{title}](#{title.replace(' ', '-')})"
    return _NAMES.get(annotation, "any")


def _nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for info in model.model_fields.values():
        for found in _models_in(info.annotation):
            yield found
            yield from _nested(found)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if _is_model(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _title(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _kind(model: type[BaseModel]) -> str:
    return f"`{model.model_fields['kind'].default}`"
