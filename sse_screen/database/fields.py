"""What of a stored document can be filtered, sorted and selected, read from its pydantic class."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sse_screen.documents.base import DerivedDocument, PotentialIdentity, Quantity

Kind = Literal["text", "choice", "integer", "number", "flag", "date", "text list", "potential", "other"]

RANGED: tuple[Kind, ...] = ("integer", "number", "date")
_SCALARS: dict[Any, Kind] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "flag",
    datetime: "date",
}
_BUILD_FIELDS = set(DerivedDocument.model_fields) - {"id", "built_at"}


@dataclass(frozen=True)
class DocumentField:
    """One field of a stored document.

    Attributes
    ----------
    name : str
        Name in queries; nested fields are joined by dots.
    path : str
        Path of the value in the stored document; for a quantity, its ``.value``.
    whole : str
        Path of what is returned when it is selected; for a quantity, all of it.
    kind : str
        What values it takes; ``other`` is what can be selected only.
    unit : str or None
        Unit of its numbers, where it has one.
    description : str
        What it is.
    choices : tuple of str
        All values of a ``choice``.
    array : str or None
        Path of the list of sub-documents that it is in, None outside of lists.
    unit_path : str or None
        Path of the unit that goes with a part of a quantity.
    sortable : bool
        Whether results can be sorted by it (it has an index of its own).
    """

    name: str
    path: str
    whole: str
    kind: Kind
    unit: str | None = None
    description: str = ""
    choices: tuple[str, ...] = ()
    array: str | None = None
    unit_path: str | None = None
    sortable: bool = False

    @property
    def filterable(self) -> bool:
        """Whether results can be filtered by it."""
        return self.kind != "other"

    @property
    def ranged(self) -> bool:
        """Whether ``<name>_min`` and ``<name>_max`` are understood."""
        return self.kind in RANGED


def document_fields(document: type[DerivedDocument]) -> dict[str, DocumentField]:
    """List the fields of a document class by their name in queries.

    Parameters
    ----------
    document : type
        Class of the documents.

    Returns
    -------
    dict
        Fields by name, in the order of the class. Scalars at any depth can be filtered, also in lists of
        sub-documents; scalars at the top, and values of quantities there, can be sorted by. ``formula``
        stands for a list ``formulas`` where the class has no ``formula``; ``potential`` for its name or hash.
    """
    fields = {field.name: field for field in _walk(document, "", None)}
    if "formula" not in fields and "formulas" in fields:
        fields["formula"] = replace(fields["formulas"], name="formula")
    return fields


def _walk(model: type[BaseModel], prefix: str, array: str | None) -> Iterator[DocumentField]:
    for key, info in model.model_fields.items():
        path = f"{prefix}{key}"
        annotation = _without_none(info.annotation)
        top = not prefix and key not in _BUILD_FIELDS
        if _is_model(annotation):
            yield _nested_head(annotation, path, info, array, top)
            for field in _walk(annotation, f"{path}.", array):
                if annotation is not Quantity:
                    yield field
                elif field.path != f"{path}.value":
                    yield replace(field, unit_path=f"{path}.unit" if field.ranged else None)
        elif get_origin(annotation) is list and _is_model(get_args(annotation)[0]):
            yield _field(path, "other", info, array)
            if array is None:
                yield from _walk(get_args(annotation)[0], f"{path}.", path)
        else:
            kind, choices = _kind(annotation)
            sortable = top and kind in ("text", "choice", "integer", "number", "date")
            yield replace(_field(path, kind, info, array), choices=choices, sortable=sortable)


def _nested_head(
    annotation: type[BaseModel], path: str, info: FieldInfo, array: str | None, top: bool
) -> DocumentField:
    if annotation is Quantity:
        head = _field(path, "number", info, array)
        return replace(head, path=f"{path}.value", sortable=top and array is None)
    return _field(path, "potential" if annotation is PotentialIdentity else "other", info, array)


def _field(path: str, kind: Kind, info: FieldInfo, array: str | None) -> DocumentField:
    extra = info.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return DocumentField(
        path, path, path, kind, unit if isinstance(unit, str) else None, info.description or "", array=array
    )


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else Any
    return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) is list and get_args(annotation)[0] is str:
        return "text list", ()
    return _SCALARS.get(annotation, "other"), ()


def units(fields: dict[str, DocumentField]) -> dict[str, str]:
    """List the units of a document's numbers.

    Parameters
    ----------
    fields : dict
        From :func:`document_fields`.

    Returns
    -------
    dict
        Unit by field name; a quantity carries its own unit besides.
    """
    return {name: field.unit for name, field in fields.items() if field.unit is not None}
