"""Stop a long command: on a signal, or when the process that started it has gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from types import FrameType


@contextmanager
def stopping(pipe: int | None = None) -> Iterator[Event]:
    """Yield an event that is set on SIGINT, on SIGTERM or at the end of ``pipe``.

    ``pipe`` is a file descriptor; it ends when the process at its other end has gone, for whatever
    reason. Data written to it is ignored. An event is used because an exception would have to pass
    through a library's own code. Call this only in the main thread.
    """
    stop = Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in signals}
    if pipe is not None:
        Thread(target=_wait_for_end, args=(pipe, stop), daemon=True).start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_end(pipe: int, stop: Event) -> None:
    with suppress(OSError):
        # sys.stdin would hold a lock in this thread, which Python needs when it exits.
        while os.read(pipe, 1024):
            pass
    stop.set()
