"""The kinds of values that fields may hold, each with its range."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MAX_INTEGER = 2**53 - 1
"""The largest integer that every language's JSON keeps exactly."""

Whole = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Positive = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Side = Annotated[int, Meta(ge=1, le=65535)]
"""Width or height of a picture in pixels."""

Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
Text = Annotated[str, Meta(max_length=4096)]
