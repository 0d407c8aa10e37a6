"""The sandboxed decoder: takes an order, gives up all rights, decodes.

    python -m server.sources.sandbox.child

Its standard input is a socket. It receives one order in JSON, then one byte for each slot that is
free again. It sends one line of JSON for each frame, and one at the end. If the parent dies, so
does this process.

A file is open already. FFmpeg must connect to a camera first: another thread waits until the parent
reports that the connection exists, and then gives up the rights of all threads. The parent passes
on none of the camera's bytes before that.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from threading import Lock, Thread
from typing import Any

import cv2

from server.errors import BadVideo, MastreamError, SourceFault
from server.frame import Frame
from server.sources.decoding import Counts, Reading, read_frames
from server.sources.open_file import OpenFile
from server.sources.sandbox.frame_slots import FrameSlots
from server.sources.sandbox.messages import (
    SEAL,
    Order,
    counts_to_list,
    error_to_dict,
    frame_to_dict,
    pictures_of,
    reading_of,
)
from server.sources.sandbox.rights import die_with, give_up_rights, import_all, limit_memory

ALIVE_SECONDS = 1.0
"""Seconds between two signs of life while no frame is ready."""

Frames = Callable[[Reading, Counts, Callable[[], bool]], Iterator[Frame]]
"""As :func:`read_frames`."""


class Parent:
    """The child's side of the socket. Mutable state: the free slots, the last sign of life, and
    what was decoded so far."""

    def __init__(self, connection: socket.socket, slots: FrameSlots) -> None:
        self.counts = Counts()
        self._connection = connection
        self._slots = slots
        self._free = deque(range(slots.count))
        self._last_sent = time.monotonic()
        self._lock = Lock()

    def alive(self) -> None:
        """Give a sign of life, if the last one is some time ago."""
        if time.monotonic() - self._last_sent > ALIVE_SECONDS:
            self.send({"alive": True, "counts": counts_to_list(self.counts)})

    def left(self) -> bool:
        """Give a sign of life; the parent kills this process when it leaves."""
        self.alive()
        return False

    def seal(self) -> None:
        """Give up the rights of all threads when the parent says so, and report it. If that fails,
        the parent never passes anything on."""
        if self._connection.recv(1) != SEAL:
            _ended()
        give_up_rights(connected=True)
        self.send({"sealed": True})

    def frame(self, frame: Frame) -> None:
        """Pass a frame on, once a slot is free for it."""
        if not self._free:
            self._free.extend(self._connection.recv(self._slots.count) or _ended())
        slot = self._free.popleft()
        self._slots.write(slot, pictures_of(frame))
        self.send(frame_to_dict(frame, slot, self.counts))

    def send(self, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._connection.sendall(json.dumps(answer).encode() + b"\n")
            self._last_sent = time.monotonic()


def run(frames: Frames = read_frames) -> None:
    """Carry out the order that arrives on the standard input; ``frames`` reads the video."""
    connection = socket.socket(fileno=sys.stdin.fileno())
    order = Order(**json.loads(_line(connection)))
    die_with(order.parent)
    import_all()
    cv2.setNumThreads(1)
    parent = Parent(connection, FrameSlots(order.slots, order.count, order.room))
    reading = reading_of(order.reading, _location(order, parent))
    limit_memory(order.memory)
    if order.video is None:
        Thread(target=parent.seal, daemon=True).start()
    else:
        give_up_rights()
    last = _decode(parent, reading, frames)
    parent.send({**last, "counts": counts_to_list(parent.counts)})


def _location(order: Order, parent: Parent) -> OpenFile | str:
    """Return the open file or the URL."""
    if order.video is not None:
        return OpenFile(order.video, order.name, parent.alive)
    if order.proxy is not None:
        os.environ["http_proxy"] = order.proxy  # FFmpeg reads it
    return order.name


def _decode(parent: Parent, reading: Reading, frames: Frames) -> dict[str, Any]:
    """Pass all frames on; return the error with which they end, if any."""
    is_camera = isinstance(reading.location, str)
    try:
        for frame in frames(reading, parent.counts, parent.left):
            parent.frame(frame)
    except MastreamError as error:
        return error_to_dict(error)
    except MemoryError:
        return error_to_dict(_camera_too_large() if is_camera else _video_too_large())
    except Exception as error:  # a traceback would read files
        name, cause = type(error).__name__, "camera" if is_camera else "file"
        return error_to_dict(SourceFault(f"Decoding the video failed ({name}): check the {cause}."))
    return {}


def _video_too_large() -> BadVideo:
    return BadVideo(
        "The video needs more memory to be decoded than MASTREAM_DECODE__SANDBOX_BYTES allows: "
        "scale the video, or raise the limit."
    )


def _camera_too_large() -> SourceFault:
    return SourceFault(
        "The camera's pictures need more memory to be decoded than MASTREAM_DECODE__SANDBOX_BYTES "
        "allows: let it send smaller ones, or raise the limit."
    )


def _line(connection: socket.socket) -> bytes:
    came = b""
    while not came.endswith(b"\n"):
        came += connection.recv(2**16) or _ended()
    return came


def _ended() -> bytes:
    """End this process: the parent is gone."""
    os._exit(0)


if __name__ == "__main__":
    run()
    os._exit(0)
