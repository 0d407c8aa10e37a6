"""One connection of a pulled stream: its source, the task that reads it, and its silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from server.errors import MastreamError, SourceRefused
from server.frame import Frame
from server.sources.base import Source
from server.streams.states import Broken, Deadline, Event, Finished

_log = logging.getLogger(__name__)

TakeFrame = Callable[["Connection", Frame], Awaitable[None]]


@dataclass(slots=True)
class Pace:
    """Plays a file at its own speed. Mutable state: when its first picture was shown."""

    began: float | None = None
    first: Fraction = Fraction(0)

    def wait(self, pts: Fraction | None, now: float) -> float:
        """Return the seconds until a picture is due."""
        shown = pts or Fraction(0)
        if self.began is None:
            self.began, self.first = now, shown
        return max(0.0, self.began + float(shown - self.first) - now)


class Connection:
    """Reads one source from when it is opened until it ends or is closed.

    ``number`` counts the stream's connections from 1. ``clock`` is in seconds and must be that of
    the source. A file is played at its own pace, but for the times in it at which it ``hurries``,
    and its end is reported once ``settled`` returns: its last frames have masks by then. Mutable
    state: the task that reads, when the last picture was taken, how a file is paced, and how many
    of the source's losses were reported.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        clock: Callable[[], float],
        hurries: Callable[[Fraction], bool] = lambda _: False,
        settled: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.number = number
        self.live = source.live
        self._source = source
        self._clock = clock
        self._hurries = hurries
        self._settled = settled
        self._reading: asyncio.Task[None] | None = None
        self._last_picture = clock()
        self._holds_picture = False
        self._pace = Pace()
        self._lost = 0

    def __repr__(self) -> str:
        return f"<Connection {self.number} {self._source!r}>"

    def begin(self, take: TakeFrame, end: Finished, report: Callable[[Event], None]) -> None:
        """Start reading: ``take`` is awaited for every frame, and ``report`` receives ``end`` after
        the last one, or the reason why there are no more."""
        self._reading = asyncio.create_task(self._read(take, end, report))

    def overdue(self) -> Deadline:
        """Return for how long nothing was decoded, and whether data arrived in that time.

        A decoded picture counts even if the stream could not take it yet: if the engine is late,
        the camera is not. A file is never late while its next picture is not due or has not been
        taken.
        """
        if self._holds_picture and not self.live:
            return Deadline(0.0)
        picture = max(self._last_picture, self._source.last_frame or 0.0)
        packet = self._source.last_packet
        return Deadline(self._clock() - picture, packet is not None and packet > picture)

    def newly_lost(self) -> int:
        """Return how many frames the source has dropped since this was last called."""
        lost, self._lost = self._source.lost - self._lost, self._source.lost
        return lost

    async def close(self) -> None:
        """Stop reading; a decoder that hangs is abandoned. Idempotent, even if cancelled."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None
        await self._source.aclose()

    async def _read(self, take: TakeFrame, end: Finished, report: Callable[[Event], None]) -> None:
        try:
            async for frame in self._source:
                self._holds_picture = True
                shown = frame if self.live else await self._shown(frame)
                self._last_picture = self._clock()
                await take(self, shown)
                self._last_picture, self._holds_picture = self._clock(), False
            self._holds_picture = True
            if self._settled is not None and not self.live:
                await self._settled()
        except MastreamError as error:
            report(Broken(error.code, str(error), isinstance(error, SourceRefused)))
        except Exception:  # our own mistake must not leave the stream waiting forever
            _log.exception("reading %r failed", self)
            report(Broken("fault", "The server failed; its log says why."))
        else:
            report(end)

    async def _shown(self, frame: Frame) -> Frame:
        """Return a file's frame once it is due, as if it arrived at that moment."""
        if not self._hurries(frame.pts or Fraction(0)):
            await asyncio.sleep(self._pace.wait(frame.pts, self._clock()))
        return replace(frame, arrived=self._clock())
