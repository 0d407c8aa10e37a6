"""The parent's side of a child that answers one question about a file."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO

from server.sources.open_file import is_readable

READ_BYTES = 2**16
LINE_BYTES = 2**20
ANSWER_BYTES = 2**27
"""In bytes; a million key frames take about a third of it."""

GRACE_SECONDS = 2.0
"""Extra seconds for a child, which the kernel kills when its time is up unless a fault keeps it
alive."""


class Child:
    """Reads what a child writes to the pipe of ``answer``. Mutable state: ``handle``, a descriptor
    by which the child can be killed, None before it lives or if there is none. Both are closed with
    it."""

    def __init__(self, answer: FileIO) -> None:
        self._answer = answer
        self.handle: int | None = None

    def lines(self, seconds: float | None) -> Iterator[bytes]:
        """Yield the lines of the answer, without their ends. Raises ValueError if they are too
        long, too many, incomplete, or do not arrive within ``seconds``."""
        until = None if seconds is None else time.monotonic() + seconds + GRACE_SECONDS
        kept, total = b"", 0
        while came := self._read(until):
            total += len(came)
            *whole, kept = (kept + came).split(b"\n")
            if len(kept) > LINE_BYTES or total > ANSWER_BYTES:
                raise ValueError("too long an answer")
            yield from whole
        if kept:
            raise ValueError("an answer without an end")

    def close(self) -> None:
        """Kill the child, if it has not ended."""
        self._answer.close()
        if self.handle is not None:
            assert sys.platform == "linux"
            try:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            finally:
                os.close(self.handle)

    def _read(self, until: float | None) -> bytes:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not is_readable(self._answer.fileno(), left):
            raise ValueError("no answer in time")
        return self._answer.read(READ_BYTES) or b""
