"""The JSON Schema accepts and refuses the same vectors as the parsers."""

import json
from typing import Any

import jsonschema
import pytest

from protocol import schema, unpack, vectors

SCHEMA = json.loads(schema.PATH.read_text())
VECTORS = json.loads(vectors.PATH.read_text())
ROOTS = {"client": "ClientMessage", "server": "ServerMessage"}

UNSAYABLE = {
    "not JSON",
    "NaN",
    "half of a surrogate pair",
    "more than 65536 bytes",
    "seq is a float",
}
"""What no schema can refuse: bytes that are not one JSON value, and 1.0 for a whole number."""


def fits(root: str, value: Any) -> bool:
    validator = jsonschema.Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{root}"})
    return bool(validator.is_valid(value))


def each(*groups: str) -> Any:
    cases = [one for group in groups for one in VECTORS[group] if one["name"] not in UNSAYABLE]
    return pytest.mark.parametrize("vector", cases, ids=lambda vector: vector["name"])


def test_the_file_is_what_the_module_writes() -> None:
    assert schema.PATH.read_text() == json.dumps(schema.build(), indent=1) + "\n"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@each("text")
def test_messages_fit(vector: dict[str, Any]) -> None:
    assert fits(ROOTS[vector["from"]], json.loads(vector["text"]))


@each("read_text")
def test_messages_that_are_read_fit(vector: dict[str, Any]) -> None:
    known = "end" not in vector["name"]  # what ``end`` holds is the same for both ends
    assert fits(ROOTS[vector["from"]], json.loads(vector["text"])) is known


@each("refused_text")
def test_refused_messages_do_not_fit(vector: dict[str, Any]) -> None:
    assert not fits(ROOTS[vector["from"]], json.loads(vector["text"]))


@each("frames", "read_frames")
def test_frames_fit(vector: dict[str, Any]) -> None:
    assert fits("FrameHeader", unpack(bytes.fromhex(vector["hex"]), 1000).header)


@pytest.mark.parametrize("vector", VECTORS["refused_frames"][:9], ids=lambda vector: vector["name"])
def test_refused_frames_do_not_fit(vector: dict[str, Any]) -> None:
    header = unpack(bytes.fromhex(vector["hex"]), 1000).header
    assert fits("FrameHeader", header) is (vector["name"] in UNSAYABLE)


@each("mask_messages")
def test_masks_fit(vector: dict[str, Any]) -> None:
    assert fits("MaskHeader", unpack(bytes.fromhex(vector["hex"]), 1000).header)


@each("refused_mask_messages")
def test_refused_masks_do_not_fit(vector: dict[str, Any]) -> None:
    assert not fits("MaskHeader", unpack(bytes.fromhex(vector["hex"]), 1000).header)
