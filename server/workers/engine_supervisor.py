"""Keeps one engine at work: notices its death, leaves it behind and makes another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from models.spec import ModelSpec
from server.engines.base import Engine
from server.engines.choosing import or_else
from server.engines.info import EngineInfo
from server.errors import Conflict, EngineDead, EngineFault
from server.workers.engine_thread import (
    Died,
    EngineThread,
    Failed,
    Left,
    Report,
    Step,
    Stepped,
)
from server.workers.step_deadline import Deadline

log = logging.getLogger(__name__)

MAX_BACKOFF = 30.0


StepResult = Stepped | EngineFault
"""Of one step; an error is EngineDead where the engine is lost with it."""


@dataclass
class Successor:
    """An engine that is being made to take the place of the one that serves; ``built`` once it
    is warm and waits for the step under way to end."""

    make_engine: Callable[[], Engine]
    thread: EngineThread
    taken_over: asyncio.Future[None]
    built: EngineInfo | None = None


class EngineSupervisor:
    """One step at a time goes in by :meth:`submit`, whose future is its result.

    ``serve_with(engine, restarted)`` is called on the event loop whenever an engine is about to
    take its first step: the first one, one that was made again after a death, or one that
    replaces another. An engine is dead after an error other than a failed step, or after a step
    that passed its ``deadline``. The first restart is at once, the next ones wait ``backoff``
    seconds and then twice as long each time, until a step goes well.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        serve_with: Callable[[EngineInfo, bool], None],
        *,
        deadline: Deadline,
        backoff: float,
        clock: Callable[[], float],
    ) -> None:
        self.built: EngineInfo | None = None
        """What the engine says of itself; None until the first is built."""
        self.restarts = 0
        """How often a dead engine was replaced by a warm one."""
        self._make_engine = make_engine
        self._serve_with = serve_with
        self._deadline = deadline
        self._backoff = backoff
        self._clock = clock
        self._thread: EngineThread | None = None
        self._successor: Successor | None = None
        self._leaving: list[EngineThread] = []
        """Those replaced or refused: they end by themselves, unless making their engine hangs."""
        self._warm = False
        self._result: asyncio.Future[StepResult] | None = None
        """Of the step under way, until whoever awaits it has taken it."""
        self._alarm: asyncio.TimerHandle | None = None
        self._deaths_in_a_row = 0
        self._stopping = False

    def __repr__(self) -> str:
        state = "busy" if self._result else "free" if self._warm else "not warm"
        return f"<EngineSupervisor {state} restarts={self.restarts}>"

    @property
    def warm(self) -> bool:
        """Whether there is an engine, loaded and warmed up."""
        return self._warm

    @property
    def free(self) -> bool:
        """Whether :meth:`submit` may be called."""
        return self._warm and self._result is None and not self._successor_waits

    @property
    def _successor_waits(self) -> bool:
        return self._successor is not None and self._successor.built is not None

    async def start(self) -> None:
        """Make the engine; returns once it is warmed up. Raises what making it raised."""
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._launch()
        await self._started

    async def replace(self, make_engine: Callable[[], Engine]) -> None:
        """Make another engine while this one serves, and put it in its place between two steps:
        Returns once it serves. Should it die and not be made again,
        an engine of the kind that it replaced takes its place.

        Raises what making it raised, Conflict where its model does not go on where this one's
        ends or where another is being made already; this engine stays then, as it does where
        this is cancelled.
        """
        if self._successor:
            raise Conflict("another engine is being made already; wait until it serves")
        taken_over = self._loop.create_future()
        thread = EngineThread(make_engine, self._on_report, self._loop, self._clock)
        self._successor = successor = Successor(make_engine, thread, taken_over)
        try:
            await taken_over
        finally:
            if self._successor is successor:
                self._refuse(EngineDead("nobody waits for this engine any more"))

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  it gives up, it does not raise
        """Close the engine after the step under way, and one that was to replace it once it is
        made; what takes longer than ``timeout`` seconds is left behind. Twice is harmless."""
        self._stopping = True
        if self._successor:
            self._refuse(EngineDead("the service stopped"))
        ends = [thread.ended.wait() for thread in self._leaving]
        self._leaving.clear()
        if self._thread:
            self._thread.leave()
            ends.append(self._left.wait())
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ends), timeout)
        self._leave_thread()
        self._settle(EngineDead("the service stopped"))

    def submit(self, step: Step) -> asyncio.Future[StepResult]:
        """Start a step; the engine must be free.

        Its result is Stepped, EngineFault if the step failed or EngineDead if the engine is lost.
        """
        assert self._thread and self.free, f"{self!r} takes no step now"
        self._result = result = self._loop.create_future()
        result.add_done_callback(self._end_step)
        self._thread.submit(step)
        # In two halves: if the whole process stood still, the step is given the second one.
        half = self._deadline.seconds / 2
        self._alarm = self._loop.call_later(half, self._await_rest, self._thread, half)
        return result

    def _launch(self) -> None:
        self._left = asyncio.Event()
        self._thread = EngineThread(self._make_engine, self._on_report, self._loop, self._clock)

    def _on_report(self, thread: EngineThread, report: Report) -> None:
        """A report of a thread; one that was left behind does not count."""
        if self._successor and thread is self._successor.thread:
            self._on_successor_report(self._successor, report)
            return
        if thread is not self._thread:
            return
        match report:
            case EngineInfo():
                self._begin(report)
            case Stepped():
                self._deadline.learn(report.ended - report.began)
                self._deaths_in_a_row = 0
                self._settle(report)
            case Failed(error):
                self._settle(error)
            case Died(error):
                self._handle_death(error)
            case Left():
                self._left.set()

    def _on_successor_report(self, successor: Successor, report: Report) -> None:
        match report:
            case EngineInfo(spec) if self.built and not is_compatible(self.built.spec, spec):
                self._refuse(Conflict(f"{spec.name} is another model than {self.built.spec.name}"))
            case EngineInfo():
                successor.built = report
                self._hand_over()
            case Died(error):
                self._refuse(error)

    def _hand_over(self) -> None:
        """Let the successor serve, if it is warm and no step is under way."""
        successor = self._successor
        if not successor or not successor.built or self._result:
            return
        if self._thread:
            self._let_go(self._thread)
        self._leave_thread()
        self._successor = None
        self._thread = successor.thread
        self._make_engine = or_else(successor.make_engine, self._make_engine)
        self._left = asyncio.Event()
        self.built, self._warm = successor.built, True
        if not successor.taken_over.done():
            successor.taken_over.set_result(None)
        self._serve_with(successor.built, False)

    def _refuse(self, error: BaseException) -> None:
        """The engine that was to take over does not; should it still be made, it is closed."""
        assert self._successor, "there is no engine to refuse"
        successor, self._successor = self._successor, None
        successor.thread.leave()
        self._let_go(successor.thread)
        if not successor.taken_over.done():
            successor.taken_over.set_exception(error)

    def _let_go(self, thread: EngineThread) -> None:
        """Remember a thread that is about to end, and forget those that have."""
        self._leaving = [left for left in self._leaving if not left.ended.is_set()] + [thread]

    def _begin(self, built: EngineInfo) -> None:
        restarted = self.built is not None
        self.restarts += restarted
        self.built = built
        self._warm = True
        self._serve_with(built, restarted)
        if not self._started.done():
            self._started.set_result(None)

    def _handle_death(self, error: BaseException) -> None:
        self._leave_thread()
        # A foreign error is not the streams' business.
        ours = error if isinstance(error, EngineDead) else EngineDead("the engine broke down")
        self._settle(ours)
        self._left.set()
        if not self._started.done():
            self._started.set_exception(error)
            return
        log.error("the engine died: %r", error, exc_info=error)
        self._loop.call_later(self._delay(), self._relaunch)

    def _relaunch(self) -> None:
        if not self._stopping and self._thread is None:
            self._launch()

    def _delay(self) -> float:
        self._deaths_in_a_row += 1
        again = self._deaths_in_a_row - 2
        return 0.0 if again < 0 else min(MAX_BACKOFF, self._backoff * 2.0**again)

    def _await_rest(self, thread: EngineThread, half: float) -> None:
        self._alarm = self._loop.call_later(half, self._overdue, thread, 2 * half)

    def _overdue(self, thread: EngineThread, seconds: float) -> None:
        self._on_report(thread, Died(EngineDead(f"a step took over {seconds:g} seconds")))

    def _leave_thread(self) -> None:
        """Leave the thread behind; should it come back, it closes its engine and ends."""
        if self._thread:
            self._thread.leave()
        self._thread = None
        self._warm = False

    def _settle(self, result: StepResult) -> None:
        """Tell whoever awaits the step under way, if there is one."""
        if self._result and not self._result.done():
            self._result.set_result(result)

    def _end_step(self, _: asyncio.Future[StepResult]) -> None:
        """The step has a result, which is taken next; then a successor may take over."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._result = None
        self._loop.call_soon(self._hand_over)


def is_compatible(old: ModelSpec, new: ModelSpec) -> bool:
    """Whether streams of one model can go on with the other: same frames in, same masks out,
    whatever the precision."""
    same = ("name", "height", "width", "classes", "memory_frames", "memory_horizon")
    return all(getattr(old, field) == getattr(new, field) for field in same)
