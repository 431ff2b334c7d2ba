"""The routes of a derived collection, made from its document class alone; its figures beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response

from sse_screen.api.figures import add_figure_route
from sse_screen.api.problems import problem_responses
from sse_screen.api.responses import answer_models, json_response, refuse_parameters
from sse_screen.database.fields import DocumentField
from sse_screen.database.index_choice import IndexChoice
from sse_screen.database.queries import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_TIME_MS,
    Query,
    compile_query,
    projection,
    run_query,
    select_fields,
)
from sse_screen.database.served import ServedCollection

if TYPE_CHECKING:
    from pymongo.database import Database

_SCHEMAS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "date": {"type": "string", "format": "date-time"},
}


def collection_router(collection: ServedCollection, database: Database[dict[str, Any]]) -> APIRouter:
    """Make the routes of a collection.

    Parameters
    ----------
    collection : ServedCollection
        What is served.
    database : pymongo.database.Database
        Where it is.

    Returns
    -------
    APIRouter
        The list and the document by id.
    """
    router = APIRouter(tags=[collection.name])
    choice = IndexChoice(database, collection)
    list_model, single_model = answer_models(collection.document)
    summary = (collection.document.__doc__ or collection.name).strip().splitlines()[0]

    def list_documents(request: Request) -> Response:
        """Give a page of documents; filters, order, fields and cursor as query parameters."""
        parameters = request.query_params.multi_items()
        return _page(database, choice, compile_query(collection, parameters), parameters)

    def one_document(document_id: str, request: Request) -> Response:
        """Give one document."""
        refuse_parameters(request, "fields")
        return _document(collection, database, document_id, request.query_params.get("fields"))

    router.add_api_route(
        collection.route,
        list_documents,
        name=f"list_{collection.name}",
        summary=f"List: {summary}",
        responses={200: {"model": list_model}, **problem_responses(401, 422, 500, 503)},
        openapi_extra={"parameters": _list_parameters(collection)},
    )
    router.add_api_route(
        collection.route + "/{document_id}",
        one_document,
        name=f"get_{collection.name}",
        summary=f"By id: {summary}",
        responses={200: {"model": single_model}, **problem_responses(401, 404, 422, 500, 503)},
        openapi_extra={"parameters": [_fields_parameter(collection)]},
    )
    add_figure_route(router, collection, database)
    return router


def _page(
    database: Database[dict[str, Any]], choice: IndexChoice, query: Query, parameters: list[tuple[str, str]]
) -> Response:
    collection = query.collection
    page = run_query(database, query, choice.best(query))
    meta = {
        "collection": collection.name,
        "units": collection.units,
        "sort": query.sort_name,
        "limit": query.limit,
        "returned": len(page.documents),
        "next_cursor": page.next_cursor,
    }
    following = None
    if page.next_cursor is not None:
        kept = [(name, value) for name, value in parameters if name != "cursor"]
        following = f"{collection.route}?{urlencode([*kept, ('cursor', page.next_cursor)])}"
    return json_response({"data": page.documents, "meta": meta, "links": {"next": following}})


def _document(
    collection: ServedCollection, database: Database[dict[str, Any]], document_id: str, fields: str | None
) -> Response:
    chosen = projection(select_fields(collection, fields))
    found = database[collection.name].find_one({"id": document_id}, chosen, max_time_ms=MAX_TIME_MS)
    if found is None:
        raise HTTPException(404, f"there is no document {document_id!r} in {collection.name}")
    meta = {"collection": collection.name, "units": collection.units}
    return json_response({"data": found, "meta": meta, "links": {"provenance": f"/provenance/{document_id}"}})


def _list_parameters(collection: ServedCollection) -> list[dict[str, Any]]:
    parameters = []
    for name, field in collection.fields.items():
        if field.filterable:
            parameters.append(_parameter(name, _filter_text(field), _schema(field)))
        if field.ranged:
            unit = f" ({field.unit})" if field.unit else ""
            parameters.append(_parameter(f"{name}_min", f"Least {name}{unit}", _schema(field)))
            parameters.append(_parameter(f"{name}_max", f"Greatest {name}{unit}", _schema(field)))
    sortable = [name for name, field in collection.fields.items() if field.sortable]
    sort = {"type": "string", "enum": [*sortable, *(f"-{name}" for name in sortable)], "default": "id"}
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        *parameters,
        _parameter("sort", "Order, descending with - in front; ties are ordered by id", sort),
        _parameter("limit", "Most documents of a page", limit),
        _parameter("cursor", "next_cursor of the page before", {"type": "string"}),
        _fields_parameter(collection),
    ]


def _filter_text(field: DocumentField) -> str:
    unit = f" ({field.unit})" if field.unit else ""
    text = f"{field.description or field.name}{unit}"
    if field.kind == "text list":
        return f"{text}; all of the given ones, joined by commas" if field.name != "formula" else text
    if field.kind == "potential":
        return f"{text}: name, or sha256 of the weights or its first eight or more digits"
    return f"{text}; repeat it for any of several" if field.kind in ("text", "choice") else text


def _schema(field: DocumentField) -> dict[str, Any]:
    if field.choices:
        return {"type": "string", "enum": list(field.choices)}
    return _SCHEMAS.get(field.kind, {"type": "string"})


def _fields_parameter(collection: ServedCollection) -> dict[str, Any]:
    names = ", ".join(collection.fields)
    return _parameter(
        "fields", f"Fields to return, joined by commas; all by default: {names}", {"type": "string"}
    )


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
