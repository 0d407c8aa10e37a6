"""Which role a request needs, by its method and path. Requests that are not listed need an admin's
key."""

from __future__ import annotations

import re

from server.security.keys import Role

_READ = ("GET", "HEAD")
_ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET")

_PUBLIC = (
    (_READ, r"/"),
    (_READ, r"/browser/.*"),
    (_READ, r"/health/(live|ready)"),
    (_READ, r"/(docs|openapi\.json)"),
    (("POST", "DELETE"), r"/v1/session"),
)
"""Requests that need no key: the page without data, and the health checks of supervisors."""

_ROLES = (
    (_READ, r"/metrics", Role.WATCH),
    (_READ, r"/v1/(models|models/[^/]+|server|capacity|session)", Role.WATCH),
    (("POST",), r"/v1/tickets", Role.WATCH),
    ((*_READ, "WEBSOCKET"), r"/v1/streams(/.*)?", Role.WATCH),
    (_ANY, r"/v1/streams(/.*)?", Role.SEGMENT),
    (_ANY, r"/v1/stream", Role.SEGMENT),
    (_ANY, r"/v1/(videos|uploads|sources)(/.*)?", Role.SEGMENT),
)
"""The first matching line decides."""


def needed(method: str, path: str) -> Role | None:
    """Return the role that a request needs, or None if it needs no key.

    ``method`` is WEBSOCKET for a socket.
    """
    if any(_fits(method, path, *line) for line in _PUBLIC):
        return None
    fitting = (role for methods, paths, role in _ROLES if _fits(method, path, methods, paths))
    return next(fitting, Role.ADMIN)


def _fits(method: str, path: str, methods: tuple[str, ...], paths: str) -> bool:
    return method in methods and re.fullmatch(paths, path) is not None
