"""Rights: each route needs a role; an unknown one needs an admin's."""

from __future__ import annotations

import pytest

from server.security.keys import Role
from server.security.rights import needed


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/browser/0123/app.js"),
        ("HEAD", "/health/ready"),
        ("GET", "/docs"),
        ("POST", "/v1/session"),
    ],
)
def test_public(method: str, path: str) -> None:
    assert needed(method, path) is None


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/metrics", Role.WATCH),
        ("GET", "/v1/models", Role.WATCH),
        ("GET", "/v1/streams", Role.WATCH),
        ("GET", "/v1/streams/gate/preview", Role.WATCH),
        ("WEBSOCKET", "/v1/streams/gate/masks", Role.WATCH),
        ("POST", "/v1/tickets", Role.WATCH),
        ("POST", "/v1/streams", Role.SEGMENT),
        ("DELETE", "/v1/streams/gate", Role.SEGMENT),
        ("WEBSOCKET", "/v1/stream", Role.SEGMENT),
        ("POST", "/v1/videos", Role.SEGMENT),
        ("GET", "/v1/videos/1/masks.mkv", Role.SEGMENT),
        ("PATCH", "/v1/uploads/1", Role.SEGMENT),
        ("GET", "/v1/recordings", Role.ADMIN),
        ("GET", "/v1/keys", Role.ADMIN),
        ("POST", "/v1/keys", Role.ADMIN),
        ("GET", "/nothing", Role.ADMIN),
        ("POST", "/", Role.ADMIN),
        ("TRACE", "/v1/videos", Role.ADMIN),
        ("GET", "/v1/streamsgate", Role.ADMIN),
        ("GET", "/browser", Role.ADMIN),
        ("GET", "/health/ready/\n", Role.ADMIN),
    ],
)
def test_roles(method: str, path: str, role: Role) -> None:
    assert needed(method, path) is role
