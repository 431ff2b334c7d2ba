"""Results of single configurations, each stored once by what it is, whichever batch asked for it.

A batch is only how configurations travel. Its results are written to a journal in the calculation's folder
first, then to one collection under a content id, so that another batch of other size or with other members
takes over what is there, and a killed one goes on in its middle.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zstandard
from pymongo import UpdateOne
from pymongo.database import Database
from pymongo.errors import PyMongoError

from sse_screen.documents.base import PotentialIdentity, content_hash

CONFIGURATION_RESULTS = "configuration_results"
_log = logging.getLogger(__name__)
_AT_ONCE = 1000
Json = dict[str, Any]


def result_key(kind: str, potential: PotentialIdentity, **content: Any) -> str:
    """Give the content id of one configuration's result.

    Parameters
    ----------
    kind : str
        What was done.
    potential : PotentialIdentity
        Only the code and the hash of the weights count.
    **content : Any
        All else that fixes the result, JSON-like.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    return content_hash({"kind": kind, "potential": [potential.code, potential.weights_sha256], **content})


class ConfigurationResults:
    """The results of one batch, in a journal and in the database.

    Parameters
    ----------
    journal : Path
        File in the calculation's folder; a line cut by a kill is computed again.
    database : pymongo Database
        Holds ``configuration_results``.
    keys : mapping of str to str
        Name of each result in the batch to its content id; two names may share one id.

    Attributes
    ----------
    reused : frozenset of str
        Content ids that another batch had computed.
    """

    def __init__(self, journal: Path, database: Database[Json], keys: Mapping[str, str]) -> None:
        self.keys = dict(keys)
        self._collection = database[CONFIGURATION_RESULTS]
        self._by_key = _read_journal(journal)
        in_journal = set(self._by_key)
        wanted = set(self.keys.values())
        stored = dict(self._stored(wanted - in_journal))
        self._by_key |= stored
        self.reused = frozenset(stored)
        self._upload({key: self._by_key[key] for key in in_journal & wanted})
        self._handle = journal.open("a")
        self._handle.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def missing(self) -> list[str]:
        """Names without a result, the first of those that share one id.

        Returns
        -------
        list of str
            In the order of ``keys``.
        """
        first = {key: name for name, key in reversed(self.keys.items())}
        return [name for name, key in self.keys.items() if key not in self._by_key and first[key] == name]

    def add(self, name: str, result: Json) -> None:
        """Keep a result: in the journal at once, in the database as soon as that answers.

        Parameters
        ----------
        name : str
            One of the names.
        result : dict
            JSON-like.
        """
        key = self.keys[name]
        self._by_key[key] = result
        self._handle.write(json.dumps({"key": key, "result": result}) + "\n")
        self._handle.flush()
        self._upload({key: result})

    def __getitem__(self, name: str) -> Json:
        return self._by_key[self.keys[name]]

    def __len__(self) -> int:
        return sum(key in self._by_key for key in self.keys.values())

    def computed(self) -> list[Json]:
        """Give each result that this batch computed itself, once.

        Returns
        -------
        list of dict
            Their times add up to what the batch cost.
        """
        own = dict.fromkeys(key for key in self.keys.values() if key not in self.reused)
        return [self._by_key[key] for key in own if key in self._by_key]

    def _stored(self, keys: set[str]) -> Iterable[tuple[str, Json]]:
        ordered = sorted(keys)
        for start in range(0, len(ordered), _AT_ONCE):
            query = {"_id": {"$in": ordered[start : start + _AT_ONCE]}}
            for found in self._collection.find(query):
                yield found["_id"], json.loads(zstandard.decompress(found["result"]))

    def _upload(self, results: Mapping[str, Json]) -> None:
        """Store what is not stored yet; without a database it stays in the journal, for the next attempt."""
        writes = [
            UpdateOne(
                {"_id": key},
                {"$setOnInsert": {"result": zstandard.compress(json.dumps(result).encode(), 3)}},
                upsert=True,
            )
            for key, result in results.items()
        ]
        try:
            if writes:
                self._collection.bulk_write(writes, ordered=False)
        except PyMongoError as error:
            _log.warning("%d results stay in the journal: %s", len(writes), error)


def _read_journal(journal: Path) -> dict[str, Json]:
    found = {}
    if journal.exists():
        for line in journal.read_text().splitlines():
            if line.endswith("}}"):  # else it was cut by a kill
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    continue
                found[entry["key"]] = entry["result"]
    return found
