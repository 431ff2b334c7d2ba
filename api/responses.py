"""What the API answers with."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field, create_model

from sse_screen.database.errors import QueryError
from sse_screen.documents.base import DerivedDocument


class Meta(BaseModel):
    """What to know about the data of an answer."""

    collection: str = Field(description="Collection it is from")
    units: dict[str, str] = Field(description="Unit by field; a quantity carries its own besides")


class ListMeta(Meta):
    """What to know about a page."""

    sort: str = Field(description="Order of the documents; ties are ordered by id")
    limit: int = Field(description="Most documents of a page")
    returned: int = Field(description="Documents of this page")
    next_cursor: str | None = Field(description="Pass as cursor for the next page; null on the last one")


class Links(BaseModel):
    """Where to go on."""

    next: str | None = Field(None, description="Next page; null on the last one")
    provenance: str | None = Field(None, description="What a document was made from")


def json_response(content: Any) -> Response:
    """Write an answer as JSON; dates as RFC 3339, no NaN.

    Parameters
    ----------
    content : Any
        JSON-like, with dates.

    Returns
    -------
    Response
        The answer.
    """
    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), media_type="application/json")


def answer_models(document: type[DerivedDocument]) -> tuple[type[BaseModel], type[BaseModel]]:
    """Make the models of a collection's two routes.

    Parameters
    ----------
    document : type
        Class of its documents.

    Returns
    -------
    tuple
        Model of the list and of the single answer.
    """
    name = document.__name__
    documents: Any = list[document]  # type: ignore[valid-type]
    many = create_model(f"{name}List", data=(documents, ...), meta=(ListMeta, ...), links=(Links, ...))
    one = create_model(f"{name}Answer", data=(document, ...), meta=(Meta, ...), links=(Links, ...))
    return many, one


def refuse_parameters(request: Request, *allowed: str) -> None:
    """Refuse query parameters that a route does not know.

    Parameters
    ----------
    request : Request
        What was asked.
    *allowed : str
        Names that it knows.

    Raises
    ------
    QueryError
        For any other; becomes a 422 answer.
    """
    for name in request.query_params:
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise QueryError(f"unknown parameter {name!r}; allowed: {known}", name, allowed)
