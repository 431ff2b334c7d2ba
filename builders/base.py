"""One incremental builder that all derived collections share.

It groups source documents, compares each group's fingerprint (ids and contents, never dates), the version of
the document's meaning and the parameters with what is stored, and rebuilds what differs. A failed rebuild
goes to ``<collection>_failures`` and never replaces a good document.
"""

from __future__ import annotations

import json
import os
import traceback
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import bson
from maggma.core import Builder
from pymongo import DeleteMany, ReplaceOne, UpdateOne

from sse_screen.builders.sources import job_order, latest_calculations, reads_in_common
from sse_screen.database.indexes import RAW_INDEXES, Index, derived_indexes, ensure_indexes
from sse_screen.database.served import ServedCollection
from sse_screen.database.stores import OUTPUTS, connect
from sse_screen.documents.base import DerivedDocument, InputReference, content_hash
from sse_screen.exceptions import SseScreenError
from sse_screen.settings import get_settings

if TYPE_CHECKING:
    from pymongo.database import Database

Json = dict[str, Any]
MAXIMUM_DOCUMENT_BYTES = 16 * 1024 * 1024
_BATCH_SIZE = 50_000
#: the sources of the last document built in this process: its neighbours often have the same
_RECENT: Json = {}
_COMPARED = ("inputs_fingerprint", "builder_version", "parameters", "stale", "deprecated")
_GONE = "none of its inputs is stored any more, or none belongs to this group"


class BuildFailedError(SseScreenError):
    """At least one document could not be built; the reasons are in ``<collection>_failures``."""


class InputsChangedError(SseScreenError):
    """An input vanished between the look at the sources and the build of its document."""


@dataclass
class BuildReport:
    """What one run of a builder did.

    Attributes
    ----------
    collection : str
        The derived collection.
    groups : int
        Groups found in the sources.
    built : int
        Documents built or rebuilt.
    failed : int
        Groups that could not be built.
    deprecated : int
        Documents newly marked because their inputs are gone.
    failures : dict
        Last line of the error by document id.
    """

    collection: str
    groups: int = 0
    built: int = 0
    deprecated: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Number of groups that could not be built."""
        return len(self.failures)


@dataclass
class Group:
    """Source documents that one derived document comes from.

    Attributes
    ----------
    key : dict
        Values of the document's ``group_fields``.
    members : list of dict
        Projected source documents.
    """

    key: Json
    members: list[Json] = field(default_factory=list)


class DerivedBuilder(Builder):
    """Build one derived collection incrementally.

    A subclass names its document class, its sources and the fields that it uses of them (``used_fields``, and
    ``optional_fields`` that not all sources have, are hashed; ``extra_fields`` are only fetched, because a
    hash among the used ones fixes them), says how sources fall into groups and makes the document of one
    group. The database is the one of the settings of each process, so that neither a pickled builder nor its
    JSON form holds a password.

    Parameters
    ----------
    parameters : dict, optional
        Passed to the document class; stored with each document, and a changed value leads to a rebuild.
    chunk_size : int
        Documents written at a time.
    """

    document: ClassVar[type[DerivedDocument]]
    source: ClassVar[str] = OUTPUTS
    source_filter: ClassVar[Json]
    used_fields: ClassVar[tuple[str, ...]]
    optional_fields: ClassVar[tuple[str, ...]] = ()
    extra_fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Json | None = None, chunk_size: int = 20):
        self.parameters: Json = json.loads(json.dumps(parameters or {}))
        super().__init__(sources=[], targets=[], chunk_size=chunk_size)
        self.report = BuildReport(self.document.collection)
        self._connected: Database[Json] | None = None
        self._pending: dict[str, Json] = {}
        self._hashes: dict[str, str] = {}

    @abstractmethod
    def group(self, sources: list[Json]) -> Iterable[Group]:
        """Sort source documents into groups.

        Parameters
        ----------
        sources : list of dict
            Projected source documents, each calculation once.

        Returns
        -------
        iterable of Group
            A source may be in none, one or several.
        """

    @abstractmethod
    def make(self, key: Json, sources: list[Json]) -> DerivedDocument:
        """Make the document of one group.

        Parameters
        ----------
        key : dict
            Values of the document's ``group_fields``.
        sources : list of dict
            The members with ``used_fields`` and ``extra_fields``, in order of their ids.

        Returns
        -------
        DerivedDocument
            The document, without build metadata.
        """

    @property
    def database(self) -> Database[Json]:
        """Database of this process' settings."""
        return self._connected if self._connected is not None else _process_database(os.getpid())

    @property
    def collection(self) -> str:
        """Name of the derived collection."""
        return self.document.collection

    def connect(self) -> None:
        """Connect and make sure that ids are unique and sources can be found by theirs."""
        self._connected = connect(get_settings())
        self.report = BuildReport(self.collection)
        indexes = {
            OUTPUTS: RAW_INDEXES[OUTPUTS],
            self.collection: derived_indexes(ServedCollection(self.document)),
            f"{self.collection}_failures": (Index((("id", 1),)),),
        }
        ensure_indexes(self._connected, indexes)

    def get_items(self) -> Iterator[Json]:
        """Find the groups to build, mark documents whose inputs are gone, record unreadable sources.

        Yields
        ------
        dict
            ``id``, ``key`` (values of the group fields), ``sources`` (ids of the members) and their
            ``fingerprint``.
        """
        sources, unreadable = self._look()
        groups = {self.document.id_of(group.key): group for group in self.group(sources)}
        stored = self.database[self.collection].find({}, {"_id": 0, "id": 1, **dict.fromkeys(_COMPARED, 1)})
        existing = {found["id"]: found for found in stored}
        self._deprecate(existing, groups.keys())
        self._forget_failures(groups.keys() | unreadable.keys())
        self.update_targets(
            [{"id": id_, "error": fault, "traceback": ""} for id_, fault in unreadable.items()]
        )
        pending: list[Json] = [
            {
                "id": id_,
                "key": group.key,
                "sources": sorted(self._id_of(member) for member in group.members),
                "fingerprint": fingerprint(self.references(group.members)),
            }
            for id_, group in groups.items()
            if not self._is_current(existing.get(id_), group)
        ]
        # those of the same sources one after another, so that these are read once
        self._pending = {item["id"]: item for item in sorted(pending, key=lambda i: (i["sources"], i["id"]))}
        self.report.groups = len(groups)
        self.total = len(self._pending)
        yield from list(self._pending.values())

    def process_item(self, item: Json) -> Json:
        """Build one document; an exception becomes a failure with its traceback.

        Parameters
        ----------
        item : dict
            One of :meth:`get_items`.

        Returns
        -------
        dict
            ``id`` and ``document`` (ready to be stored), or ``id``, ``error`` and ``traceback``.
        """
        try:
            return {"id": item["id"], "document": self._build(item)}
        except Exception as error:  # noqa: BLE001 - whatever went wrong is recorded, and the others are built
            message = f"{type(error).__name__}: {error}"
            return {**item, "error": message, "traceback": traceback.format_exc()}

    def update_targets(self, items: list[Json]) -> None:
        """Store built documents; record failures and mark the last good documents of those groups as stale.

        Parameters
        ----------
        items : list of dict
            Results of :meth:`process_item`.
        """
        built = [item["document"] for item in items if "document" in item]
        failed = [item for item in items if "document" not in item]
        now = datetime.now(UTC)
        replaced: list[Any] = [
            ReplaceOne({"id": document["id"]}, document, upsert=True) for document in built
        ]
        records: list[Any] = []
        if built:
            records.append(DeleteMany({"id": {"$in": [document["id"] for document in built]}}))
        for item in failed:
            stale = {"stale": True, "stale_reason": f"its rebuild failed: {item['error']}"}
            replaced.append(UpdateOne({"id": item["id"]}, {"$set": stale}))
            records.append(ReplaceOne({"id": item["id"]}, {**item, "failed_at": now}, upsert=True))
            self.report.failures[item["id"]] = item["error"]
        if items:
            self.database[self.collection].bulk_write(replaced, ordered=False)
            self.database[f"{self.collection}_failures"].bulk_write(records, ordered=False)
        self.report.built += len(built)
        for item in items:
            self._pending.pop(item["id"], None)

    def finish(self) -> BuildReport:
        """Record items that never came back as failures, and disconnect.

        Returns
        -------
        BuildReport
            What was done since :meth:`connect`.
        """
        lost = "WorkerLostError: the process that built it ended without an answer (killed, or out of memory)"
        self.update_targets([{**item, "error": lost, "traceback": ""} for item in self._pending.values()])
        if self._connected is not None:
            self._connected.client.close()
            self._connected = None
        return self.report

    def read_sources(
        self, query: Json, extra_fields: Iterable[str] = ()
    ) -> tuple[list[Json], dict[str, str]]:
        """Read projected sources, each calculation once, and hash what is used of them.

        Parameters
        ----------
        query : dict
            Which sources.
        extra_fields : iterable of str
            Fields to fetch beside those that are hashed.

        Returns
        -------
        tuple
            The sources, and what is wrong with others that cannot be used, by their ids.
        """
        from_outputs = self.source == OUTPUTS
        ids = ("uuid", "index", "completed_at") if from_outputs else ("id",)
        fields = (*self.used_fields, *self.optional_fields, *extra_fields)
        paths = [f"output.{name}" if from_outputs else name for name in fields]
        projection = {"_id": 0, **dict.fromkeys((*ids, *paths), 1)}
        found = list(self.database[self.source].find(query, projection, batch_size=_BATCH_SIZE))
        if from_outputs:
            found.sort(key=job_order)  # so that the hash of a job's last index is the one that stays
        readable, faults = [], {}
        for source in found:
            id_, content = self._id_of(source), source["output"] if from_outputs else source
            try:
                used = {name: content[name] for name in self.used_fields}
                used |= {name: content[name] for name in self.optional_fields if name in content}
                self._hashes[id_] = content_hash(used)
                readable.append(source)
            except KeyError as error:
                faults[id_] = f"{self.source} {id_}: has no field {error}; rerun the job or remove it"
            except ValueError:
                faults[id_] = f"{self.source} {id_}: holds a number that is not finite"
        return latest_calculations(readable) if from_outputs else readable, faults

    def references(self, sources: list[Json]) -> list[InputReference]:
        """Name sources with the hashes of what is used of them.

        Parameters
        ----------
        sources : list of dict
            Source documents from :meth:`read_sources`.

        Returns
        -------
        list of InputReference
            In the same order.
        """
        ids = [self._id_of(source) for source in sources]
        return [
            InputReference.model_construct(collection=self.source, id=id_, content_sha256=self._hashes[id_])
            for id_ in ids
        ]

    def finalize(self) -> None:
        """End a run by maggma's own runners.

        Raises
        ------
        BuildFailedError
            When anything failed, so that ``mrun`` ends with a non-zero status, in parallel as well.
        """
        report = self.finish()
        if report.failed:
            raise BuildFailedError(describe_failures(report))

    def _look(self) -> tuple[list[Json], dict[str, str]]:
        """Read all sources, or take what a builder before has read, where builders share their reads."""
        shared = reads_in_common()
        key = (type(self).read_sources, str(self.source_filter), self.used_fields, self.optional_fields)
        if shared is None or self.source != OUTPUTS:  # a derived collection changes while builders run
            return self.read_sources(self.source_filter)
        if key not in shared:
            found = self.read_sources(self.source_filter)
            shared[key] = (*found, self._hashes)
        sources, faults, hashes = shared[key]
        self._hashes = dict(hashes)
        return sources, faults

    def _members(self, item: Json) -> tuple[list[Json], list[InputReference]]:
        """Read the sources of a document, unless they are those of the last one."""
        wanted = (type(self).__name__, item["fingerprint"])
        if _RECENT.get("of") == wanted:
            return _RECENT["sources"], _RECENT["inputs"]
        id_field = "uuid" if self.source == OUTPUTS else "id"
        query = {**self.source_filter, id_field: {"$in": item["sources"]}}
        sources, _ = self.read_sources(query, self.extra_fields)
        sources.sort(key=self._id_of)
        if [self._id_of(source) for source in sources] != item["sources"]:
            raise InputsChangedError("its inputs changed during the build; build again")
        inputs = self.references(sources)
        _RECENT.clear()
        if fingerprint(inputs) == item["fingerprint"]:
            _RECENT.update(of=wanted, sources=sources, inputs=inputs)
        return sources, inputs

    def _build(self, item: Json) -> Json:
        sources, inputs = self._members(item)
        document = self.make(item["key"], sources)
        document = document.with_build(
            id=item["id"],
            inputs=inputs,
            inputs_fingerprint=fingerprint(inputs),
            builder=type(self).__name__,
            builder_version=self.document.meaning_version,
            parameters=self.parameters,
        )
        stored = document.model_dump(mode="json")
        stored["built_at"] = document.built_at
        size = len(bson.encode(stored))
        if size > MAXIMUM_DOCUMENT_BYTES:
            raise SseScreenError(f"the document has {size} bytes; MongoDB takes {MAXIMUM_DOCUMENT_BYTES}")
        return stored

    def _id_of(self, source: Json) -> str:
        return source["uuid"] if self.source == OUTPUTS else source["id"]

    def _is_current(self, existing: Json | None, group: Group) -> bool:
        if existing is None or existing.get("stale") or existing.get("deprecated"):
            return False
        return (
            existing.get("builder_version") == self.document.meaning_version
            and existing.get("parameters") == self.parameters
            and existing.get("inputs_fingerprint") == fingerprint(self.references(group.members))
        )

    def _deprecate(self, existing: dict[str, Json], groups: Set[str]) -> None:
        gone = [id_ for id_, found in existing.items() if id_ not in groups and not found.get("deprecated")]
        if gone:
            marks = {"deprecated": True, "deprecated_reason": _GONE}
            self.database[self.collection].update_many({"id": {"$in": gone}}, {"$set": marks})
        self.report.deprecated = len(gone)

    def _forget_failures(self, known: Set[str]) -> None:
        """Remove failures of what is not there any more."""
        failures = self.database[f"{self.collection}_failures"]
        failed = {found["id"] for found in failures.find({}, {"_id": 0, "id": 1})}
        if obsolete := sorted(failed - known):
            failures.delete_many({"id": {"$in": obsolete}})


def group_by(sources: Iterable[tuple[Json, Json]]) -> list[Group]:
    """Gather sources that have the same key.

    Parameters
    ----------
    sources : iterable of (dict, dict)
        Key (flat, hashable values) and source document.

    Returns
    -------
    list of Group
        In order of first appearance.
    """
    groups: dict[tuple[Any, ...], Group] = {}
    for key, source in sources:
        groups.setdefault(tuple(sorted(key.items())), Group(key)).members.append(source)
    return list(groups.values())


def fingerprint(inputs: list[InputReference]) -> str:
    """Hash ids and contents of inputs, whatever their order.

    Parameters
    ----------
    inputs : list of InputReference
        The inputs.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    return content_hash(sorted([found.collection, found.id, found.content_sha256] for found in inputs))


def describe_failures(report: BuildReport) -> str:
    """Say in one message what failed.

    Parameters
    ----------
    report : BuildReport
        Of a run with failures.

    Returns
    -------
    str
        The first three errors and where all of them are.
    """
    shown = "; ".join(f"{id_}: {error}" for id_, error in list(report.failures.items())[:3])
    return (
        f"{report.collection}: {report.failed} of {report.groups} documents could not be built ({shown}); "
        f"tracebacks are in the collection {report.collection}_failures"
    )


@lru_cache(maxsize=1)
def _process_database(process_id: int) -> Database[Json]:
    """Connect once in each worker process; a connection must not be carried over a fork."""
    return connect(get_settings())
