"""Video files, RTSP and HTTP: a thread that decodes, a bounded queue, an async iterator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from threading import Thread

from server.dialling.dial import Guard
from server.errors import MastreamError, SourceFault, detached
from server.frame import Frame, Losses
from server.sources.abandoned import ABANDONED, abandoned_decoders
from server.sources.base import Source
from server.sources.decoding import Counts, Reading, Stretch, read_frames
from server.sources.handover import Handover
from server.sources.hardware import Hardware
from server.sources.holding import Room, RoomyHandover
from server.sources.probing import MAX_PIXELS, VideoLimits, probe
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames

__all__ = ["ContainerSource", "VideoLimits", "abandoned_decoders", "probe"]

_log = logging.getLogger(__name__)

FILE_GRACE = 5.0
"""Seconds to wait for a file's thread to end, which certainly takes no longer than one picture."""

LATE = 0.5
"""Seconds that decoding may fall behind a camera."""

LIVE_GRACE = 0.2
"""Seconds to wait for a camera's thread; one that hangs is abandoned and ends at its own time
limit."""


class ContainerSource(Source):
    """The pictures of one container in display order.

    ``pts`` rises strictly and is exact, also at variable rates; if the container gives no time or a
    wrong one, it is derived from its neighbours or from ``rate``, by default the container's.
    Rotation is applied; each Frame has its own ``size``, which may change in the middle.
    ``decode`` is the seconds of decoding and scaling.

    A str ``location`` is a URL, a Path a file. If ``live``, the newest ``capacity`` frames wait;
    older ones are dropped and counted in ``lost`` (their seq is missing), and so are pictures that
    are decoded more than ``late`` seconds too late, except one per ``late`` seconds, so that a
    machine that is too slow keeps showing new ones. A file waits for its reader and drops nothing.
    Without ``room`` for its whole pictures, too, a file waits and a live source drops them.

    A URL is one connection; it must answer, and keep sending, within ``timeout`` seconds.
    ``packets`` and ``frames`` count the packets and pictures that it has sent; ``last_packet`` and
    ``last_frame`` are the times of the last ones (time.monotonic(), None before the first), so that
    a watchdog notices a camera that sends nothing, or nothing that can be decoded.

    ``start`` skips pictures shown before that many seconds, by seeking if possible; a ``stretch``
    begins at a known key frame and numbers its frames as in the whole file. ``hardware`` decodes
    the frames that it can, which then stay on its device; each Frame names its decoder.
    ``guard`` decides which addresses may be opened; without it, all may. With a ``sandbox`` it is
    decoded in a separate process; a URL then needs a guard.
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
        room: Room | None = None,
        rate: Fraction | None = None,
        hardware: Hardware | None = None,
        late: float | None = LATE,
        stretch: Stretch | None = None,
        guard: Guard | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.live = live
        self.total = total
        self._capacity = capacity
        self._room = room
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
            late=late if live else None,
            stretch=stretch,
            guard=guard,
        )
        assert sandbox is None or hardware is None
        self._sandbox = sandbox
        self._handover: Handover[Frame] | None = None
        self._thread: Thread | None = None
        self._left = False
        self._counts = Counts()

    @property
    def packets(self) -> int:
        """Number of packets of the video that have arrived."""
        return self._counts.arrivals.packets

    @property
    def frames(self) -> int:
        """Number of pictures that were decoded."""
        return self._counts.arrivals.frames

    @property
    def last_packet(self) -> float | None:
        """The time.monotonic() at which the last packet arrived; None before the first."""
        return self._counts.arrivals.last_packet

    @property
    def last_frame(self) -> float | None:
        """The time.monotonic() at which the last picture was decoded; None before the first."""
        return self._counts.arrivals.last_frame

    @property
    def lost(self) -> int:
        """Return how many frames of a live source were dropped because nobody took them in time, or
        because they were too late."""
        return self._counts.arrivals.passed_over + (self._handover.lost if self._handover else 0)

    def losses(self) -> Losses:
        """Return the losses in decoding, once the last frame has been taken; ``total`` is the
        number of packets with a picture."""
        return self._counts.tally.losses(self.total)

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
        thread, self._thread = self._thread, None
        self._handover.close()
        try:
            grace = LIVE_GRACE if self.live else FILE_GRACE
            # Not wait_for: Python 3.11's forgets a cancellation that comes as the thread ends.
            async with asyncio.timeout(grace):
                await self._handover.finished()
        except TimeoutError:
            ABANDONED.add(thread)
        except asyncio.CancelledError:
            ABANDONED.add(thread)
            raise
        else:
            thread.join()

    def _new_handover(self) -> Handover[Frame]:
        given = self._capacity, self.live, asyncio.get_running_loop()
        return Handover[Frame](*given) if self._room is None else RoomyHandover(*given, self._room)

    def _frames(self, left: Callable[[], bool]) -> Generator[Frame, None, None]:
        if self._sandbox is None:
            return read_frames(self._reading, self._counts, left)
        return sandboxed_frames(self._sandbox, self._reading, self._counts, left)

    def _begin(self) -> Handover[Frame]:
        handover = self._new_handover()
        if self._left:
            handover.close()
            return handover
        # A daemon, so that a camera that hangs does not keep the process from ending.
        self._thread = Thread(
            target=_decode,
            args=(self._frames, handover),
            name="source",
            daemon=True,
        )
        self._thread.start()
        self._handover = handover
        return handover


def _decode(
    read: Callable[[Callable[[], bool]], Generator[Frame, None, None]], handover: Handover[Frame]
) -> None:
    """Decode in the source's thread; pass its error to the reader."""
    error: Exception | None = None
    try:
        with closing(read(lambda: handover.closed)) as frames:
            for frame in frames:
                if not handover.put(frame):
                    break
    except MastreamError as known:
        error = detached(known)
    except Exception:  # a bug here must not leave the reader waiting forever
        _log.exception("reading a source failed")
        error = SourceFault("Reading the source failed; the server's log says why.")
    handover.finish(error)
