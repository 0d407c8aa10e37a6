"""Send a stream's overlay to an RTSP server: a thread encodes, a process sends.

The stream never waits for either: one mask waits at most, and a newer one replaces it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Condition, Thread

from av.error import FFmpegError

from server.dialling.dial import Guard
from server.dialling.passage import passage
from server.errors import BadRequest, SourceFault
from server.frame import Mask, Pixels
from server.sinks.live_encoding import shown_picture
from server.sinks.pushing import CLOSE_SECONDS, PublishFailed, Push

_log = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
"""After this many seconds without a mask, the connection is closed: the RTSP server would soon
close it."""

WRITE_SECONDS = 5.0
"""If sending a picture takes longer, the RTSP server has stopped reading. FFmpeg itself would wait
forever."""

SHORTEST_WAIT, LONGEST_WAIT = 1.0, 30.0


class PublishState(StrEnum):
    """The state of publishing; ``waiting`` means that there is no mask to send."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    LIVE = "live"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class PublishStatus:
    """``detail`` is a sentence about the last failure, empty if live. ``sent`` and ``skipped``
    count masks; a mask is skipped if a newer one replaces it."""

    state: PublishState = PublishState.WAITING
    detail: str = ""
    sent: int = 0
    skipped: int = 0


def backoff(attempt: int) -> float:
    """Return the seconds to wait after this many failures in a row: doubled each time up to
    LONGEST_WAIT, and shortened at random so that many streams do not return together."""
    longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(attempt, 16))
    return max(SHORTEST_WAIT, longest * random.uniform(0.5, 1.0))


class Publisher:
    """Publishes the masks of the stream ``name`` at ``url`` from the first one until closed.

    ``count`` is called with "sent" or "skipped" for a mask, from any thread. ``guard`` decides
    which addresses may be opened. The url is never logged nor part of the status. Mutable state,
    under one lock: the mask that waits, the status, the thread, and the process to kill if it does
    not end.
    """

    def __init__(
        self,
        name: str,
        url: str,
        palette: Pixels,
        wait: Callable[[int], float] = backoff,
        count: Callable[[str], None] = lambda _: None,
        guard: Guard | None = None,
    ) -> None:
        self._count = count
        self._name = name
        self._url = url
        self._guard = guard
        self._palette = palette
        self._wait = wait
        self._changed = Condition()
        self._next: Mask | None = None
        self._status = PublishStatus()
        self._closed = False
        self._thread: Thread | None = None
        self._push: Push | None = None

    def __repr__(self) -> str:
        return f"<Publisher {self._name} {self._status.state}>"

    @property
    def status(self) -> PublishStatus:
        """Return the current status."""
        return self._status

    def offer(self, mask: Mask) -> None:
        """Send a mask, unless a newer one comes before its turn. Never blocks."""
        with self._changed:
            if self._closed:
                return
            self._kill_if_stuck()
            if self._next is not None:
                self._status = replace(self._status, skipped=self._status.skipped + 1)
                self._count("skipped")
            self._next = mask
            if self._thread is None:
                name = f"publish {self._name}"
                self._thread = Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def leave(self) -> None:
        """Send no more masks and let the thread disconnect, so that another server can publish;
        :meth:`close` must still be called. Never blocks. Idempotent."""
        with self._changed:
            self._closed, self._next = True, None
            self._changed.notify_all()

    def close(self) -> None:
        """Disconnect from the RTSP server; this takes up to twice CLOSE_SECONDS. Idempotent."""
        self.leave()
        with self._changed:
            thread, push = self._thread, self._push
        if thread is None:
            return
        if push is None or self._status.state is PublishState.LIVE:
            thread.join(CLOSE_SECONDS)
        if push is not None:
            push.kill()
        thread.join(CLOSE_SECONDS)

    def _kill_if_stuck(self) -> None:
        push = self._push
        since = None if push is None else push.busy_since
        if push is not None and since is not None and time.monotonic() - since > WRITE_SECONDS:
            push.kill()

    def _run(self) -> None:
        attempt = 0
        while (mask := self._take(None)) is not None:
            sent = self._status.sent
            try:
                self._publish(mask)
                attempt = 0
            except (PublishFailed, SourceFault, BadRequest, FFmpegError, OSError) as error:
                attempt = 0 if self._status.sent > sent else attempt
                self._fail(error)
                self._pause(self._wait(attempt))
                attempt += 1

    def _publish(self, mask: Mask | None) -> None:
        """Send masks from this one on, until no more arrive, the size changes or this is closed."""
        assert mask is not None
        height, width = shown_picture(mask).shape[:2]
        self._report(PublishState.CONNECTING, self._status.detail)
        with passage(self._url, self._guard) as way, self._pushing(way.url, height, width) as push:
            while mask is not None and shown_picture(mask).shape[:2] == (height, width):
                push.send(mask)
                if push.is_live:
                    self._count_sent()
                mask = self._take(IDLE_SECONDS)
        self._report(PublishState.WAITING)

    def _pushing(self, url: str, height: int, width: int) -> Push:
        push = Push(url, height, width, self._palette)
        with self._changed:
            self._push = push
        return push

    def _take(self, seconds: float | None) -> Mask | None:
        """Wait for the next mask; None after ``seconds`` or if this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next is not None, seconds)
            mask, self._next = self._next, None
            return None if self._closed else mask

    def _pause(self, seconds: float) -> None:
        """Wait, unless this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, (PublishFailed, SourceFault, BadRequest))
        detail = str(error) if known else "The overlay could not be encoded: see the server's log."
        if not known:
            _log.error("stream %s: the overlay could not be encoded: %s", self._name, type(error))
        self._report(PublishState.BACKOFF, detail)

    def _count_sent(self) -> None:
        self._report(PublishState.LIVE)
        with self._changed:
            self._status = replace(self._status, sent=self._status.sent + 1)
        self._count("sent")

    def _report(self, state: PublishState, detail: str = "") -> None:
        with self._changed:
            before = self._status
            self._status = replace(before, state=state, detail=detail)
        if before.state is not state:
            words = f": {detail}" if detail else ""
            _log.info("stream %s: publishing is %s%s", self._name, state.value, words)
