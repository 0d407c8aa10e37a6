"""What is fuzzed: each parser of foreign bytes, what it may raise, and inputs to begin with."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from starlette.exceptions import HTTPException

from protocol import ProtocolError, decode_mask, encode_mask
from protocol.headers import unpack_frame, unpack_mask
from protocol.messages import parse_client, parse_server
from server.dialling.proxied_request import read_request
from server.dialling.rtsp_framing import RtspFraming
from server.errors import MastreamError
from server.security.addresses import address_rules, check_host, host_and_port
from server.security.sealing import without_secrets
from server.sources.pictures.jpeg_markers import extent, has_exif
from server.sources.pictures.picture_header import read_header
from server.sources.probing import VideoLimits
from server.sources.sandbox.probe_process import Prober
from server.web.videos.artefact_file import wanted_parts
from server.web.videos.multipart import body_of
from server.web.videos.tus import metadata

CORPUS = Path(__file__).parent / "corpus"
VECTORS = json.loads((Path(__file__).parents[2] / "protocol" / "vectors.json").read_text())


@dataclass(frozen=True)
class Target:
    """``run`` may raise ``errors``, with a sentence, and nothing else. ``share`` of the cases are
    its: less if each takes long."""

    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    share: float = 1.0


def _mask(encoding: str) -> Target:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3

    def run(data: bytes) -> None:
        assert decode_mask(data, encoding, 4, 3).shape == (3, 4)

    return Target(run, (ProtocolError,), (encode_mask(labels, encoding),))


def _picture(data: bytes) -> None:
    header = read_header(data)
    assert header.height > 0 and header.width > 0
    if header.encoding == "jpeg":
        assert extent(data, header.frame).end <= len(data)
        has_exif(data, header.frame)


def _range(data: bytes) -> None:
    parts = wanted_parts(data.decode("latin-1"), 1000, 16)
    ends = [0, *(end for _, end in parts)]
    assert all(end <= first < last <= 1000 for end, (first, last) in zip(ends, parts, strict=False))


def _multipart(data: bytes) -> None:
    kind, _, content = data.partition(b"\n\n")
    body, begin, chance = body_of(kind.decode("latin-1")), 0, random.Random(len(data))
    file = 0
    while begin < len(content):
        end = begin + chance.choice((1, 7, 100, 5000))
        file += len(body.feed(content[begin:end]))
        begin = end
    body.finish()
    assert file <= len(content)


def _address(data: bytes) -> None:
    url = data.decode("utf-8", "replace")
    host, port = host_and_port(url)
    assert host and 0 <= port < 2**16
    assert "@" not in without_secrets(url).partition("//")[2].partition("/")[0]
    check_host(host, address_rules(None, ("*.example",), is_local=False))


class _Containers:
    """Opens each input as an upload, in the child process with its limits."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "upload"
        self._prober = Prober(2**30, 10.0)
        self.close = self._prober.close

    def __call__(self, data: bytes) -> None:
        self._path.write_bytes(data)
        assert self._prober(self._path, VideoLimits()).height > 0


def _texts(*groups: str) -> tuple[bytes, ...]:
    return tuple(case["text"].encode() for group in groups for case in VECTORS[group])


def _pictures() -> tuple[bytes, ...]:
    picture = np.zeros((9, 16, 3), np.uint8)
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    made = [cv2.imencode(f".{kind}", picture)[1].tobytes() for kind in ("jpg", "png", "webp")]
    return (*made, cv2.imencode(".jpg", picture, progressive)[1].tobytes())


def _form() -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\nvideo\r\n'
    field = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nvalue\r\n'
    return b"multipart/form-data; boundary=x\n\n" + field + part + b"--x--\r\n"


def targets(stack: ExitStack) -> dict[str, Target]:
    """Return every target by its name; what they hold ends with ``stack``."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    containers = _Containers(folder)
    stack.callback(containers.close)
    videos = tuple(path.read_bytes() for path in sorted((CORPUS / "container").iterdir()))
    wire, ours, http = (ProtocolError,), (MastreamError,), (HTTPException, MastreamError)
    frames = tuple(bytes.fromhex(case["hex"]) for case in VECTORS["frames"])
    masks = tuple(bytes.fromhex(case["hex"]) for case in VECTORS["mask_messages"])
    rtsp = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0$\x00\x00\x0812345678"
    return {
        "client message": Target(parse_client, wire, _texts("text", "read_text")),
        "server message": Target(parse_server, wire, _texts("text", "read_text")),
        "frame": Target(lambda data: unpack_frame(data, 2**16), wire, frames),
        "mask message": Target(lambda data: unpack_mask(data, 2**16), wire, masks),
        "raw mask": _mask("raw"),
        "rle mask": _mask("rle"),
        "png mask": _mask("png"),
        "picture": Target(_picture, ours, _pictures()),
        "range": Target(_range, http, (b"bytes=0-9,20-,-5", b"bytes=0-0", b"bytes=-1")),
        "multipart": Target(_multipart, ours, (_form(), b"video/mp4\n\nbytes")),
        "tus metadata": Target(
            lambda data: metadata(data.decode("latin-1")),
            ours,
            (b"filename YS5tcDQ=,key eA==,flag",),
        ),
        "address": Target(
            _address, ours, (b"rtsp://user:pass@cam.example:554/a?b#c", b"http://[::1]:80/", b"a:b")
        ),
        "rtsp": Target(lambda data: RtspFraming().feed(data), ours, (rtsp,)),
        "proxied request": Target(
            read_request, ours, (b"GET http://h:80/a HTTP/1.1\r\nA: b\r\n\r\n",)
        ),
        "container": Target(containers, ours, videos, share=0.01),
    }
