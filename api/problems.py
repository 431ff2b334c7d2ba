"""One error shape everywhere: problem details, RFC 9457."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from pymongo.errors import ExecutionTimeout, PyMongoError
from starlette.exceptions import HTTPException

from sse_screen.database.errors import QueryError

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field("about:blank", description="Kind of problem")
    title: str = Field(description="The same for all problems of this kind")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="What was wrong in this request, and the way out")
    instance: str = Field(description="Path of the request")
    parameter: str | None = Field(None, description="Parameter that was refused")
    allowed: list[str] | None = Field(None, description="What is accepted in its place")


def problem_response(
    request: Request,
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    headers: dict[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """Make an error response.

    Parameters
    ----------
    request : Request
        What was asked.
    status : int
        HTTP status.
    detail : str
        What was wrong and the way out.
    kind : str, optional
        Last part of the problem's type URN; none for what the status says all about.
    headers : dict, optional
        More headers.
    **members : Any
        ``parameter`` and ``allowed``.

    Returns
    -------
    JSONResponse
        ``application/problem+json``.
    """
    problem = Problem(
        type=f"urn:sse-screen:problem:{kind}" if kind else "about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        **members,
    )
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an app in the one shape.

    Parameters
    ----------
    app : FastAPI
        The app.
    """
    app.add_exception_handler(QueryError, _query_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ExecutionTimeout, _slow_query)
    app.add_exception_handler(PyMongoError, _database_error)
    app.add_exception_handler(Exception, _unexpected)


def _query_error(request: Request, error: Any) -> JSONResponse:
    members = {"parameter": error.parameter, "allowed": list(error.allowed) or None}
    return problem_response(request, 422, str(error), kind="query", **members)


def _validation_error(request: Request, error: Any) -> JSONResponse:
    faults = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
    return problem_response(request, 422, faults, kind="query")


def _http_error(request: Request, error: Any) -> JSONResponse:
    return problem_response(request, error.status_code, str(error.detail), headers=error.headers)


def _slow_query(request: Request, error: Any) -> JSONResponse:
    detail = "the query took too long; add a filter on an indexed field, or sort by another one"
    return problem_response(request, 503, detail, kind="slow-query")


def _database_error(request: Request, error: Any) -> JSONResponse:
    # the message stays in the log: it may name hosts and users
    _LOG.error("database error at %s: %s", request.url.path, type(error).__name__, exc_info=error)
    detail = "the database does not answer or refused the request; try again later"
    return problem_response(request, 503, detail, kind="database", headers={"Retry-After": "5"})


def _unexpected(request: Request, error: Any) -> JSONResponse:
    detail = "an unexpected error; it is in the server's log, please report it"
    return problem_response(request, 500, detail)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe error responses for the OpenAPI file.

    Parameters
    ----------
    *statuses : int
        HTTP statuses.

    Returns
    -------
    dict
        The ``responses`` argument of a route.
    """
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }
