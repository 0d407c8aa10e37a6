"""Video files, RTSP and HTTP: a thread that decodes, a bounded queue, an async iterator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path
from threading import Thread

from server.errors import MastreamError, SourceFault, detached
from server.frame import Frame, Losses
from server.sources.base import Source
from server.sources.decoding import Reading, read_frames
from server.sources.handover import Handover
from server.sources.hardware import Hardware
from server.sources.losses import Tally
from server.sources.probing import MAX_PIXELS, VideoLimits, probe

__all__ = ["ContainerSource", "VideoLimits", "probe"]

_log = logging.getLogger(__name__)

FILE_GRACE = 5.0
"""Seconds in which a file's thread ends for sure: the time of one picture."""

LIVE_GRACE = 0.2
"""Seconds for a camera's thread. One that hangs is left to its own time limit."""


class ContainerSource(Source):
    """The pictures of one container in the order in which they are shown.

    ``pts`` rises strictly and is exact, variable rates included; where the container tells
    none, or a wrong one, it follows its neighbours or the ``rate``, which is the container's
    unless it is given. Rotation is applied; each Frame has its own ``size``, which may
    change in the middle. ``decode`` is the seconds of decoding and scaling.

    A str ``location`` is a URL, a Path a file. ``live``: the newest ``capacity`` frames wait,
    older ones are lost and counted in ``lost`` (their seq is missing); URLs must answer and go
    on sending within ``timeout`` seconds. A file loses nothing and waits.
    ``start`` skips what is shown before that many seconds, seeking where the file allows. With
    ``hardware`` frames are decoded and stay on its device where it can; each one says so.
    """

    def __init__(
        self,
        location: Path | str,
        height: int,
        width: int,
        *,
        live: bool = False,
        keep_original: bool = False,
        start: Fraction | None = None,
        total: int | None = None,
        max_pixels: int = MAX_PIXELS,
        timeout: float = 10.0,
        threads: int = 1,
        capacity: int = 4,
        rate: Fraction | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        self.live = live
        self.total = total
        self._capacity = capacity
        self._reading = Reading(
            location=location,
            height=height,
            width=width,
            keep_original=keep_original,
            start=start,
            max_pixels=max_pixels,
            timeout=timeout if isinstance(location, str) else None,
            threads=threads,
            hardware=hardware,
            rate=rate,
        )
        self._handover: Handover[Frame] | None = None
        self._thread: Thread | None = None
        self._left = False
        self._tally = Tally()

    @property
    def lost(self) -> int:
        """Frames of a live source that nobody took in time."""
        return self._handover.lost if self._handover else 0

    def losses(self) -> Losses:
        """What was lost in decoding, once the last frame has been taken; ``total`` tells how many
        packets have a picture."""
        return self._tally.losses(self.total)

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        handover = self._handover or self._begin()
        frame = await handover.get()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def aclose(self) -> None:
        self._left = True
        if self._handover is None or self._thread is None:
            return
        self._handover.close()
        with suppress(TimeoutError):
            grace = LIVE_GRACE if self.live else FILE_GRACE
            await asyncio.wait_for(self._handover.finished(), grace)
            self._thread.join()
        self._thread = None

    def _begin(self) -> Handover[Frame]:
        handover = Handover[Frame](self._capacity, self.live, asyncio.get_running_loop())
        if self._left:
            handover.close()
            return handover
        # A daemon: a camera that hangs must not keep the process from ending.
        self._thread = Thread(
            target=_decode, args=(self._reading, self._tally, handover), name="source", daemon=True
        )
        self._thread.start()
        self._handover = handover
        return handover


def _decode(reading: Reading, tally: Tally, handover: Handover[Frame]) -> None:
    """The thread's whole life. What it raises is raised to the reader."""
    error: Exception | None = None
    try:
        with closing(read_frames(reading, tally)) as frames:
            for frame in frames:
                if not handover.put(frame):
                    break
    except MastreamError as known:
        error = detached(known)
    except Exception:  # our own mistake must not leave the reader waiting for ever
        _log.exception("reading a source failed")
        error = SourceFault("The source broke off for an unknown reason.")
    handover.finish(error)
