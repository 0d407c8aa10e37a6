"""The API key that a client sends."""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLE = "MASTREAM_KEY"
"""The environment variable that holds it."""


def with_key(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return a request's headers, with the environment's key unless they have one."""
    given = dict(headers or {})
    key = os.environ.get(VARIABLE, "").strip()
    has_one = any(name.lower() == "authorization" for name in given)
    return given if has_one or not key else given | {"Authorization": f"Bearer {key}"}
