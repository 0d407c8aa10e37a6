"""Which methods a path supports: HEAD for every GET, and the Allow header of a 405."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.routing import Match

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def heads_of(router: APIRouter) -> APIRouter:
    """Return routes that answer HEAD for every GET of ``router`` with the same functions.

    The HTTP server omits the bodies. They are separate routes so that the OpenAPI schema does not
    list each operation twice.
    """
    heads = APIRouter()
    for route in router.routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            heads.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                name=route.name,
                response_class=route.response_class,
                response_model=route.response_model,
                include_in_schema=False,
            )
    return heads


def allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes with the request's path; Starlette lists only those of the
    first such route."""
    return [method for method in _METHODS if _is_answered(request, method)]


def _is_answered(request: Request, method: str) -> bool:
    scope = dict(request.scope) | {"method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
