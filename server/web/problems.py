"""Every error of the REST API as application/problem+json (RFC 9457) with a stable ``code``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from server.errors import BadRequest, Elsewhere, Fault, MastreamError, SourceFault, Unavailable
from server.web.methods import allowed_methods

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SOON = {"Retry-After": "1"}
"""The headers of a 429 and of a 503."""

_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: RETRY_SOON, 503: RETRY_SOON}


_TITLES = {416: "requested range not satisfiable"}
"""Titles of statuses that differ between Python versions; codes are derived from titles."""

_FIELD_FAULTS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has a character that is not allowed",
}
"""The fault of a field in words, by pydantic's error type."""


class FieldProblem(BaseModel):
    """One invalid field."""

    field: str
    detail: str


class Problem(BaseModel):
    """The body of every error response."""

    type: str = Field(description="urn:mastream:error:CODE")
    title: str
    status: int
    code: str = Field(description="stable word for programs")
    detail: str = Field(description="one sentence for people")
    errors: list[FieldProblem] | None = Field(None, description="the invalid fields")
    reasons: list[str] | None = Field(None, description="why the service is not ready")
    used: int | None = Field(None, description="how much of a limit is used")
    limit: int | None = Field(None, description="the limit")


PROBLEM_CONTENT: dict[str, Any] = {
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
"""The body of one of a route's ``responses``."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Any error, as an RFC 9457 problem"} | PROBLEM_CONTENT
}
"""The ``responses`` of every route."""


def problem_response(
    problem: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the response that carries a problem."""
    return JSONResponse(
        dict(problem), problem["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def install(app: FastAPI, rejected: Callable[[str], None] = lambda _: None) -> None:
    """Return every error of ``app`` as a problem, and declare that in its OpenAPI schema.

    ``rejected`` is called with the code if a POST is refused.
    """

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, MastreamError)
        return answered(request, error)

    async def not_valid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answered(request, *_of_validation(error))

    def answered(
        request: Request, error: MastreamError, fields: Sequence[dict[str, str]] = ()
    ) -> JSONResponse:
        if request.method == "POST":
            rejected(error.code)
        return _ours(request, error, fields)

    app.add_exception_handler(MastreamError, ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(Exception, _of_anything)
    setattr(app, "openapi", lambda: _openapi(app))  # noqa: B010  # FastAPI's documented hook


def _ours(
    request: Request, error: MastreamError, fields: Sequence[dict[str, str]] = ()
) -> JSONResponse:
    # The database logs once that it does not answer; and whoever names a camera that does not
    # answer could fill the log.
    logged = isinstance(error, Fault) and not isinstance(error, (Unavailable, SourceFault))
    if logged and error.status >= 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if isinstance(error, Elsewhere):
        return problem_response(error.problem(), {"Location": _same_place(request, error.url)})
    return refusal_of(error, fields)


def _same_place(request: Request, server: str) -> str:
    """Return the request's address on another server."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{server.rstrip('/')}{request.url.path}{query}"


def refusal_of(error: MastreamError, fields: Sequence[dict[str, str]] = ()) -> JSONResponse:
    """Return the response that reports an error, with the headers of its status."""
    problem = error.problem() | ({"errors": list(fields)} if fields else {})
    return problem_response(problem, _HEADERS.get(error.status, {}))


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    """Answer what Starlette itself refuses, such as an unknown path or method."""
    assert isinstance(error, HTTPException)
    title = _TITLES.get(error.status_code) or HTTPStatus(error.status_code).phrase.lower()
    code = title.replace(" ", "_").replace("-", "_")
    problem = {
        "type": f"urn:mastream:error:{code}",
        "title": title,
        "status": error.status_code,
        "code": code,
        "detail": f"{request.method} {request.url.path}: {error.detail}; see /docs.",
    }
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return problem_response(problem, headers)


def _of_validation(error: RequestValidationError) -> tuple[BadRequest, list[dict[str, str]]]:
    """Return what FastAPI found wrong, as a MastreamError and field by field."""
    fields = [
        {"field": ".".join(str(part) for part in one["loc"]), "detail": _fault_of(one)}
        for one in error.errors()
    ]
    words = "; ".join(f"{one['field']} {one['detail']}" for one in fields)
    return BadRequest(f"The request is not valid: {words}."), fields


def _fault_of(found: Mapping[str, Any]) -> str:
    """Return what is wrong with a field; pydantic's own messages describe Python types."""
    words = _FIELD_FAULTS.get(found["type"], "is not valid")
    return words.format_map(found.get("ctx", {}))


async def _of_anything(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # This is called above every other middleware, so nothing else can add the header.
    headers = {"X-Request-Id": getattr(request.state, "request_id", "")}
    return problem_response(Fault("The server failed; its log says why.").problem(), headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's schema as valid OpenAPI 3.1, with Problem in place of its own validation
    error."""
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        template = "#/components/schemas/{model}"
        schema = Problem.model_json_schema(ref_template=template)
        schemas |= schema.pop("$defs", {}) | {"Problem": schema}
        _drop_item_schemas(described)
        app.openapi_schema = described
    return app.openapi_schema


def _drop_item_schemas(described: dict[str, Any]) -> None:
    """Remove the ``itemSchema`` of server-sent events, a keyword of OpenAPI 3.2 that FastAPI
    writes into a description that is 3.1."""
    for path in described["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                answer.get("content", {}).get("text/event-stream", {}).pop("itemSchema", None)
