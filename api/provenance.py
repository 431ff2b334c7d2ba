"""From a number back to jobs, potential and structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from sse_screen.database.served import ServedCollection
from sse_screen.database.stores import BLOBS, OUTPUTS
from sse_screen.documents.base import content_hash

if TYPE_CHECKING:
    from pymongo.database import Database

MAX_NODES = 2000
_LONG = 50  # longer lists (configurations, curves) are left to the document itself
_BUILD = ("builder", "builder_version", "parameters", "built_at", "inputs_fingerprint")
_STATE = ("stale", "stale_reason", "deprecated", "deprecated_reason")

Kind = Literal["derived", "job", "potential", "structure", "blob", "missing"]


class Node(BaseModel):
    """One thing that a number came from."""

    id: str = Field(description="Id in its collection, or content hash")
    kind: Kind = Field(description="What it is; missing when it is named but not stored")
    collection: str | None = Field(None, description="Where it is stored")
    data: dict[str, Any] = Field(default_factory=dict, description="What fixes it")


class Edge(BaseModel):
    """Who was made from what."""

    source: str = Field(description="Id of the later one")
    target: str = Field(description="Id of what it used")
    relation: Literal["built from", "ran after", "potential", "structure", "blob"]


class Provenance(BaseModel):
    """All that a document came from, as a graph."""

    root: str = Field(description="Id that was asked for")
    nodes: list[Node]
    edges: list[Edge]
    complete: bool = Field(description="False when there was too much of it, or an input is not stored")


class _Graph:
    def __init__(self, database: Database[dict[str, Any]], collections: Mapping[str, ServedCollection]):
        self.database = database
        self.collections = collections
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.cut = False

    def find_root(self, root: str) -> str | None:
        """Tell in which collection an id is."""
        for name in self.collections:
            if self.database[name].find_one({"id": root}, {"_id": 1}) is not None:
                return name
        found = self.database[OUTPUTS].find_one({"uuid": root}, {"_id": 1})
        return OUTPUTS if found is not None else None

    def grow(self, collection: str, root: str) -> None:
        """Follow the inputs level by level, one query a collection and level."""
        level = {collection: {root}}
        while level:
            following: dict[str, set[str]] = {}
            for name, ids in level.items():
                for source, target_collection, target in self._load(name, ids):
                    relation: Any = "ran after" if name == target_collection == OUTPUTS else "built from"
                    self._edge(source, target, relation)
                    if target not in self.nodes:
                        following.setdefault(target_collection, set()).add(target)
            if len(self.nodes) + sum(map(len, following.values())) > MAX_NODES:
                self.cut = True
                return
            level = following

    def _load(self, name: str, ids: set[str]) -> Iterator[tuple[str, str, str]]:
        """Add the nodes of one collection; give (source, collection, id) of what they came from."""
        if name == OUTPUTS:
            yield from self._load_jobs(ids)
        elif name in self.collections:
            yield from self._load_derived(name, ids)
        for missing in sorted(ids - self.nodes.keys()):
            self.nodes[missing] = Node(id=missing, kind="missing", collection=name)

    def _load_derived(self, name: str, ids: set[str]) -> Iterator[tuple[str, str, str]]:
        fields = self.collections[name].document.group_fields
        wanted = ("id", "formula", "chemical_system", "potential", "inputs", *fields, *_BUILD, *_STATE)
        for found in self.database[name].find({"id": {"$in": sorted(ids)}}, dict.fromkeys(wanted, 1)):
            node_id = found["id"]
            data = {key: found[key] for key in wanted if key in found and key not in ("inputs", "potential")}
            self.nodes[node_id] = Node(id=node_id, kind="derived", collection=name, data=data)
            self._parts(node_id, found)
            for reference in found.get("inputs", []):
                yield node_id, reference["collection"], reference["id"]

    def _load_jobs(self, ids: set[str]) -> Iterator[tuple[str, str, str]]:
        rows = self.database[OUTPUTS].find({"uuid": {"$in": sorted(ids)}}, {"_id": 0}).sort("index", 1)
        for found in {row["uuid"]: row for row in rows}.values():
            output = found.get("output")
            output = output if isinstance(output, dict) else {"value": output}
            data = {key: found.get(key) for key in ("name", "index", "completed_at", "hosts", "metadata")}
            data["output"] = self._parts(found["uuid"], output)
            self.nodes[found["uuid"]] = Node(id=found["uuid"], kind="job", collection=OUTPUTS, data=data)
            for upstream in output.get("inputs", []):
                if isinstance(upstream, str):
                    yield found["uuid"], OUTPUTS, upstream

    def _parts(self, owner: str, content: dict[str, Any]) -> dict[str, Any]:
        """Make nodes of potential, structures and blobs in a document; give the rest that is short."""
        rest = {}
        for key, value in content.items():
            if isinstance(value, dict) and "weights_sha256" in value:
                self._part(owner, "potential", value["weights_sha256"], value)
            elif isinstance(value, dict) and value.get("@class") in ("Structure", "Molecule"):
                self._part(owner, "structure", content_hash(value), value)
            elif isinstance(value, dict) and set(value) >= {"sha256", "size_bytes"}:
                self._part(owner, "blob", value["sha256"], value)
            elif not isinstance(value, list) or len(value) <= _LONG:
                rest[key] = value
        return rest

    def _part(self, owner: str, kind: Any, part_id: str, data: dict[str, Any]) -> None:
        collection = BLOBS if kind == "blob" else None
        self.nodes.setdefault(part_id, Node(id=part_id, kind=kind, collection=collection, data=data))
        self._edge(owner, part_id, kind)

    def _edge(self, source: str, target: str, relation: Any) -> None:
        self.edges[source, target] = Edge(source=source, target=target, relation=relation)


def trace(
    database: Database[dict[str, Any]], collections: Mapping[str, ServedCollection], root: str
) -> Provenance | None:
    """Follow a document back to all that it came from.

    Parameters
    ----------
    database : pymongo.database.Database
        Where to look.
    collections : mapping
        Derived collections by name.
    root : str
        Id of a derived document, or uuid of a job.

    Returns
    -------
    Provenance or None
        The graph, the root first; None when nothing has that id.
    """
    graph = _Graph(database, collections)
    collection = graph.find_root(root)
    if collection is None:
        return None
    graph.grow(collection, root)
    missing = any(node.kind == "missing" for node in graph.nodes.values())
    edges = [edge for edge in graph.edges.values() if edge.target in graph.nodes]
    return Provenance(
        root=root, nodes=list(graph.nodes.values()), edges=edges, complete=not (graph.cut or missing)
    )
