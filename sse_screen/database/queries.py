"""From plain query parameters to a MongoDB query: the one compiler of the API and the command line.

Parameters are ``field=value`` (several times for "any of", a list field wants all of them), ``field_min`` and
``field_max`` for numbers and dates, and ``sort``, ``limit``, ``cursor`` and ``fields``. Conditions on
sub-documents of one list must be met by one and the same of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

from sse_screen.database.errors import QueryError
from sse_screen.database.fields import DocumentField
from sse_screen.database.served import ServedCollection
from sse_screen.documents.base import content_hash

if TYPE_CHECKING:
    from pymongo.cursor import Cursor
    from pymongo.database import Database

CONTROL = ("sort", "limit", "cursor", "fields")
DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_TIME_MS = 10_000
_NO_SUCH_INDEX = 2
_HASH = re.compile(r"^[0-9a-f]{8,64}$")


@dataclass(frozen=True)
class Query:
    """A checked query.

    Attributes
    ----------
    collection : ServedCollection
        What is searched.
    conditions : dict
        MongoDB filter, without the cursor's part.
    sort : DocumentField
        Field that orders the results; ties are ordered by id.
    descending : bool
        Whether the order is downwards.
    limit : int
        Most documents of a page; 0 for all.
    fields : tuple of DocumentField
        What to return; empty for everything.
    after : tuple or None
        Sort value and id of the last document of the page before.
    """

    collection: ServedCollection
    conditions: dict[str, Any]
    sort: DocumentField
    descending: bool = False
    limit: int = DEFAULT_LIMIT
    fields: tuple[DocumentField, ...] = ()
    after: tuple[Any, str] | None = None

    @property
    def sort_name(self) -> str:
        """Sort key as it is written in a query."""
        return ("-" if self.descending else "") + self.sort.name

    @property
    def fingerprint(self) -> str:
        """Hash of what a cursor belongs to: collection, conditions and order."""
        return content_hash([self.collection.name, self.conditions, self.sort_name])[:16]


@dataclass(frozen=True)
class Page:
    """One page of results.

    Attributes
    ----------
    documents : list of dict
        The documents.
    next_cursor : str or None
        What to pass as ``cursor`` for the next page; None on the last one.
    """

    documents: list[dict[str, Any]] = field(default_factory=list)
    next_cursor: str | None = None


def compile_query(
    collection: ServedCollection, parameters: Iterable[tuple[str, str]], *, max_limit: int | None = MAX_LIMIT
) -> Query:
    """Check parameters and turn them into a query.

    Parameters
    ----------
    collection : ServedCollection
        What is searched.
    parameters : iterable of (name, value)
        As written by the user; a name may come several times.
    max_limit : int, optional
        Greatest limit that is accepted; None accepts any, and 0 for all.

    Returns
    -------
    Query
        The query. Deprecated documents are left out unless ``deprecated`` is asked for.

    Raises
    ------
    QueryError
        For an unknown parameter, field or sort key, or an unfit value; the message names the allowed ones.
    """
    control: dict[str, str] = {}
    filters: dict[str, list[str]] = {}
    for name, value in parameters:
        if name not in CONTROL:
            filters.setdefault(name, []).append(value)
        elif name in control:
            raise QueryError(f"{name}: given twice", name)
        else:
            control[name] = value
    sort, descending = _sort(collection, control.get("sort", "id"))
    query = Query(
        collection,
        _conditions(collection, filters),
        sort,
        descending,
        _limit(control.get("limit"), max_limit),
        select_fields(collection, control.get("fields")),
    )
    if "cursor" in control:
        query = replace(query, after=_decode_cursor(control["cursor"], query))
    return query


def parameter_names(collection: ServedCollection) -> list[str]:
    """List all parameters that a collection understands.

    Parameters
    ----------
    collection : ServedCollection
        What is searched.

    Returns
    -------
    list of str
        Names, filters first.
    """
    names = []
    for name, found in collection.fields.items():
        if found.filterable:
            names.append(name)
            names += [f"{name}_min", f"{name}_max"] if found.ranged else []
    return [*names, *CONTROL]


def select_fields(collection: ServedCollection, value: str | None) -> tuple[DocumentField, ...]:
    """Check a selection of fields.

    Parameters
    ----------
    collection : ServedCollection
        What is searched.
    value : str or None
        Names joined by commas.

    Returns
    -------
    tuple of DocumentField
        The fields; empty for everything.

    Raises
    ------
    QueryError
        For an unknown field.
    """
    if value is None:
        return ()
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise QueryError("fields: name at least one field", "fields")
    for name in names:
        if name not in collection.fields:
            allowed = list(collection.fields)
            raise QueryError(
                f"fields: unknown field {name!r}; allowed: {', '.join(allowed)}", "fields", allowed
            )
    found = {collection.fields[name].whole: collection.fields[name] for name in names}
    # MongoDB refuses a projection that names a field and another one within it
    return tuple(kept for path, kept in found.items() if not _within(path, found.keys() - {path}))


def projection(fields: Iterable[DocumentField]) -> dict[str, int]:
    """Give the MongoDB projection of a selection; the id and the unit of each quantity are always in it.

    Parameters
    ----------
    fields : iterable of DocumentField
        Selected fields; empty for everything.

    Returns
    -------
    dict
        Projection without MongoDB's own ``_id``.
    """
    paths = dict.fromkeys(path for found in fields for path in (found.whole, found.unit_path) if path)
    return {"_id": 0, **({"id": 1, **dict.fromkeys(paths, 1)} if paths else {})}


def find(
    database: Database[dict[str, Any]], query: Query, index: str | None = None
) -> Cursor[dict[str, Any]]:
    """Make the MongoDB cursor of a query, one document longer than its page.

    Parameters
    ----------
    database : pymongo.database.Database
        Where to look.
    query : Query
        What to look for.
    index : str, optional
        Index to walk; MongoDB chooses one otherwise.

    Returns
    -------
    pymongo.cursor.Cursor
        Not yet run; ``explain()`` tells its plan.
    """
    direction = -1 if query.descending else 1
    chosen = projection(query.fields)
    if query.fields and not _within(query.sort.path, chosen):
        chosen[query.sort.path] = 1
    order = [(query.sort.path, direction)]
    if query.sort.path != "id":
        order.append(("id", direction))
    conditions = query.conditions
    if query.after is not None:
        conditions = {"$and": [conditions, _after(query, *query.after)]}
    cursor = database[query.collection.name].find(conditions, chosen, hint=index).sort(order)
    cursor = cursor.max_time_ms(MAX_TIME_MS)
    return cursor.limit(query.limit + 1) if query.limit else cursor


def run_query(database: Database[dict[str, Any]], query: Query, index: str | None = None) -> Page:
    """Run a query and give one page.

    Parameters
    ----------
    database : pymongo.database.Database
        Where to look.
    query : Query
        What to look for.
    index : str, optional
        Index to walk, if it is there.

    Returns
    -------
    Page
        The documents, and the cursor of the next page.
    """
    try:
        documents = list(find(database, query, index))
    except OperationFailure as error:
        if index is None or error.code != _NO_SUCH_INDEX:
            raise
        documents = list(find(database, query))
    if not query.limit or len(documents) <= query.limit:
        return Page([_selected(document, query) for document in documents])
    documents = documents[: query.limit]
    cursor = _encode_cursor(query, _value_at(documents[-1], query.sort.path), documents[-1]["id"])
    return Page([_selected(document, query) for document in documents], cursor)


def iterate(database: Database[dict[str, Any]], query: Query) -> Iterator[dict[str, Any]]:
    """Give all documents of a query one by one, never all in memory.

    Parameters
    ----------
    database : pymongo.database.Database
        Where to look.
    query : Query
        What to look for; its limit holds, 0 for all.

    Yields
    ------
    dict
        Documents.
    """
    for number, document in enumerate(find(database, query)):
        if query.limit and number >= query.limit:
            return
        yield _selected(document, query)


def _selected(document: dict[str, Any], query: Query) -> dict[str, Any]:
    """Take out the sort value again that only the cursor needed."""
    if query.fields and not _within(query.sort.path, projection(query.fields)):
        *parents, last = query.sort.path.split(".")
        holder = _value_at(document, ".".join(parents)) if parents else document
        if isinstance(holder, dict):
            holder.pop(last, None)
        if parents and holder == {}:
            document.pop(parents[0])
    return document


def _within(path: str, others: Iterable[str]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in others)


def _sort(collection: ServedCollection, value: str) -> tuple[DocumentField, bool]:
    name = value.removeprefix("-")
    found = collection.fields.get(name)
    if found is None or not found.sortable:
        allowed = [key for key, candidate in collection.fields.items() if candidate.sortable]
        text = f"allowed, with - in front for descending: {', '.join(allowed)}"
        raise QueryError(f"sort: cannot sort by {name!r}; {text}", "sort", allowed)
    return found, value.startswith("-")


def _limit(value: str | None, max_limit: int | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    least = 0 if max_limit is None else 1
    if not re.fullmatch(r"\d{1,9}", value) or int(value) < least or (max_limit and int(value) > max_limit):
        wanted = f"from 1 to {max_limit}" if max_limit else "≥ 0 (0 for all)"
        raise QueryError(f"limit: {value!r} is no whole number {wanted}", "limit")
    return int(value)


def _conditions(collection: ServedCollection, filters: dict[str, list[str]]) -> dict[str, Any]:
    plain: dict[str, dict[str, Any]] = {}
    arrays: dict[str, dict[str, dict[str, Any]]] = {}
    for name, values in filters.items():
        found, operator = _filter_field(collection, name)
        path, condition = _condition(name, found, operator, values)
        if found.array is None:
            target, key = plain, path
        else:
            target, key = arrays.setdefault(found.array, {}), path.removeprefix(f"{found.array}.")
        target.setdefault(key, {}).update(condition)
    if "deprecated" not in filters and "deprecated" in collection.fields:
        plain["deprecated"] = {"$eq": False}
    return {**plain, **{array: {"$elemMatch": conditions} for array, conditions in arrays.items()}}


def _filter_field(collection: ServedCollection, name: str) -> tuple[DocumentField, str]:
    found = collection.fields.get(name)
    if found is not None and found.filterable:
        return found, "$eq"
    for suffix, operator in (("_min", "$gte"), ("_max", "$lte")):
        found = collection.fields.get(name.removesuffix(suffix))
        if found is not None and name.endswith(suffix) and found.ranged:
            return found, operator
    allowed = parameter_names(collection)
    raise QueryError(f"unknown parameter {name!r}; allowed: {', '.join(allowed)}", name, allowed)


def _condition(
    name: str, found: DocumentField, operator: str, values: list[str]
) -> tuple[str, dict[str, Any]]:
    if found.kind == "text list" and name != "formula":
        wanted = [part.strip() for value in values for part in value.split(",") if part.strip()]
        if not wanted:
            raise QueryError(f"{name}: name at least one value", name)
        return found.path, {"$all": wanted}
    if found.kind == "potential":
        return _potential(name, found, values)
    if len(values) > 1 and (found.ranged or found.kind == "flag"):
        raise QueryError(f"{name}: given twice", name)
    if name.rsplit(".", 1)[-1] == "formula":
        wanted = sorted({form for value in values for form in _formulas(name, value)})
    else:
        wanted = [_parse(name, found, value) for value in values]
    return found.path, {operator: wanted[0]} if len(wanted) == 1 else {"$in": wanted}


def _potential(name: str, found: DocumentField, values: list[str]) -> tuple[str, dict[str, Any]]:
    """Match a potential by name, or by its hash or the first eight or more digits of it."""
    if len(values) > 1:
        raise QueryError(f"{name}: given twice", name)
    value = values[0].strip()
    if _HASH.match(value):
        return f"{found.path}.weights_sha256", {"$eq": value} if len(value) == 64 else {"$regex": f"^{value}"}
    return f"{found.path}.name", {"$eq": value}


def _formulas(name: str, value: str) -> list[str]:
    """Give the formula as written and reduced: documents hold reduced ones."""
    from pymatgen.core import Composition

    try:
        composition = Composition(value.strip())
        if not composition or not composition.valid:
            raise ValueError(value)
    except (ValueError, KeyError):
        raise QueryError(f"{name}: {value!r} is no chemical formula", name) from None
    return [value.strip(), composition.reduced_formula]


def _parse(name: str, found: DocumentField, value: str) -> Any:
    value = value.strip()
    if found.kind in ("integer", "number"):
        return _number(name, found, value)
    if found.kind == "date":
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            message = f"{name}: {value!r} is no date such as 2026-01-31T12:00:00Z"
            raise QueryError(message, name) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if found.kind == "flag":
        if value.lower() not in ("true", "false"):
            raise QueryError(f"{name}: {value!r} is refused; allowed: true, false", name, ("true", "false"))
        return value.lower() == "true"
    if found.kind == "choice" and value not in found.choices:
        message = f"{name}: {value!r} is refused; allowed: {', '.join(found.choices)}"
        raise QueryError(message, name, found.choices)
    if found.path.rsplit(".", 1)[-1] == "chemical_system":
        return "-".join(sorted(part.strip() for part in value.split("-")))
    return value


def _number(name: str, found: DocumentField, value: str) -> float | int:
    try:
        number = int(value) if found.kind == "integer" else float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) >= 2**63:
        kind = "whole number" if found.kind == "integer" else "number"
        raise QueryError(f"{name}: {value!r} is no {kind}", name)
    return number


def _value_at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _after(query: Query, value: Any, last_id: str) -> dict[str, Any]:
    """Give the condition for what comes after a document; MongoDB orders null before everything."""
    path, operator = query.sort.path, "$lt" if query.descending else "$gt"
    if path == "id":
        return {"id": {operator: last_id}}
    branches: list[dict[str, Any]] = [{path: value, "id": {operator: last_id}}]
    if value is not None:
        branches.append({path: {operator: value}})
        if query.descending:
            branches.append({path: None})
    elif not query.descending:
        branches.append({path: {"$ne": None}})
    return {"$or": branches}


def _encode_cursor(query: Query, value: Any, last_id: str) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    text = json.dumps([query.fingerprint, value, last_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, query: Query) -> tuple[Any, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        fingerprint, value, last_id = json.loads(text)
        if query.sort.kind == "date" and value is not None:
            value = datetime.fromisoformat(value)
        if not isinstance(last_id, str) or isinstance(value, dict | list):
            raise ValueError(cursor)
    except (binascii.Error, ValueError, TypeError):
        raise QueryError("cursor: is damaged; start again without it", "cursor") from None
    if fingerprint != query.fingerprint:
        message = "cursor: belongs to other filters or another sort; repeat those of the first page"
        raise QueryError(message, "cursor")
    return value, last_id
