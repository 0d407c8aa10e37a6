"""The golden vectors, both ways."""

import base64
import json
from typing import Any, get_args

import numpy as np
import pytest

from protocol import (
    ClientMessage,
    FrameHeader,
    ProtocolError,
    ServerMessage,
    decode_mask,
    encode_mask,
    pack,
    parse_client,
    parse_server,
    png,
    serialise,
    split_overlay,
    unpack,
    unpack_frame,
    unpack_mask,
    vectors,
)

VECTORS = json.loads(vectors.PATH.read_text())
PARSE = {"client": parse_client, "server": parse_server}


def each(group: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[group], ids=lambda vector: vector["name"])


def labels_of(vector: dict[str, Any]) -> np.ndarray:
    raw = base64.b64decode(vector["labels_base64"])
    return np.frombuffer(raw, np.uint8).reshape(vector["height"], vector["width"])


def test_the_file_is_what_the_module_writes() -> None:
    assert json.loads(json.dumps(vectors.build())) == VECTORS


@each("text")
def test_texts(vector: dict[str, Any]) -> None:
    message = PARSE[vector["from"]](vector["text"])
    assert message.to_dict() == vector["fields"]
    assert json.loads(serialise(message)) == json.loads(vector["text"])


@each("read_text")
def test_texts_that_are_read(vector: dict[str, Any]) -> None:
    message = PARSE[vector["from"]](vector["text"])
    assert json.loads(serialise(message))["type"] == vector["type"]
    assert message.to_dict() == vector["fields"]


@each("read_frames")
def test_frames_that_are_read(vector: dict[str, Any]) -> None:
    header, payload = unpack_frame(bytes.fromhex(vector["hex"]), 1000)
    assert (header.to_dict(), payload) == (vector["header"], b"x")


@each("frames")
def test_frames(vector: dict[str, Any]) -> None:
    data, payload = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["payload_hex"])
    assert unpack(data, 1000) == (vector["header"], payload)
    assert FrameHeader.from_dict(vector["header"]).to_dict() == vector["header"]
    assert data in (payload, pack(vector["header"], payload))


@each("mask_messages")
def test_mask_messages(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    header, payload = unpack_mask(data, 10**6)
    assert header.to_dict() == vector["header"]
    parts = bytes.fromhex(vector["mask_hex"]), bytes.fromhex(vector["overlay_hex"])
    assert split_overlay(header, payload) == parts
    assert pack(header, payload) == data


@each("masks")
def test_masks(vector: dict[str, Any]) -> None:
    labels, size = labels_of(vector), (vector["width"], vector["height"])
    palette = np.frombuffer(base64.b64decode(vector["palette_base64"]), np.uint8).reshape(-1, 3)
    stored = base64.b64decode(vector["png_base64"])
    runs = json.dumps(vector["rle"]).encode()
    assert png.encode(labels, palette, level=0) == stored
    assert (decode_mask(stored, "png", *size) == labels).all()
    assert json.loads(encode_mask(labels, "rle")) == vector["rle"]
    assert (decode_mask(runs, "rle", *size) == labels).all()


@each("refused_text")
def test_refused_texts(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        PARSE[vector["from"]](vector["text"])
    assert (caught.value.close, str(caught.value)) == (vector["close"], vector["says"])


@each("refused_frames")
def test_refused_frames(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack_frame(bytes.fromhex(vector["hex"]), vector["max_message_bytes"])
    assert (caught.value.close, str(caught.value)) == (vector["close"], vector["says"])


@each("refused_mask_messages")
def test_refused_mask_messages(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack_mask(bytes.fromhex(vector["hex"]), 1000)
    assert str(caught.value) == vector["says"]


@each("refused_masks")
def test_refused_masks(vector: dict[str, Any]) -> None:
    data = base64.b64decode(vector["base64"])
    with pytest.raises(ProtocolError):
        decode_mask(data, vector["encoding"], vector["width"], vector["height"])


def test_each_message_has_a_good_and_a_refused_case() -> None:
    for sender, union in (("client", ClientMessage), ("server", ServerMessage)):
        names = {kind.__struct_config__.tag for kind in get_args(union)}
        good = {json.loads(one["text"])["type"] for one in VECTORS["text"] if one["from"] == sender}
        assert good == names
    refused = " ".join(one["text"] for one in VECTORS["refused_text"])
    for name in ("open", "reset", "end", "ping", "pong", "dropped", "error", "going_away", "ready"):
        assert f'"type":"{name}"' in refused
