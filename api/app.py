"""The app: read only, one error shape, routes from the document classes."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field

import sse_screen
from sse_screen.api.collections import collection_router
from sse_screen.api.problems import Problem, add_problem_handlers, problem_responses
from sse_screen.api.provenance import Provenance, trace
from sse_screen.api.responses import json_response, refuse_parameters
from sse_screen.database.served import ServedCollection, served_collections
from sse_screen.database.stores import clear_errors, database_uri, open_client

if TYPE_CHECKING:
    from pymongo.database import Database

    from sse_screen.settings import Settings

DESCRIPTION = """Ion transport and thermodynamics of solid electrolytes, each number traceable to its jobs.

Every scalar field of a collection is a filter (`field=value`; numbers and dates also `field_min` and
`field_max`, in any combination). Every error is a problem document (RFC 9457)."""


class CollectionLink(BaseModel):
    """One collection."""

    name: str
    route: str
    description: str


class Index(BaseModel):
    """What is here."""

    name: str
    version: str
    collections: list[CollectionLink]
    documentation: str


class Health(BaseModel):
    """State of the service."""

    status: str = Field(description="ok, or the answer is a problem document with status 503")
    version: str = Field(description="Version of sse-screen")
    database_version: str = Field(description="Version of MongoDB")
    documents: dict[str, int] = Field(description="Documents by collection, estimated")


def create_app(settings: Settings, collections: Mapping[str, ServedCollection] | None = None) -> FastAPI:
    """Make the API.

    Parameters
    ----------
    settings : Settings
        Where the database is (``api_database_uri``, the read-only user, first), and the key.
    collections : mapping, optional
        Collections to serve; all by default.

    Returns
    -------
    FastAPI
        The app. It starts without a database and answers 503 until there is one.

    Raises
    ------
    DatabaseRefusedError
        When the connection string is malformed.
    """
    served = dict(served_collections() if collections is None else collections)
    uri = database_uri(settings, read_only=True)
    with clear_errors(settings, uri):
        client = open_client(uri, settings)
    database = client[settings.database_name]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Close the connections at the end."""
        yield
        client.close()

    app = FastAPIOffline(
        title="sse-screen",
        version=sse_screen.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    add_problem_handlers(app)
    guard = _key_guard(settings)
    for collection in served.values():
        app.include_router(collection_router(collection, database), dependencies=[Depends(guard)])
    app.include_router(_provenance_router(database, served), dependencies=[Depends(guard)])
    app.include_router(_service_router(database, served))
    _add_problem_schema(app)
    return app


def _key_guard(settings: Settings) -> Any:
    header = APIKeyHeader(name="X-API-Key", auto_error=False, description="Where the server has a key set")
    expected = settings.api_key.get_secret_value().encode() if settings.api_key is not None else None

    def check_key(key: str | None = Depends(header)) -> None:
        """Refuse requests without the server's key."""
        if expected is not None and not hmac.compare_digest((key or "").encode(), expected):
            detail = "send the server's key as X-API-Key"
            raise HTTPException(401, detail, headers={"WWW-Authenticate": "ApiKey"})

    return check_key


def _provenance_router(
    database: Database[dict[str, Any]], served: Mapping[str, ServedCollection]
) -> APIRouter:
    router = APIRouter(tags=["provenance"])

    @router.get(
        "/provenance/{document_id}",
        summary="Jobs, potential, structures and blobs that a document came from",
        responses={200: {"model": Provenance}, **problem_responses(401, 404, 422, 500, 503)},
    )
    def provenance(document_id: str, request: Request) -> Response:
        """Follow a document back to its jobs."""
        refuse_parameters(request)
        found = trace(database, served, document_id)
        if found is None:
            places = ", ".join([*served, "outputs"])
            raise HTTPException(404, f"nothing has the id {document_id!r}; looked in: {places}")
        return json_response(found.model_dump())

    return router


def _service_router(database: Database[dict[str, Any]], served: Mapping[str, ServedCollection]) -> APIRouter:
    router = APIRouter(tags=["service"])

    @router.get("/", summary="What is here", responses=problem_responses(422, 500))
    def index(request: Request) -> Index:
        """Say what is here."""
        refuse_parameters(request)
        links = [
            CollectionLink(name=name, route=found.route, description=(found.document.__doc__ or "").strip())
            for name, found in served.items()
        ]
        return Index(
            name="sse-screen", version=sse_screen.__version__, collections=links, documentation="/docs"
        )

    @router.get("/health", summary="Whether it works", responses=problem_responses(422, 500, 503))
    def health(request: Request) -> Health:
        """Ask the database, and count what it holds."""
        refuse_parameters(request)
        documents = {name: database[name].estimated_document_count() for name in served}
        return Health(
            status="ok",
            version=sse_screen.__version__,
            database_version=database.client.server_info()["version"],
            documents=documents,
        )

    return router


def _add_problem_schema(app: FastAPI) -> None:
    """Put the error shape into the OpenAPI file, in place of FastAPI's own, which is never sent."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        """Make the schema once."""
        if app.openapi_schema is None:
            schemas = make().setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
