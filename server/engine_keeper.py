"""Keeps one engine at work: notices its death, leaves it behind and makes another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from server.engine_thread import Built, Died, EngineThread, Left, Report, Step, Stepped
from server.engines.base import Engine
from server.errors import EngineDead

log = logging.getLogger(__name__)

MAX_BACKOFF = 30.0
FIRST_SECONDS = 30.0
LEAST_SECONDS = 2.0
TIMES_THE_SLOWEST = 10.0


class Deadline:
    """Learns from the steps that went well, unless it is ``fixed`` (seconds).

    FIRST_SECONDS until there was one, as it may still load libraries and plan; then
    TIMES_THE_SLOWEST as much as the slowest, LEAST_SECONDS at least.
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
        """A step went well and took this many seconds."""
        self._slowest = max(step, self._slowest or 0.0)


class EngineKeeper:
    """One step at a time goes in by :meth:`submit`; what becomes of it is told to ``hear``.

    ``hear`` is called on the event loop with Built whenever an engine is warmed up, Stepped or
    Failed for each step, and Died when the engine was lost, with its step if there was one: by
    an error other than a failed step, or by a step that passed its ``deadline``. The
    first restart is at once, the next ones wait ``backoff`` seconds and then twice as long each
    time, until a step goes well.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        hear: Callable[[Report], None],
        *,
        deadline: Deadline,
        backoff: float,
        clock: Callable[[], float],
    ) -> None:
        self.built: Built | None = None
        """What the engine says of itself; None until the first is built."""
        self.restarts = 0
        """How often a dead engine was replaced by a warm one."""
        self._make_engine = make_engine
        self._hear = hear
        self._deadline = deadline
        self._backoff = backoff
        self._clock = clock
        self._thread: EngineThread | None = None
        self._warm = False
        self._alarm: asyncio.TimerHandle | None = None
        self._deaths_in_a_row = 0
        self._stopping = False

    def __repr__(self) -> str:
        state = "busy" if self._alarm else "free" if self._warm else "not warm"
        return f"<EngineKeeper {state} restarts={self.restarts}>"

    @property
    def warm(self) -> bool:
        """Whether there is an engine, loaded and warmed up."""
        return self._warm

    @property
    def free(self) -> bool:
        """Whether :meth:`submit` may be called."""
        return self._warm and self._alarm is None

    async def start(self) -> None:
        """Make the engine; returns once it is warmed up. Raises what making it raised."""
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._launch()
        await self._started

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  it gives up, it does not raise
        """Close the engine after the step under way; one that takes longer than ``timeout``
        seconds is left behind. Twice is harmless."""
        self._stopping = True
        if self._thread:
            self._thread.leave()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), timeout)
        self._abandon()

    def submit(self, step: Step) -> None:
        """Start a step. The engine must be free."""
        assert self._thread and self.free, f"{self!r} takes no step now"
        self._thread.submit(step)
        # In two halves: where the whole process stood still, the step is given the second one.
        half = self._deadline.seconds / 2
        self._alarm = self._loop.call_later(half, self._await_rest, self._thread, half)

    def _launch(self) -> None:
        self._left = asyncio.Event()
        self._thread = EngineThread(self._make_engine, self._heard, self._loop, self._clock)

    def _heard(self, thread: EngineThread, report: Report) -> None:
        """A report of a thread; one that was left behind does not count."""
        if thread is not self._thread:
            return
        self._end_step()
        match report:
            case Built():
                self._begin(report)
            case Stepped():
                self._deadline.learn(report.ended - report.began)
                self._deaths_in_a_row = 0
            case Died(error):
                self._bury(error)
            case Left():
                self._left.set()
        self._hear(report)

    def _begin(self, built: Built) -> None:
        self.restarts += self.built is not None
        self.built = built
        self._warm = True
        if not self._started.done():
            self._started.set_result(None)

    def _bury(self, error: BaseException) -> None:
        self._abandon()
        self._left.set()
        if not self._started.done():
            self._started.set_exception(error)
            return
        log.error("the engine died: %r", error, exc_info=error)
        self._loop.call_later(self._delay(), self._relaunch)

    def _relaunch(self) -> None:
        if not self._stopping:
            self._launch()

    def _delay(self) -> float:
        self._deaths_in_a_row += 1
        again = self._deaths_in_a_row - 2
        return 0.0 if again < 0 else min(MAX_BACKOFF, self._backoff * 2.0**again)

    def _await_rest(self, thread: EngineThread, half: float) -> None:
        self._alarm = self._loop.call_later(half, self._overdue, thread, 2 * half)

    def _overdue(self, thread: EngineThread, seconds: float) -> None:
        self._heard(thread, Died(EngineDead(f"a step took over {seconds:g} seconds")))

    def _abandon(self) -> None:
        """Leave the thread behind; should it come back, it closes its engine and ends."""
        self._end_step()
        if self._thread:
            self._thread.leave()
        self._thread = None
        self._warm = False

    def _end_step(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = None
