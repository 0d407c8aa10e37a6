"""Keep one engine running: detect its death, abandon it and make another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from server.engines.base import Engine
from server.engines.choosing import or_else
from server.engines.info import EngineInfo
from server.errors import Conflict, EngineDead, EngineFault
from server.workers.engine_thread import Died, EngineThread, Failed, Left, Report, Step, Stepped
from server.workers.step_deadline import Alarm, Deadline
from server.workers.succession import Restarts, Successor, is_compatible

log = logging.getLogger(__name__)

StepResult = Stepped | EngineFault
"""The result of one step; the error is EngineDead if the engine is lost with it."""


class EngineSupervisor:
    """Runs one step at a time; the future that :meth:`submit` returns gets its result.

    ``serve_with(engine, restarted)`` is called on the event loop whenever an engine is about to
    take its first step: the first one, one that was made again after a death, or one that
    replaces another. An engine is dead after an error other than a failed step, or after a step
    that exceeded its ``deadline``. The first restart is immediate, the next one waits ``backoff``
    seconds, and each one after that twice as long, until a step succeeds.
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
        """The engine's self-description; None until the first one is built."""
        self.restarts = 0
        """How often a warm engine replaced a dead one."""
        self._make_engine = make_engine
        self._serve_with = serve_with
        self._deadline = deadline
        self._restarts = Restarts(backoff)
        self._clock = clock
        self._thread: EngineThread | None = None
        self._successor: Successor | None = None
        self._leaving: list[EngineThread] = []
        """Threads of replaced or refused engines; they end by themselves unless making their
        engine hangs."""
        self._warm = False
        self._result: asyncio.Future[StepResult] | None = None
        """The future of the current step, until its result is set."""
        self._alarm: Alarm | None = None
        self._stopping = False

    def __repr__(self) -> str:
        state = "busy" if self._result else "free" if self._warm else "not warm"
        return f"<EngineSupervisor {state} restarts={self.restarts}>"

    @property
    def warm(self) -> bool:
        """Return whether there is an engine, loaded and warmed up."""
        return self._warm

    @property
    def free(self) -> bool:
        """Return whether :meth:`submit` may be called."""
        return self._warm and self._result is None and not self._successor_waits

    @property
    def _successor_waits(self) -> bool:
        return self._successor is not None and self._successor.built is not None

    async def start(self) -> None:
        """Make the engine; return once it is warmed up. Raises the error of making it."""
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._launch()
        await self._started

    async def replace(self, make_engine: Callable[[], Engine]) -> None:
        """Make another engine while this one serves, and switch to it between two steps.

        Return once it serves. If it dies later and cannot be made again, an engine of the kind
        that it replaced takes over.

        Raises what making it raised, and Conflict if streams cannot continue with its model or if
        another engine is being made already; this engine then stays, also on cancellation.
        """
        if self._successor:
            raise Conflict("Another engine is being made already; wait until it serves.")
        taken_over = self._loop.create_future()
        thread = EngineThread(make_engine, self._on_report, self._loop, self._clock)
        self._successor = successor = Successor(make_engine, thread, taken_over)
        try:
            await taken_over
        finally:
            if self._successor is successor:
                self._refuse(EngineDead("The replacement of the engine was cancelled."))

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  it gives up, it does not raise
        """Close the engine after the current step, and its successor, if any, once it is made;
        abandon an engine that takes longer than ``timeout`` seconds. Idempotent."""
        self._stopping = True
        if self._successor:
            self._refuse(EngineDead("The service stopped."))
        ends = [thread.ended.wait() for thread in self._leaving]
        self._leaving.clear()
        if self._thread:
            self._thread.leave()
            ends.append(self._left.wait())
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ends), timeout)
        self._leave_thread()
        self._settle(EngineDead("The service stopped."))

    def submit(self, step: Step) -> asyncio.Future[StepResult]:
        """Start a step; the engine must be free.

        Its result is Stepped, EngineFault if the step failed or EngineDead if the engine is lost.
        """
        assert self._thread and self.free, f"{self!r} takes no step now"
        self._result = result = self._loop.create_future()
        result.add_done_callback(self._end_step)
        self._thread.submit(step)
        seconds = self._deadline.seconds
        overdue = partial(self._overdue, self._thread, seconds)
        self._alarm = Alarm(self._loop, seconds, overdue)
        return result

    def _launch(self) -> None:
        self._left = asyncio.Event()
        self._thread = EngineThread(self._make_engine, self._on_report, self._loop, self._clock)

    def _on_report(self, thread: EngineThread, report: Report) -> None:
        """Act on a thread's report; ignore those of abandoned threads."""
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
                self._restarts.succeeded()
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
                words = f"Streams of model {self.built.spec.name!r} cannot continue with"
                self._refuse(Conflict(f"{words} {spec.name!r}: restart the server with it."))
            case EngineInfo():
                successor.built = report
                self._switch()
            case Died(error):
                self._refuse(error)

    def _switch(self) -> None:
        """Switch to the successor, if it is warm and no step is running."""
        successor = self._successor
        if not successor or not successor.built or self._result:
            return
        if self._thread:
            self._remember_leaving(self._thread)
        self._leave_thread()
        self._successor = None
        self._thread = successor.thread
        self._make_engine = or_else(successor.make_engine, self._make_engine)
        self._left = asyncio.Event()
        self.built, self._warm = successor.built, True
        successor.succeed()
        self._serve_with(successor.built, False)

    def _refuse(self, error: BaseException) -> None:
        """Give up the successor."""
        assert self._successor, "there is no engine to refuse"
        successor, self._successor = self._successor, None
        self._remember_leaving(successor.thread)
        successor.refuse(error)

    def _remember_leaving(self, thread: EngineThread) -> None:
        """Remember a thread that is about to end, and forget those that have ended."""
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
        # The text of a foreign error is for the log, not for clients.
        ours = error if isinstance(error, EngineDead) else EngineDead("The engine failed.")
        self._settle(ours)
        self._left.set()
        if not self._started.done():
            self._started.set_exception(error)
            return
        log.error("the engine died: %r", error, exc_info=error)
        self._loop.call_later(self._restarts.delay(), self._relaunch)

    def _relaunch(self) -> None:
        if not self._stopping and self._thread is None:
            self._launch()

    def _overdue(self, thread: EngineThread, seconds: float) -> None:
        self._on_report(thread, Died(EngineDead(f"A step took more than {seconds:g} seconds.")))

    def _leave_thread(self) -> None:
        """Abandon the thread; if it returns from its step, it closes its engine and ends."""
        if self._thread:
            self._thread.leave()
        self._thread = None
        self._warm = False

    def _settle(self, result: StepResult) -> None:
        """Set the result of the current step, if there is one."""
        if self._result and not self._result.done():
            self._result.set_result(result)

    def _end_step(self, _: asyncio.Future[StepResult]) -> None:
        """Clear the step, which has a result; once the result is taken, a successor may take
        over."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._result = None
        self._loop.call_soon(self._switch)
