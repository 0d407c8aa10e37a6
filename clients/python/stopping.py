"""Stop a command on SIGTERM and SIGHUP as on Ctrl-C: files are closed, results are shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Stop:
    """``number`` is the signal that arrived; SIGINT by default."""

    number: int = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """The exit code as shells report it: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number


@contextmanager
def stoppable() -> Iterator[Stop]:
    """In this block, make SIGTERM and SIGHUP act like Ctrl-C: cancel, or raise KeyboardInterrupt.

    A signal that the process was started to ignore, as nohup does, stays ignored. Only the main
    thread may call this.
    """
    stop = Stop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.number = number
        handler = signal.getsignal(signal.SIGINT)  # asyncio's own while a loop runs
        (handler if callable(handler) else signal.default_int_handler)(number, frame)

    named = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    heeded = [one for one in named if one and signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
