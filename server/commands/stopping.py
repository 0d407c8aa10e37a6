"""SIGINT, SIGTERM and SIGHUP stop a command in the same orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@dataclass(slots=True)
class Stop:
    """``number`` is the signal that arrived; SIGINT by default."""

    number: int = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """Return the exit code as shells report it: 130 for SIGINT, 143 for SIGTERM, 129 for
        SIGHUP."""
        return 128 + self.number


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Make SIGTERM and SIGHUP act like Ctrl-C in the block: cancel, or raise KeyboardInterrupt.

    A signal that was ignored when the process started, as with nohup, stays ignored. Only for the
    main thread.
    """
    stop = Stop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.number = number
        handler = signal.getsignal(signal.SIGINT)  # asyncio's own while a loop runs
        (handler if callable(handler) else signal.default_int_handler)(number, frame)

    heeded = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {
        number: signal.signal(number, interrupt) for number in heeded if number != signal.SIGINT
    }
    try:
        yield stop
    finally:
        _restore(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore these signals while files are moved or removed together."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        _restore(before)


def _restore(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
