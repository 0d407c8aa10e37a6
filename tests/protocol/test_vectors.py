"""The golden vectors, both ways."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from protocol import (
    FrameHeader,
    MaskHeader,
    ProtocolError,
    decode_mask,
    encode_mask,
    pack,
    parse_client,
    parse_server,
    png,
    serialise,
    split_overlay,
    unpack,
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


@each("frames")
def test_frames(vector: dict[str, Any]) -> None:
    data, payload = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["payload_hex"])
    assert unpack(data, 1000) == (vector["header"], payload)
    assert FrameHeader.from_dict(vector["header"]).to_dict() == vector["header"]
    assert data in (payload, pack(vector["header"], payload))


@each("mask_messages")
def test_mask_messages(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    given, payload = unpack(data, 10**6)
    header = MaskHeader.from_dict(given)
    parts = bytes.fromhex(vector["mask_hex"]), bytes.fromhex(vector["overlay_hex"])
    assert split_overlay(header, payload) == parts
    assert pack(header.to_dict(), payload) == data


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
    assert caught.value.close == vector["close"]


@each("refused_frames")
def test_refused_frames(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        FrameHeader.from_dict(
            unpack(bytes.fromhex(vector["hex"]), vector["max_message_bytes"]).header
        )
    assert caught.value.close == vector["close"]
