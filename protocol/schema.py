"""A JSON Schema of all messages, generated from the structs: ``schema.json``.

``python -m protocol.schema`` regenerates the file, byte for byte the same. The schema cannot
express that a whole number written as ``3.0`` is refused, and that the last of two equal fields
counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from protocol.headers import FrameHeader, MaskHeader
from protocol.messages import ClientMessage, ServerMessage
from protocol.opening import Model

PATH = Path(__file__).with_name("schema.json")

_ROOTS = {
    "ClientMessage": (ClientMessage, "A text message of a client."),
    "ServerMessage": (ServerMessage, "A text message of a server."),
    "FrameHeader": (FrameHeader, "The header of a client's binary message."),
    "MaskHeader": (MaskHeader, "The header of a server's binary message."),
}

_RAW_SIZE = {
    "if": {"properties": {"input": {"const": "rgb24"}}, "required": ["input"]},
    "then": {
        "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}},
        "required": ["width", "height"],
    },
    "else": {"properties": {"width": {"type": "null"}, "height": {"type": "null"}}},
}
"""``open`` has a size for raw pictures, and only for these."""


def build() -> dict[str, Any]:
    """Return the schema as JSON values. Use one of its ``$defs``, such as ``ClientMessage``."""
    types = [kind for kind, _ in _ROOTS.values()]
    found, parts = msgspec.json.schema_components([*types, Model], ref_template="#/$defs/{name}")
    parts["Ready"]["properties"]["model"] = {"$ref": "#/$defs/Model"}
    parts["Open"] |= _RAW_SIZE
    for part in parts.values():
        part["description"] = " ".join(part["description"].split())
        _allow_null(part)
    roots = {
        name: {"description": about} | schema
        for (name, (_, about)), schema in zip(_ROOTS.items(), found, strict=False)
        if name not in parts
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mastream.v1: messages on a stream socket",
        "description": "Generated from the package protocol; its README.md says what they mean.",
        "$defs": roots | dict(sorted(parts.items())),
    }


def main() -> None:
    PATH.write_text(json.dumps(build(), indent=1) + "\n")


def _allow_null(part: dict[str, Any]) -> None:
    """Let every field that may be absent be null as well."""
    required = {"type", *part.get("required", ())}
    for name, schema in part.get("properties", {}).items():
        if name in required or {"type": "null"} in schema.get("anyOf", ()):
            continue
        default = {"default": schema.pop("default")} if "default" in schema else {}
        part["properties"][name] = {"anyOf": [schema, {"type": "null"}]} | default


if __name__ == "__main__":
    main()
