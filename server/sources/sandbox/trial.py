"""Trying the sandbox before anything needs it: a short video is decoded in it, and read from a
connection if cameras will be.

A filter that does not fit the machine, such as one whose libraries make other calls, would
otherwise fail every video with the advice to check the file.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import av
import numpy as np
from av.video.frame import VideoFrame

from server.dialling.dial import Guard
from server.errors import Fault, MastreamError
from server.security.addresses import AddressRules
from server.sources.decoding import Reading
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames
from server.sources.sandbox.seccomp import check_machine

FRAMES = 4
SIDE = 64

CAMERA_SECONDS = 10.0

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"


def check_sandbox(sandbox: Sandbox) -> None:
    """Raise Fault if this machine supports no sandbox, or if no video can be decoded in it."""
    check_machine()
    descriptor = os.memfd_create("trial", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_video())
        file.flush()
        path = Path(f"/proc/self/fd/{descriptor}")
        _decode(sandbox, _reading(path), "A video", "MASTREAM_DECODE__SANDBOX")


def check_sandbox_of_cameras(sandbox: Sandbox) -> None:
    """Raise Fault if no camera can be read in the sandbox, where the filter is another one."""
    with _camera(_video()) as url:
        _decode(sandbox, _reading(url), "A camera", "MASTREAM_DECODE__SANDBOX_CAMERAS")


def _decode(sandbox: Sandbox, reading: Reading, what: str, setting: str) -> None:
    try:
        decoded = sum(1 for _ in sandboxed_frames(sandbox, reading))
    except MastreamError as error:
        raise _unfit(what, setting, str(error)) from error
    if decoded != FRAMES:
        raise _unfit(what, setting, f"{decoded} of {FRAMES} pictures were decoded.")


def _unfit(what: str, setting: str, why: str) -> Fault:
    return Fault(
        f"{what} cannot be decoded in a sandbox on this machine: set {setting} to false, and "
        f"report the machine and this reason. {why}"
    )


def _reading(location: Path | str) -> Reading:
    """Return how to read the video; a URL is one of loopback, which is trusted."""
    is_url = isinstance(location, str)
    return Reading(
        location=location,
        height=SIDE,
        width=SIDE,
        keep_original=True,
        start=None,
        max_pixels=2**20,
        timeout=CAMERA_SECONDS if is_url else None,
        threads=2,
        guard=Guard(AddressRules(home=True)) if is_url else None,
    )


@contextmanager
def _camera(video: bytes) -> Iterator[str]:
    """Yield the URL of a camera that plays the video once, to one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        playing = Thread(target=_play, args=(listener, video), name="trial", daemon=True)
        playing.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/trial"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            playing.join(CAMERA_SECONDS)


def _play(listener: socket.socket, video: bytes) -> None:
    with suppress(OSError):
        client, _ = listener.accept()
        with client:
            client.settimeout(CAMERA_SECONDS)
            client.recv(2**16)
            client.sendall(_HEAD % len(video) + video)


def _video() -> bytes:
    """Return a video that makes decoders use several threads."""
    made = io.BytesIO()
    with av.open(made, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            grey = np.full((SIDE, SIDE, 3), 60 * number, np.uint8)
            container.mux(stream.encode(VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode(None))
    return made.getvalue()
