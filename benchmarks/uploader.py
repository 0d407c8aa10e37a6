"""A client that sends the bodies of uploads over many connections as fast as a server takes them.

    python -m benchmarks.uploader ws://127.0.0.1:8000 --how form|part|refused [--connections 20]

``form`` posts a form with a file, ``part`` sends a resumable upload by PATCH, and ``refused`` sends
bodies to a route that answers before it has read them. No file is a video: each is refused and
removed once it is complete, and another follows. It costs little itself, as ``benchmarks.greedy``.
"""

from __future__ import annotations

import os
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from benchmarks.greedy import ADDRESS, GENTLE

CHUNK = os.urandom(2**20)
FILE_BYTES = 64 * len(CHUNK)
BOUNDARY = "of-the-uploader"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


def form(connection: HTTPConnection) -> None:
    """Upload one file as a form."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(HEAD) + FILE_BYTES + len(TAIL)),
    }
    connection.request("POST", "/v1/videos", _form(), headers)
    connection.getresponse().read()


def part(connection: HTTPConnection) -> None:
    """Upload one file in one part."""
    tus = {"Tus-Resumable": "1.0.0"}
    connection.request("POST", "/v1/uploads", headers={**tus, "Upload-Length": str(FILE_BYTES)})
    made = connection.getresponse()
    made.read()
    headers = {
        **tus,
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(FILE_BYTES),
    }
    connection.request("PATCH", made.headers["Location"], _file(), headers)
    connection.getresponse().read()


def refused(connection: HTTPConnection) -> None:
    """Send a body to a route that reads none."""
    connection.request("POST", "/v1/none", _file(), {"Content-Length": str(FILE_BYTES)})
    connection.getresponse().read()


HOW = {"form": form, "part": part, "refused": refused}


def flood(host: str, port: int, send: Callable[[HTTPConnection], None]) -> None:
    """Send one body after the other, forever."""
    while True:
        connection = HTTPConnection(host, port, source_address=(ADDRESS, 0))
        with suppress(OSError, HTTPException):
            while True:
                send(connection)
        connection.close()


def _form() -> Iterator[bytes]:
    yield HEAD
    yield from _file()
    yield TAIL


def _file() -> Iterator[bytes]:
    for _ in range(FILE_BYTES // len(CHUNK)):
        yield CHUNK


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.uploader", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--how", choices=HOW, default="form")
    parser.add_argument("--connections", type=int, default=20)
    flags = parser.parse_args()
    with suppress(OSError):
        os.nice(GENTLE)
    place = urlsplit(flags.url)
    given = (place.hostname, place.port, HOW[flags.how])
    for _ in range(flags.connections):
        threading.Thread(target=flood, args=given).start()
    print("begun", flush=True)


if __name__ == "__main__":
    main()
