"""Golden vectors: the wire as data, for the tests of every language.

``python -m protocol.vectors`` writes ``vectors.json`` again, byte for byte the same. Texts are
compared as parsed JSON, since languages write numbers differently; all else byte by byte. PNGs
are stored uncompressed here, so that they do not depend on a version of zlib.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol import png, rle
from protocol.framing import MAX_HEADER_BYTES, pack
from protocol.headers import FrameHeader, MaskHeader, MaskMemory, StageTimes
from protocol.messages import ClientMessage, End, Ping, Pong, Reset, ServerMessage, serialise
from protocol.opening import Limits, Open, Ready
from protocol.results import Dropped, Failure, GoingAway
from protocol.words import (
    DropCause,
    DropPolicy,
    InputEncoding,
    MaskEncoding,
    MaskSize,
    MemoryState,
)

PATH = Path(__file__).with_name("vectors.json")

_MODEL = {
    "name": "camvid",
    "classes": [
        {"name": "sky", "colour": [128, 128, 128]},
        {"name": "road", "colour": [128, 64, 128]},
    ],
    "height": 352,
    "width": 480,
    "memory_horizon": 2,
}

_CLIENT: dict[str, ClientMessage] = {
    "open with defaults": Open(),
    "open with everything": Open(
        InputEncoding.RGB24,
        480,
        352,
        MaskEncoding.RLE,
        MaskSize.MODEL,
        True,
        DropPolicy.EVERY,
        62.5,
        "token",
    ),
    "reset": Reset(),
    "end": End(),
    "ping": Ping(),
    "pong": Pong(),
}

_SERVER: dict[str, ServerMessage] = {
    "ready": Ready("s1", _MODEL, Limits(2**25, 2**24), 8, None, MemoryState.NEW),
    "ready, taken up again": Ready("s1", _MODEL, Limits(2**25), 8, "t", MemoryState.INTACT),
    "dropped": Dropped((3, 4), DropCause.NEWER),
    "error of one frame": Failure("undecodable", "frame 7 is not a picture", 422, "", 7, False),
    "error that ends": Failure("no_capacity", "the server is full", 503, "", None, True),
    "going away": GoingAway(1500),
    "end": End(),
    "reset": Reset(),
    "ping": Ping(),
    "pong": Pong(),
}

_REFUSED_TEXT = {
    "not JSON": ("client", "hello", 4400),
    "not an object": ("client", "[1]", 4400),
    "no type": ("client", "{}", 4400),
    "unknown type": ("client", '{"type":"opne"}', 4400),
    "a server's message from a client": ("client", '{"type":"ready"}', 4400),
    "unknown field": ("client", '{"type":"open","polcy":"every"}', 4400),
    "unknown word": ("client", '{"type":"open","policy":"all"}', 4400),
    "bool for a number": ("client", '{"type":"open","budget_ms":true}', 4400),
    "NaN": ("client", '{"type":"open","budget_ms":NaN}', 4400),
    "raw without a size": ("client", '{"type":"open","input":"rgb24"}', 4400),
    "a size without raw": ("client", '{"type":"open","width":4,"height":4}', 4400),
    "no cause": ("server", '{"type":"dropped","seqs":[1]}', 4400),
    "seqs of texts": ("server", '{"type":"dropped","seqs":["1"],"cause":"newer"}', 4400),
    "no classes": (
        "server",
        '{"type":"ready","session":"s","model":{},"limits":{"max_message_bytes":1},"window":1}',
        4400,
    ),
}

_REFUSED_FRAMES: dict[str, dict[str, Any]] = {
    "seq is a bool": {"seq": True},
    "seq is a float": {"seq": 1.0},
    "seq is negative": {"seq": -1},
    "seq is huge": {"seq": 2**53},
    "pts is a text": {"pts": "0"},
    "reset is a number": {"reset": 1},
    "unknown field": {"sqe": 1},
}


def build() -> dict[str, Any]:
    """All vectors, as JSON values."""
    return {
        "about": __doc__,
        "text": [*_texts("client", _CLIENT), *_texts("server", _SERVER)],
        "frames": _frames(),
        "masks": [_mask(name, labels) for name, labels in _pictures().items()],
        "mask_messages": _mask_messages(),
        "refused_text": [
            {"name": name, "from": sender, "text": text, "close": close}
            for name, (sender, text, close) in _REFUSED_TEXT.items()
        ],
        "refused_frames": [*_refused_frames(), *_refused_framing()],
    }


def main() -> None:
    PATH.write_text(json.dumps(build(), indent=1) + "\n")


def _texts(sender: str, messages: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "from": sender, "text": serialise(one), "fields": one.to_dict()}
        for name, one in messages.items()
    ]


def _frames() -> list[dict[str, Any]]:
    headers = {
        "empty header": FrameHeader(),
        "everything": FrameHeader(12, 0.48, True, True),
        "largest seq": FrameHeader(2**53 - 1),
    }
    jpeg = b"\xff\xd8\xff\xe0 a picture"
    framed = [
        (name, header.to_dict(), pack(header.to_dict(), jpeg), jpeg)
        for name, header in headers.items()
    ]
    bare = {"JPEG": jpeg, "PNG": png.SIGNATURE + b"x", "WebP": b"RIFF\x04\0\0\0WEBPVP8 "}
    framed += [(f"bare {name}", {}, data, data) for name, data in bare.items()]
    return [
        {"name": name, "header": header, "hex": data.hex(), "payload_hex": payload.hex()}
        for name, header, data, payload in framed
    ]


def _pictures() -> dict[str, NDArray[np.uint8]]:
    rows, columns = np.indices((7, 9))
    return {
        "one pixel": np.zeros((1, 1), np.uint8),
        "one class": np.full((3, 5), 2, np.uint8),
        "two halves": np.repeat(np.array([[0, 1]], np.uint8), 4, axis=0),
        "diagonals": ((rows + 2 * columns) // 5 % 4).astype(np.uint8),
        "all labels": np.arange(256, dtype=np.uint8).reshape(16, 16),
        "long runs": np.repeat(np.array([3, 0, 3], np.uint8), (1, 2000, 47))[None].copy(),
    }


def _mask(name: str, labels: NDArray[np.uint8]) -> dict[str, Any]:
    palette = np.arange(768).reshape(256, 3).astype(np.uint8)
    height, width = labels.shape
    return {
        "name": name,
        "width": width,
        "height": height,
        "palette_base64": _base64(palette.tobytes()),
        "labels_base64": _base64(labels.tobytes()),
        "png_base64": _base64(png.encode(labels, palette, level=0)),
        "rle": json.loads(rle.encode(labels)),
    }


def _mask_messages() -> list[dict[str, Any]]:
    labels = _pictures()["two halves"].tobytes()
    bare = MaskHeader(seq=0, encoding=MaskEncoding.NONE, width=2, height=4)
    full = MaskHeader(
        seq=7,
        encoding=MaskEncoding.RAW,
        width=2,
        height=4,
        pts=0.28,
        memory=MaskMemory(2, "client"),
        ms=StageTimes(0.5, 1.5, 2.5, 30.25, 0.75),
        batch=4,
        areas={"sky": 0.5, "road": 0.5},
        overlay=3,
    )
    return [
        {
            "name": name,
            "header": header.to_dict(),
            "hex": pack(header.to_dict(), payload).hex(),
            "mask_hex": mask.hex(),
            "overlay_hex": overlay.hex(),
        }
        for name, header, mask, overlay in (
            ("areas alone", bare, b"", b""),
            ("raw with an overlay", full, labels, b"\xff\xd8\xff"),
        )
        for payload in (mask + overlay,)
    ]


def _refused_frames() -> list[dict[str, Any]]:
    return [
        {"name": name, "hex": pack(header, b"x").hex(), "max_message_bytes": 1000, "close": 4400}
        for name, header in _REFUSED_FRAMES.items()
    ]


def _refused_framing() -> list[dict[str, Any]]:
    broken = {
        "empty": (b"", 4400),
        "three bytes": (b"\0\0\0", 4400),
        "header cut off": (b"\x05\0\0\0{}", 4400),
        "header is an array": (b"\x02\0\0\0[]", 4400),
        "header is not UTF-8": (b"\x02\0\0\0\xff\xfe", 1007),
        "header over its limit": ((MAX_HEADER_BYTES + 1).to_bytes(4, "little"), 1009),
        "message over its limit": (b"\xff\xd8\xff" + bytes(998), 1009),
    }
    return [
        {"name": name, "hex": data.hex(), "max_message_bytes": 1000, "close": close}
        for name, (data, close) in broken.items()
    ]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
