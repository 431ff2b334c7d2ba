"""Every index the platform needs, declared here, created and verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from sse_screen.database.served import ServedCollection, served_collections
from sse_screen.database.stores import BLOBS, OUTPUTS
from sse_screen.exceptions import InfrastructureError

if TYPE_CHECKING:
    from pymongo.database import Database

PREFIX = "sse_"
#: flags that hardly a document has: a full index on them would only add a hopeless plan to every query
RARE_FLAGS = ("deprecated", "stale")


@dataclass(frozen=True)
class Index:
    """One declared index.

    Attributes
    ----------
    keys : tuple of (str, int)
        Paths and directions, in order.
    unique : bool
        Whether two documents may not have the same keys.
    only : tuple of str
        Paths that a wildcard index covers; empty for an ordinary one.
    where_true : str or None
        Flag that documents in a partial index have set.
    """

    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    only: tuple[str, ...] = ()
    where_true: str | None = None

    @property
    def name(self) -> str:
        """MongoDB's default name; with a hash of what it covers for a wildcard index."""
        if self.where_true:
            return f"{PREFIX}where_{self.where_true}"
        if not self.only:
            return "_".join(f"{path}_{direction}" for path, direction in self.keys)
        return (
            f"{PREFIX}wildcard_{hashlib.sha256(json.dumps([self.keys, self.only]).encode()).hexdigest()[:12]}"
        )

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of an index model."""
        options: dict[str, Any] = {"name": self.name, "unique": self.unique}
        if self.only:
            options["wildcardProjection"] = dict.fromkeys(self.only, 1)
        if self.where_true:
            options["partialFilterExpression"] = {self.where_true: True}
        return options


def _index(*paths: str, unique: bool = False) -> Index:
    return Index(tuple((path, 1) for path in paths), unique)


RAW_INDEXES: dict[str, tuple[Index, ...]] = {
    OUTPUTS: (
        _index("uuid", "index", unique=True),
        _index("output.kind", "output.material_id"),
        _index("output.calculation_key"),
        _index("output.labels.geometry_sha256"),
        _index("output.history_key"),
        _index("output.formula"),
        _index("output.chemical_system"),
        _index("completed_at"),
    ),
    f"{BLOBS}.files": (_index("metadata.blob_uuid"), _index("metadata.job_uuid")),
}


def derived_indexes(collection: ServedCollection) -> tuple[Index, ...]:
    """Declare the indexes of a derived collection from its document class.

    Parameters
    ----------
    collection : ServedCollection
        The collection.

    Returns
    -------
    tuple of Index
        A unique one on ``id``; one a sort key, with ``id`` for the cursor; one a list at the top; small
        ones on rare flags; one wildcard index for all other filters.
    """
    indexes = [_index("id", unique=True)]
    rest = []
    for field in collection.fields.values():
        if field.path == "id" or not field.filterable:
            continue
        if field.path in RARE_FLAGS:
            indexes.append(Index(((field.path, 1), ("id", 1)), where_true=field.path))
            continue
        if field.sortable:
            indexes.append(_index(field.path, "id"))
        elif field.kind == "text list" and "." not in field.path:
            indexes.append(_index(field.path))
        elif field.kind != "potential":
            rest.append(field.path)
    if rest:
        indexes.append(Index((("$**", 1),), only=tuple(sorted(rest))))
    return tuple(dict.fromkeys(indexes))


def declared_indexes() -> dict[str, tuple[Index, ...]]:
    """Give all declared indexes.

    Returns
    -------
    dict
        Indexes by collection.
    """
    declared = dict(RAW_INDEXES)
    for name, collection in served_collections().items():
        declared[name] = derived_indexes(collection)
        declared[f"{name}_failures"] = (_index("id", unique=True),)
    return declared


def ensure_indexes(
    database: Database[dict[str, Any]], declared: dict[str, tuple[Index, ...]] | None = None
) -> list[str]:
    """Create missing indexes, drop outdated ones of special kinds; may run in several processes at once.

    Parameters
    ----------
    database : pymongo.database.Database
        Where the collections are.
    declared : dict, optional
        Indexes by collection; all declared ones by default.

    Returns
    -------
    list of str
        What was created, as ``collection.index``.

    Raises
    ------
    InfrastructureError
        When an index cannot be made, such as a unique one over duplicates.
    """
    created = []
    for name, indexes in (declared_indexes() if declared is None else declared).items():
        present = database[name].index_information()
        missing = [index for index in indexes if not _is_present(index, present)]
        for index in missing:
            if index.name in present:
                database[name].drop_index(index.name)
        _create(database, name, missing)
        created += [f"{name}.{index.name}" for index in missing]
        for outdated in {found for found in present if found.startswith(PREFIX)} - {i.name for i in indexes}:
            database[name].drop_index(outdated)
    return created


def _is_present(index: Index, present: Mapping[str, Any]) -> bool:
    found = present.get(index.name)
    return found is not None and (not index.unique or bool(found.get("unique")))


def _create(database: Database[dict[str, Any]], name: str, indexes: list[Index]) -> None:
    """Create indexes with one request; when that fails, one by one, to tell which cannot be made."""
    models = [IndexModel(list(index.keys), **index.options) for index in indexes]
    try:
        if models:
            database[name].create_indexes(models)
    except OperationFailure:
        for index, model in zip(indexes, models, strict=True):
            _create_one(database, name, index, model)


def _create_one(database: Database[dict[str, Any]], name: str, index: Index, model: IndexModel) -> None:
    try:
        database[name].create_indexes([model])
    except DuplicateKeyError as error:
        raise InfrastructureError(
            f"collection {name}: two documents have the same {(error.details or {}).get('keyValue')}, so the "
            f"unique index {index.name} cannot be made; remove one of them"
        ) from None
    except OperationFailure as error:
        raise InfrastructureError(f"collection {name}: index {index.name} cannot be made: {error}") from None


def verify_indexes(
    database: Database[dict[str, Any]], declared: dict[str, tuple[Index, ...]] | None = None
) -> list[str]:
    """List declared indexes that are missing.

    Parameters
    ----------
    database : pymongo.database.Database
        Where the collections are.
    declared : dict, optional
        Indexes by collection; all declared ones by default.

    Returns
    -------
    list of str
        Missing ones, as ``collection.index``; empty when all is well.
    """
    missing = []
    for name, indexes in (declared_indexes() if declared is None else declared).items():
        present = database[name].index_information()
        missing += [f"{name}.{index.name}" for index in indexes if not _is_present(index, present)]
    return missing
