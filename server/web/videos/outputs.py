"""The fields of an upload that choose the results of its video, and the address to call at its
end."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query

from server.sinks.recorder import ARTEFACTS
from server.sinks.style import OPACITY
from server.videos.callbacks import MAX_URL

SCHEMAS: dict[str, dict[str, Any]] = {
    "artefacts": {
        "description": "the artefacts to make; the usual four if absent",
        "type": "array",
        "items": {"type": "string", "enum": [*ARTEFACTS]},
    },
    "classes": {
        "description": "the classes to draw and to list; all if absent",
        "type": "array",
        "items": {"type": "string"},
    },
    "opacity": {
        "description": "of the classes' colours over the pictures",
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": OPACITY,
    },
    "callback_url": {
        "description": "an address that is called when the video has ended; its host must be one "
        "that the server's settings allow",
        "type": "string",
        "format": "uri",
        "maxLength": MAX_URL,
    },
}
"""The schema of each, in a form or in the query."""

BY_COMMA = {"style": "form", "explode": False}
"""The OpenAPI style of a list whose items are separated by commas."""

LISTS = [name for name, schema in SCHEMAS.items() if schema["type"] == "array"]

PARAMETERS: list[dict[str, Any]] = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": schema["description"],
        "schema": {key: value for key, value in schema.items() if key != "description"},
    }
    | (BY_COMMA if name in LISTS else {})
    for name, schema in SCHEMAS.items()
]
"""Parameters that FastAPI cannot infer: comma-separated lists."""

_Text = Annotated[str | None, Query(include_in_schema=False)]


def asked_in_query(
    artefacts: _Text = None,
    classes: _Text = None,
    opacity: _Text = None,
    callback_url: _Text = None,
) -> dict[str, str]:
    """Return the parameters of the query that choose outputs, and the address to call."""
    given = {
        "artefacts": artefacts,
        "classes": classes,
        "opacity": opacity,
        "callback_url": callback_url,
    }
    return {name: value for name, value in given.items() if value is not None}


Asked = Annotated[dict[str, str], Depends(asked_in_query)]
