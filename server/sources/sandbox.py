"""Decoding a file in a separate process, which can access nothing but the file's bytes.

A fault in a decoder may let a video run its own code. In the child such code can compute and
answer, but cannot open files, connect, start programs or take more memory than it was given.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.errors import SourceFault
from server.frame import Frame
from server.sources.decoding import Counts, Reading
from server.sources.frame_slots import FrameSlots
from server.sources.open_file import is_readable, opened
from server.sources.rights import child_environment
from server.sources.sandbox_messages import (
    NONSENSE,
    Order,
    error_of,
    frame_of,
    reading_to_dict,
    shapes_of,
    take_counts,
)

CHILD = "server.sources.sandbox_child"

SLOTS = 2
"""Pictures that may wait in shared memory; the decoder waits if all are full."""

LINE_BYTES = 2**16

LOOK_UP = 0.1
"""Seconds between two checks whether the reader has left."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Limits of each child: bytes of ``memory`` beyond the interpreter's own, and ``seconds``
    without a sign of life. ``module`` runs in it."""

    memory: int = 2**31
    seconds: float = 60.0
    module: str = CHILD


def sandboxed_frames(
    sandbox: Sandbox,
    reading: Reading,
    counts: Counts | None = None,
    left: Callable[[], bool] = lambda: False,
) -> Generator[Frame, None, None]:
    """Yield the frames of :func:`read_frames` for a file, and raise the same errors.

    Also raises SourceFault if the child dies, hangs or answers nonsense. The child has ended when
    the generator is closed.
    """
    assert isinstance(reading.location, Path) and reading.hardware is None
    with ExitStack() as stack:
        child = _Child(sandbox, reading, stack)
        kept = counts or Counts()
        while (answer := child.answer(left)) is not None:
            try:
                take_counts(answer["counts"], kept)
                if "error" in answer:
                    error = error_of(answer)
                elif "slot" not in answer:
                    return
                else:
                    pictures = child.slots.read(answer["slot"], shapes_of(answer, reading))
                    frame, error = frame_of(answer, pictures), None
            except NONSENSE:
                raise _nonsense() from None
            if error is not None:
                raise error
            child.release(answer["slot"])
            yield frame


class _Child:
    """The parent's side of one child, which ends with ``stack``."""

    def __init__(self, sandbox: Sandbox, reading: Reading, stack: ExitStack) -> None:
        self._seconds = sandbox.seconds
        self._lines = b""
        assert isinstance(reading.location, Path)
        video = opened(reading.location)
        stack.callback(os.close, video)
        room = 3 * (reading.height * reading.width + reading.max_pixels * reading.keep_original)
        self.slots = FrameSlots.create(SLOTS, room)
        stack.callback(self.slots.close)
        self._socket, theirs = socket.socketpair()
        stack.callback(self._socket.close)
        with theirs:
            self._process = _start(sandbox.module, theirs, (video, self.slots.descriptor))
        stack.callback(self._end)
        order = Order(
            video=video,
            name=f"file:{reading.location}",
            slots=self.slots.descriptor,
            count=SLOTS,
            room=room,
            memory=sandbox.memory,
            parent=os.getpid(),
            reading=reading_to_dict(reading),
        )
        with suppress(OSError):  # an early death is noticed when the first answer is read
            self._socket.sendall(json.dumps(order.to_dict()).encode() + b"\n")

    def answer(self, left: Callable[[], bool]) -> dict[str, Any] | None:
        """Return the next answer, None once the reader has left."""
        silent_since = time.monotonic()
        while True:
            line, newline, rest = self._lines.partition(b"\n")
            if newline:
                self._lines = rest
                answer = _parsed(line)
                if "alive" not in answer:
                    return answer
                silent_since = time.monotonic()
            elif left():
                return None
            elif time.monotonic() - silent_since > self._seconds:
                raise SourceFault(
                    f"The video's decoder gave no sign of life for {self._seconds:g} s: check the "
                    "file."
                )
            else:
                self._receive()

    def release(self, slot: int) -> None:
        """Give a slot back to the child; one that never reads them answers nonsense."""
        try:
            self._socket.send(bytes((slot,)), socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise _nonsense() from None
        except OSError:
            pass  # as above

    def _receive(self) -> None:
        if not is_readable(self._socket.fileno(), LOOK_UP):
            return
        try:
            came = self._socket.recv(LINE_BYTES)
        except OSError:
            came = b""
        if not came:
            raise self._death()
        self._lines += came
        if len(self._lines) > LINE_BYTES + len(came):
            raise _nonsense()

    def _death(self) -> SourceFault:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._seconds)
        if self._process.returncode == -signal.SIGSYS:
            return SourceFault(
                "The video's decoder was stopped since it tried what decoding never needs: the "
                "file is damaged or malicious."
            )
        return SourceFault(
            "The video's decoder died, perhaps of too little memory: check the file, or raise "
            "MASTREAM_DECODE__SANDBOX_BYTES."
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def _start(
    module: str, theirs: socket.socket, descriptors: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        pass_fds=descriptors,
        env=child_environment(),
        start_new_session=True,
    )


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except NONSENSE:
        raise _nonsense() from None
    if not isinstance(answer, dict):
        raise _nonsense()
    return answer


def _nonsense() -> SourceFault:
    return SourceFault(
        "The video's decoder gave an answer that makes no sense: the file is damaged or malicious."
    )
