"""Send a stream's overlay to an RTSP server: a thread encodes, a process sends.

The stream never waits for either: one mask waits at most, and a newer one replaces it.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Condition, Thread
from types import TracebackType
from typing import Self

from av.error import FFmpegError

from server.frame import Mask, Pixels
from server.sinks import rtsp_push
from server.sinks.live_encoding import LiveEncoder, shown_picture

_log = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
"""Without a mask for so long, the RTSP server is left: it would do so itself soon."""

WRITE_SECONDS = 4.0
"""A picture that takes longer to send shows that the RTSP server reads no more."""

CLOSE_SECONDS = 2.0
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 30.0


class PublishState(StrEnum):
    """What publishing is doing; ``waiting`` means that there is no mask to send."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    LIVE = "live"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class PublishStatus:
    """``detail`` is a sentence that says what failed last, empty if live. ``sent`` and ``skipped``
    count masks; those are skipped that a newer one replaced."""

    state: PublishState = PublishState.WAITING
    detail: str = ""
    sent: int = 0
    skipped: int = 0


class PublishFailed(Exception):
    """The RTSP server could not be reached or broke off; the message is a sentence."""


def backoff(attempt: int) -> float:
    """Return the seconds to wait after so many failures in a row: doubled each time up to
    LONGEST_WAIT, and shortened at random so that many streams do not return together."""
    longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(attempt, 16))
    return max(SHORTEST_WAIT, longest * random.uniform(0.5, 1.0))


class Publisher:
    """Publishes the masks of the stream ``name`` at ``url`` from the first one until closed.

    The url is never logged nor part of the status. Mutable state, under one lock: the mask that
    waits, the status, the thread, and the process to kill if it does not end.
    """

    def __init__(
        self,
        name: str,
        url: str,
        palette: Pixels,
        wait: Callable[[int], float] = backoff,
    ) -> None:
        self._name = name
        self._url = url
        self._palette = palette
        self._wait = wait
        self._changed = Condition()
        self._next: Mask | None = None
        self._status = PublishStatus()
        self._closed = False
        self._thread: Thread | None = None
        self._push: _Push | None = None

    def __repr__(self) -> str:
        return f"<Publisher {self._name} {self._status.state}>"

    @property
    def status(self) -> PublishStatus:
        """Return what is happening now."""
        return self._status

    def offer(self, mask: Mask) -> None:
        """Send a mask, unless a newer one comes before its turn. Never blocks."""
        with self._changed:
            if self._closed:
                return
            skipped = self._status.skipped + (self._next is not None)
            self._status = replace(self._status, skipped=skipped)
            self._next = mask
            if self._thread is None:
                name = f"publish {self._name}"
                self._thread = Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Leave the RTSP server; takes up to twice CLOSE_SECONDS. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread, push = self._thread, self._push
        if thread is None:
            return
        thread.join(CLOSE_SECONDS)
        if push is not None:
            push.kill()
        thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        attempt = 0
        while (mask := self._take(None)) is not None:
            sent = self._status.sent
            try:
                self._publish(mask)
                attempt = 0
            except (PublishFailed, FFmpegError, OSError) as error:
                attempt = 0 if self._status.sent > sent else attempt
                self._fail(error)
                self._pause(self._wait(attempt))
                attempt += 1

    def _publish(self, mask: Mask | None) -> None:
        """Send masks from this one on, until none comes, the size changes or this is closed."""
        assert mask is not None
        height, width = shown_picture(mask).shape[:2]
        self._report(PublishState.CONNECTING, self._status.detail)
        with self._pushing(height, width) as push:
            while mask is not None and shown_picture(mask).shape[:2] == (height, width):
                push.send(mask)
                if push.is_live:
                    self._count_sent()
                mask = self._take(IDLE_SECONDS)
        self._report(PublishState.WAITING)

    def _pushing(self, height: int, width: int) -> _Push:
        push = _Push(self._url, height, width, self._palette)
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
        known = isinstance(error, PublishFailed)
        detail = str(error) if known else "The overlay could not be encoded: see the server's log."
        if not known:
            _log.error("stream %s: the overlay could not be encoded: %s", self._name, type(error))
        self._report(PublishState.BACKOFF, detail)

    def _count_sent(self) -> None:
        self._report(PublishState.LIVE)
        with self._changed:
            self._status = replace(self._status, sent=self._status.sent + 1)

    def _report(self, state: PublishState, detail: str = "") -> None:
        with self._changed:
            before = self._status
            self._status = replace(before, state=state, detail=detail)
        if before.state is not state:
            words = f": {detail}" if detail else ""
            _log.info("stream %s: publishing is %s%s", self._name, state.value, words)


class _Push:
    """One connection to the RTSP server: an encoder, and the process that it writes to."""

    def __init__(self, url: str, height: int, width: int, palette: Pixels) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", rtsp_push.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._said = b""
        self._encoder: LiveEncoder | None = None
        self._url, self._size, self._palette = url, (height, width), palette

    def __enter__(self) -> Self:
        try:
            self.write(f"{self._url}\n".encode())
            self._encoder = LiveEncoder(self, *self._size, self._palette)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._encoder is not None:
            with suppress(OSError, FFmpegError, PublishFailed):
                self._encoder.close()
        self._end()

    @property
    def is_live(self) -> bool:
        """Return whether the RTSP server has accepted the video."""
        self._listen()
        return self._said.startswith(rtsp_push.LIVE.encode())

    def send(self, mask: Mask) -> None:
        """Encode a mask and send it. Raises PublishFailed."""
        assert self._encoder is not None
        began = time.monotonic()
        try:
            self._encoder.add(mask)
        except BrokenPipeError as error:
            raise PublishFailed(self._reason()) from error
        if time.monotonic() - began > WRITE_SECONDS:
            raise PublishFailed("The RTSP server reads too slowly, or not at all.")

    def write(self, data: bytes, /) -> int:
        """Write everything to the process; called by the encoder."""
        left = memoryview(data)
        while left:
            left = left[self._input.write(left) or 0 :]
        return len(data)

    def kill(self) -> None:
        self._process.kill()

    def _reason(self) -> str:
        """Return why the process has ended, in its own words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        self._listen()
        *_, last = self._said.decode().splitlines() or [""]
        if last in ("", rtsp_push.LIVE):
            return "The RTSP server did not answer in time."
        return last

    def _listen(self) -> None:
        while piece := self._output.read(4096):
            self._said += piece

    def _end(self) -> None:
        with suppress(OSError):
            self._input.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._output.close()
