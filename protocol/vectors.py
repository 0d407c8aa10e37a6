"""Golden vectors: the wire format as data, for tests in every language.

``python -m protocol.vectors`` regenerates ``vectors.json``, byte for byte the same. Compare texts
as parsed JSON, since languages write numbers differently, and everything else byte by byte. PNGs
are stored uncompressed here, so that they do not depend on a version of zlib.

Each case has a ``name``; ``cases`` lists them. The groups:
    text                    messages as both ends write them, with their fields
    read_text               messages that are also legal, with the fields that they are read as
    frames, read_frames     the same of a client's binary messages
    mask_messages           a server's binary messages, with the parts of their payload
    masks                   labels, and their bytes in each encoding
    refused_*               invalid input; ``close`` is the close code if a server refuses it,
                            ``says`` this server's sentence (other programs may use other words)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol import cases, png, rle
from protocol.errors import ProtocolError
from protocol.framing import MAX_HEADER_BYTES, pack
from protocol.headers import unpack_frame, unpack_mask
from protocol.messages import parse_client, parse_server, serialise

PATH = Path(__file__).with_name("vectors.json")

_PARSE = {"client": parse_client, "server": parse_server}


def build() -> dict[str, Any]:
    """Return all vectors as JSON values."""
    return {
        "about": __doc__,
        "text": [*_texts("client", cases.CLIENT), *_texts("server", cases.SERVER)],
        "read_text": [
            {"name": name, "from": sender, "text": text, "fields": read.to_dict()}
            | {"type": json.loads(serialise(read))["type"]}
            for name, (sender, text, read) in cases.READ_TEXT.items()
        ],
        "frames": _frames(),
        "read_frames": [
            {"name": name, "header": read.to_dict(), "hex": _framed(header, b"x").hex()}
            for name, (header, read) in cases.READ_FRAMES.items()
        ],
        "masks": [_mask(name, labels) for name, labels in _pictures().items()],
        "mask_messages": _mask_messages(),
        "refused_text": [_refused_text(name, *case) for name, case in cases.REFUSED_TEXT.items()],
        "refused_frames": [*_refused_frames(), *_refused_framing()],
        "refused_mask_messages": [
            {"name": name, "hex": data.hex(), "says": _says(unpack_mask, data, len(data))}
            for name, header in cases.REFUSED_MASKS.items()
            for data in (pack(header, b""),)
        ],
        "refused_masks": _refused_masks(),
    }


def main() -> None:
    PATH.write_text(json.dumps(build(), indent=1) + "\n")


def _texts(sender: str, messages: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "from": sender, "text": serialise(one), "fields": one.to_dict()}
        for name, one in messages.items()
    ]


def _frames() -> list[dict[str, Any]]:
    jpeg = b"\xff\xd8\xff\xe0 a picture"
    framed = [
        (name, header.to_dict(), pack(header, jpeg), jpeg) for name, header in cases.FRAMES.items()
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
    parts = dict.fromkeys(cases.MASKS, (b"", b""))
    parts["raw with an overlay"] = (labels, b"\xff\xd8\xff")
    return [
        {
            "name": name,
            "header": header.to_dict(),
            "hex": pack(header, b"".join(parts[name])).hex(),
            "mask_hex": parts[name][0].hex(),
            "overlay_hex": parts[name][1].hex(),
        }
        for name, header in cases.MASKS.items()
    ]


def _refused_text(name: str, sender: str, text: str, close: int) -> dict[str, Any]:
    says = _says(_PARSE[sender], text)
    return {"name": name, "from": sender, "text": text, "close": close, "says": says}


def _refused_frames() -> list[dict[str, Any]]:
    framed = {name: pack(header, b"x") for name, header in cases.REFUSED_FRAMES.items()}
    return [_refused_frame(name, data, 4400) for name, data in framed.items()]


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
    return [_refused_frame(name, data, close) for name, (data, close) in broken.items()]


def _refused_frame(name: str, data: bytes, close: int) -> dict[str, Any]:
    says = _says(unpack_frame, data, 1000)
    return {"name": name, "hex": data.hex(), "max_message_bytes": 1000, "close": close} | {
        "says": says
    }


def _refused_masks() -> list[dict[str, Any]]:
    """Return invalid masks of 3 x 2 pixels."""
    given = {
        "raw too short": ("raw", bytes(5)),
        "raw too long": ("raw", bytes(7)),
        "rle that covers too little": ("rle", b'{"0":"05"}'),
        "rle of two classes in one place": ("rle", b'{"0":"06","1":"06"}'),
        "rle of no class": ("rle", b"{}"),
        "rle of class 256": ("rle", b'{"256":"06"}'),
        "rle cut off": ("rle", b'{"0":"0V"}'),
        "png of another size": ("png", png.encode(np.zeros((3, 2), np.uint8), level=0)),
        "png cut off": ("png", png.encode(np.zeros((2, 3), np.uint8), level=0)[:-20]),
    }
    return [
        {"name": name, "encoding": encoding, "width": 3, "height": 2, "base64": _base64(data)}
        for name, (encoding, data) in given.items()
    ]


def _framed(header: bytes, payload: bytes) -> bytes:
    return len(header).to_bytes(4, "little") + header + payload


def _says(read: Callable[..., Any], *given: Any) -> str:
    """Return the sentence with which this is refused."""
    try:
        read(*given)
    except ProtocolError as error:
        return str(error)
    raise AssertionError("this is not refused")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
