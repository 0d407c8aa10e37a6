"""An engine's successor: another one that replaces it, or the same again after its death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from models.spec import ModelSpec
from server.engines.base import Engine
from server.engines.info import EngineInfo
from server.workers.engine_thread import EngineThread

MAX_BACKOFF = 30.0


@dataclass
class Successor:
    """An engine that is being made to replace the one that serves.

    ``built`` is set once it is warm and waits for the current step to end. ``taken_over`` has a
    result once it serves, and an error if it is refused.
    """

    make_engine: Callable[[], Engine]
    thread: EngineThread
    taken_over: asyncio.Future[None]
    built: EngineInfo | None = None

    def succeed(self) -> None:
        """Report that it has taken over."""
        if not self.taken_over.done():
            self.taken_over.set_result(None)

    def refuse(self, error: BaseException) -> None:
        """Give it up and report why; if its engine is still completed, its thread closes it."""
        self.thread.leave()
        if not self.taken_over.done():
            self.taken_over.set_exception(error)


@dataclass
class Restarts:
    """How long to wait before an engine is made again: 0 the first time, then ``backoff`` seconds,
    doubled each time. Mutable state: the deaths since a step last succeeded."""

    backoff: float
    deaths: int = 0

    def delay(self) -> float:
        """Count a death; return the seconds to wait."""
        self.deaths += 1
        again = self.deaths - 2
        return 0.0 if again < 0 else min(MAX_BACKOFF, self.backoff * 2.0**again)

    def succeeded(self) -> None:
        """Count from 0 again: a step has succeeded."""
        self.deaths = 0


def is_compatible(old: ModelSpec, new: ModelSpec) -> bool:
    """Return whether streams of one model can continue with the other: the same frames in and the
    same masks out, whatever the precision."""
    same = ("name", "height", "width", "classes", "memory_frames", "memory_horizon")
    return all(getattr(old, field) == getattr(new, field) for field in same)
