"""Which index a query walks, told from a sample of the documents instead of from a race of all plans."""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sse_screen.database.indexes import RARE_FLAGS, derived_indexes
from sse_screen.database.queries import Query
from sse_screen.database.served import ServedCollection

if TYPE_CHECKING:
    from pymongo.database import Database

SAMPLE = 1000
#: fewer documents are walked in no time whatever the plan
SMALLEST_COLLECTION = 5000
#: documents of the sample that must match before a share is believed
FEWEST_MATCHES = 5
_LIFETIME_S = 600.0


class _Sample:
    """Some documents of a collection, and what a filter finds among them."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.documents = documents
        self.taken = time.monotonic()
        self._values: dict[str, list[list[Any]]] = {}

    def matching(self, path: str, condition: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Tell which documents meet a condition (n_documents,)."""
        if path not in self._values:
            self._values[path] = [_values(document, path.split(".")) for document in self.documents]
        found = np.ones(len(self.documents), dtype=bool)
        for name, operand in condition.items():
            test = _TESTS[name]
            found &= [any(test(value, operand) for value in values) for values in self._values[path]]
        return found


class IndexChoice:
    """Choose the index for queries of one collection.

    Left alone, MongoDB runs all plans side by side until one is through, which costs as much as all of them.
    A sample tells what share p of the N documents each filter leaves, and all of them together: a filter's
    own index takes p N steps, the sort key's limit / p of all together.

    Parameters
    ----------
    database : pymongo.database.Database
        Where the collection is.
    collection : ServedCollection
        The collection.
    """

    def __init__(self, database: Database[dict[str, Any]], collection: ServedCollection) -> None:
        self._documents = database[collection.name]
        self._indexes = _indexes_by_path(collection)
        self._sample = _Sample([])

    def best(self, query: Query) -> str | None:
        """Name the index that leads to the first page of a query with the fewest steps.

        Parameters
        ----------
        query : Query
            The query.

        Returns
        -------
        str or None
            None where MongoDB had better try: small collections, further pages, and queries that no
            index serves well or that the sample knows too little of.
        """
        n_documents = self._documents.estimated_document_count()
        if not query.limit or query.after is not None or n_documents < SMALLEST_COLLECTION:
            return None
        sample = self._fresh_sample()
        n_sampled = len(sample.documents)
        together = np.ones(n_sampled, dtype=bool)
        steps: dict[str, float] = {}
        for path, condition in _parts(query.conditions):
            found = sample.matching(path, condition)
            together &= found
            if path in self._indexes:
                n_found = max(found.sum(), 1) / n_sampled * n_documents
                index = self._indexes[path]
                steps[index] = min(steps.get(index, n_found), n_found)
        if together.sum() >= FEWEST_MATCHES:
            in_order = (query.limit + 1) * n_sampled / together.sum()
            index = self._indexes[query.sort.path]
            steps[index] = min(steps.get(index, in_order), in_order)
        best = min(steps, key=steps.__getitem__, default=None)
        return best if best is not None and steps[best] <= _most_steps(query, n_documents) else None

    def _fresh_sample(self) -> _Sample:
        sample = self._sample
        if not sample.documents or time.monotonic() - sample.taken >= _LIFETIME_S:
            chosen = {"_id": 0} | dict.fromkeys(self._indexes, 1)
            stages = [{"$sample": {"size": SAMPLE}}, {"$project": chosen}]
            sample = self._sample = _Sample(list(self._documents.aggregate(stages)))
        return sample


def _most_steps(query: Query, n_documents: int) -> float:
    """Steps above which no index is any good: those of a sort key's under the fewest matches believed."""
    return max((query.limit + 1) * SAMPLE / FEWEST_MATCHES, n_documents / 10)


def _indexes_by_path(collection: ServedCollection) -> dict[str, str]:
    found: dict[str, str] = {}
    for index in derived_indexes(collection):
        if index.where_true is None:
            found |= dict.fromkeys(index.only or [index.keys[0][0]], index.name)
    return found


def _parts(conditions: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Take a filter apart into what one index can look up each."""
    for name, condition in conditions.items():
        path = within + name
        if "$elemMatch" in condition:
            yield from _parts(condition["$elemMatch"], f"{path}.")
        elif "$all" in condition:
            yield from ((path, {"$eq": value}) for value in condition["$all"])
        elif path not in RARE_FLAGS:
            yield path, condition


def _values(value: Any, path: list[str]) -> list[Any]:
    """Collect what a path leads to: the members of lists, nothing where there is nothing."""
    if isinstance(value, list):
        return [found for member in value for found in _values(member, path)]
    if not path:
        return [] if value is None else [value]
    return _values(value.get(path[0]), path[1:]) if isinstance(value, dict) else []


#: operators that the query compiler writes, on one value that is there
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$in": lambda value, operand: value in operand,
    "$gte": operator.ge,
    "$lte": operator.le,
    "$regex": lambda value, operand: re.match(operand, value) is not None,
}
