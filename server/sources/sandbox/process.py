"""The parent's side of a sandboxed decoder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from server.errors import SourceFault
from server.sources.decoding import Counts, Reading
from server.sources.open_file import is_readable
from server.sources.sandbox.frame_slots import FrameSlots
from server.sources.sandbox.messages import (
    NONSENSE,
    SEAL,
    Input,
    Order,
    reading_to_dict,
    take_counts,
)
from server.sources.sandbox.rights import child_environment
from server.sources.sandbox.seal import Seal

CHILD = "server.sources.sandbox.child"

SLOTS = 2
"""Slots for pictures in shared memory; the decoder waits while all are full."""

LINE_BYTES = 2**16

SIGNS = 10.0
"""By how many its signs of life may exceed its seconds: it sends less than one per second, and
reading them takes time from everything else in the server."""

LOOK_UP = 0.1
"""Seconds between two checks of whether the reader has left."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Limits of each child: bytes of ``memory`` beyond the interpreter's own, and ``seconds``
    without a sign of life. ``module`` runs in it."""

    memory: int = 2**31
    seconds: float = 60.0
    module: str = CHILD


class Decoder:
    """One child that decodes ``source``, which ends with ``stack``. ``counts`` are updated even
    while no picture arrives; ``seal`` belongs to a camera's connection."""

    def __init__(
        self,
        sandbox: Sandbox,
        reading: Reading,
        source: Input,
        counts: Counts,
        stack: ExitStack,
        seal: Seal | None = None,
    ) -> None:
        # A camera may be silent for as long as its own limit allows.
        self._seconds = sandbox.seconds + (reading.timeout or 0.0)
        self._counts = counts
        self._seal = seal
        self._lines = b""
        self._began, self._signs = time.monotonic(), 0
        self._noun, self._cause = ("video", "file") if seal is None else ("camera", "camera")
        room = 3 * (reading.height * reading.width + reading.max_pixels * reading.keep_original)
        self.slots = FrameSlots.create(SLOTS, room)
        stack.callback(self.slots.close)
        self._socket, theirs = socket.socketpair()
        stack.callback(self._socket.close)
        passed = [self.slots.descriptor, *([] if source.video is None else [source.video])]
        with theirs:
            self._process = _start(sandbox.module, theirs, passed)
        stack.callback(self._end)
        if seal is not None:
            seal.ask = self._ask_to_seal
        order = Order(
            **source.to_dict(),
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
                if not self._is_sign(answer):
                    return answer
                silent_since = time.monotonic()
            elif left():
                return None
            elif time.monotonic() - silent_since > self._seconds:
                raise SourceFault(
                    f"The {self._noun}'s decoder gave no sign of life for {self._seconds:g} s: "
                    f"check the {self._cause}."
                )
            else:
                self._receive()

    def release(self, slot: int) -> None:
        """Give a slot back to the child; one that never reads them answers nonsense."""
        try:
            self._socket.send(bytes((slot,)), socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise nonsense() from None
        except OSError:
            pass  # noticed when the next answer is read

    def _is_sign(self, answer: dict[str, Any]) -> bool:
        """Return whether an answer only reports the child's state; record it if so."""
        seal = self._seal if "sealed" in answer else None
        if seal is None and "alive" not in answer:
            return False
        self._signs += 1
        if self._signs > SIGNS + time.monotonic() - self._began:
            raise nonsense()
        if seal is not None:
            seal.sealed()
        if "counts" in answer:
            try:
                take_counts(answer["counts"], self._counts)
            except NONSENSE:
                raise nonsense() from None
        return True

    def _ask_to_seal(self) -> None:
        self._socket.sendall(SEAL)

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
            raise nonsense()

    def _death(self) -> SourceFault:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._seconds)
        if self._process.returncode == -signal.SIGSYS:
            return SourceFault(
                f"The {self._noun}'s decoder was stopped: it made a system call that decoding "
                "never needs, so the video is damaged or malicious."
            )
        return SourceFault(
            f"The {self._noun}'s decoder died, perhaps because it lacked memory: check the "
            f"{self._cause}, or raise MASTREAM_DECODE__SANDBOX_BYTES."
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def nonsense() -> SourceFault:
    """Return the error for a child's answer that makes no sense."""
    return SourceFault(
        "The decoder gave an answer that makes no sense: the video is damaged or malicious."
    )


def _start(module: str, theirs: socket.socket, descriptors: list[int]) -> subprocess.Popen[bytes]:
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
        raise nonsense() from None
    if not isinstance(answer, dict):
        raise nonsense()
    return answer
