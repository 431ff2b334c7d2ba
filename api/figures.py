"""The route that draws figures of a document."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, HTTPException, Request, Response

from sse_screen.api.problems import problem_responses
from sse_screen.api.responses import refuse_parameters
from sse_screen.database.blobs import BlobStore
from sse_screen.database.errors import QueryError
from sse_screen.database.queries import MAX_TIME_MS
from sse_screen.database.served import ServedCollection
from sse_screen.reporting.collection_figures import FIGURES, FORMATS, MEDIA_TYPES, FigureFormat

if TYPE_CHECKING:
    from pymongo.database import Database

    from sse_screen.documents.base import DerivedDocument

#: matplotlib's text layout is not made for threads
_DRAWING = Lock()
_MAX_DOCUMENTS = 1000


def add_figure_route(
    router: APIRouter, collection: ServedCollection, database: Database[dict[str, Any]]
) -> None:
    """Add the figures' route of a collection, where its documents have any.

    Parameters
    ----------
    router : APIRouter
        The collection's.
    collection : ServedCollection
        What is served.
    database : pymongo.database.Database
        Where it is.
    """
    kinds = FIGURES.get(collection.name)
    if kinds is None:
        return

    def figure(document_id: str, request: Request) -> Response:
        """Draw a figure of a document."""
        refuse_parameters(request, "kind", "format")
        name = _choice(request, "kind", tuple(kinds))
        format = cast(FigureFormat, _choice(request, "format", FORMATS))
        documents = _documents(collection, database, document_id, kinds[name].same)
        with _DRAWING:
            content = kinds[name].render(documents, format, BlobStore(database).get)
        if content is None:
            raise HTTPException(404, f"document {document_id!r} does not hold what the figure {name!r} shows")
        return Response(content, media_type=MEDIA_TYPES[format])

    described = "; ".join(f"{name}: {kind.description}" for name, kind in kinds.items())
    router.add_api_route(
        collection.route + "/{document_id}/figure",
        figure,
        name=f"figure_{collection.name}",
        summary="A figure of a document",
        response_class=Response,
        responses={
            200: {"description": "The figure; json is for plotly", "content": _contents()},
            **problem_responses(401, 404, 422, 500, 503),
        },
        openapi_extra={
            "parameters": [
                _parameter("kind", described, tuple(kinds)),
                _parameter("format", "json for interactive figures", FORMATS),
            ]
        },
    )


def _choice(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    value = request.query_params.get(name, allowed[0])
    if value not in allowed:
        raise QueryError(f"{name}: {value!r} is refused; allowed: {', '.join(allowed)}", name, allowed)
    return value


def _documents(
    collection: ServedCollection,
    database: Database[dict[str, Any]],
    document_id: str,
    same: tuple[str, ...],
) -> list[DerivedDocument]:
    """Fetch the document, and those that agree with it in some fields."""
    found = database[collection.name]
    one = found.find_one({"id": document_id}, {"_id": 0}, max_time_ms=MAX_TIME_MS)
    if one is None:
        raise HTTPException(404, f"there is no document {document_id!r} in {collection.name}")
    stored = [one]
    if same:
        query = {name: one[name] for name in same} | {"deprecated": {"$ne": True}}
        cursor = found.find(query, {"_id": 0}, max_time_ms=MAX_TIME_MS).limit(_MAX_DOCUMENTS)
        stored = list(cursor) or stored
    return [collection.document.model_validate(document) for document in stored]


def _contents() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        MEDIA_TYPES["png"]: binary,
        MEDIA_TYPES["svg"]: binary,
        MEDIA_TYPES["json"]: {"schema": {"type": "object"}},
    }


def _parameter(name: str, description: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(allowed), "default": allowed[0]}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
