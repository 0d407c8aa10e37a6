"""How long a step may take before its engine counts as dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FIRST_SECONDS = 30.0
LEAST_SECONDS = 2.0
TIMES_THE_SLOWEST = 10.0


class Deadline:
    """A deadline that adapts to the steps that succeeded, unless it is ``fixed`` (seconds).

    It is FIRST_SECONDS until a step has succeeded, because the first one may still load libraries
    and plan; then TIMES_THE_SLOWEST times the slowest step, and at least LEAST_SECONDS.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self._fixed = fixed
        self._slowest: float | None = None

    def __repr__(self) -> str:
        return f"<Deadline {self.seconds:g} s>"

    @property
    def seconds(self) -> float:
        if self._fixed is not None:
            return self._fixed
        if self._slowest is None:
            return FIRST_SECONDS
        return max(LEAST_SECONDS, TIMES_THE_SLOWEST * self._slowest)

    def learn(self, step: float) -> None:
        """Take into account a step that succeeded in this many seconds."""
        self._slowest = max(step, self._slowest or 0.0)


class Alarm:
    """Calls ``act`` after this many seconds, unless it is cancelled.

    It waits in two halves: if the whole process was suspended, the step still has the second half.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, act: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._half = seconds / 2
        self._act = act
        self._timer = loop.call_later(self._half, self._await_rest)

    def cancel(self) -> None:
        self._timer.cancel()

    def _await_rest(self) -> None:
        self._timer = self._loop.call_later(self._half, self._act)
