"""The thread in which one engine lives; its supervisor starts it and receives its reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from server.engines.base import Engine, Memory
from server.engines.info import EngineInfo
from server.errors import EngineDead, EngineFault
from server.frame import AnyPixels, Labels


@dataclass(frozen=True, slots=True)
class Step:
    """One step for the engine: a frame and a memory per stream; None is the blank memory."""

    frames: list[AnyPixels]
    memories: list[Memory | None]
    submitted: float


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step succeeded.

    ``filled`` is how many frames each memory held before it; times are those of the clock.
    """

    labels: list[Labels]
    memories: list[Memory]
    filled: list[int]
    submitted: float
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A step failed; the engine continues."""

    error: EngineFault


@dataclass(frozen=True, slots=True)
class Died:
    """The engine could not be made, or cannot be used any more; its thread has ended or hangs."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Left:
    """The engine was closed on request."""


Report = EngineInfo | Stepped | Failed | Died | Left


class EngineThread:
    """Makes an engine and is the only one to use it, until :meth:`leave`.

    Each step is answered by one call of ``on_report(thread, report)`` on the event loop. The thread
    is a daemon: if it hangs in a step, it is abandoned and does not delay the process's exit.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        on_report: Callable[[EngineThread, Report], None],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
    ) -> None:
        self._make_engine = make_engine
        self._on_report = on_report
        self._loop = loop
        self._clock = clock
        self.ended = asyncio.Event()
        """Set on the event loop once the thread has reported for the last time."""
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        Thread(target=self._run, name="engine", daemon=True).start()

    def submit(self, step: Step) -> None:
        """Queue a step after those submitted before."""
        self._steps.put(step)

    def leave(self) -> None:
        """Close the engine and end the thread once all submitted steps are done. Idempotent."""
        self._steps.put(None)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # whatever ends this thread must be reported
            self._report(Died(error))
        else:
            self._report(Left())
        self._call(self.ended.set)

    def _serve(self) -> None:
        with closing(self._make_engine()) as engine:
            self._report(_built(engine))
            while step := self._steps.get():
                self._report(self._do(engine, step))

    def _do(self, engine: Engine, step: Step) -> Report:
        try:
            return self._step(engine, step)
        except EngineDead:
            raise
        except EngineFault as error:
            return Failed(error)

    def _step(self, engine: Engine, step: Step) -> Stepped:
        began = self._clock()
        blank = engine.blank()
        memories = [blank if memory is None else memory for memory in step.memories]
        labels, kept = engine.step(step.frames, memories)
        filled = [engine.filled(memory) for memory in memories]
        return Stepped(labels, kept, filled, step.submitted, began, self._clock())

    def _report(self, report: Report) -> None:
        self._call(self._on_report, self, report)

    def _call(self, do: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to report to
            self._loop.call_soon_threadsafe(do, *arguments)


def _built(engine: Engine) -> EngineInfo:
    return EngineInfo(
        engine.spec,
        engine.provider,
        engine.max_batch,
        engine.device,
        engine.passed_over,
        engine.step_seconds,
    )
