"""When a long command is to stop: told by a signal, or left alone by the process that asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from types import FrameType


@contextmanager
def stopping(pipe: int | None = None) -> Iterator[Event]:
    """Set by SIGINT or SIGTERM and, where there is a ``pipe`` (a file descriptor), at its end: once
    whoever held its other end has gone, however that happened. What is written there is not read.

    An exception would have to pass through a library's own code. The main thread's alone.
    """
    stop = Event()

    def told(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    if pipe is not None:
        Thread(target=_wait_for_end, args=(pipe, stop), daemon=True).start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_end(pipe: int, stop: Event) -> None:
    with suppress(OSError):
        # Not by sys.stdin: at its exit Python would want a lock that a thread in it holds.
        while os.read(pipe, 1024):
            pass
    stop.set()
