"""One connection to an RTSP server: encode here, send in the process of rtsp_push."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from av.error import FFmpegError

from server.frame import Mask, Pixels
from server.sinks import rtsp_push
from server.sinks.live_encoding import LiveEncoder

CLOSE_SECONDS = 2.0
"""How long the process may take to disconnect from the RTSP server before it is killed."""


class PublishFailed(Exception):
    """The RTSP server could not be reached or broke off; the message is a sentence."""


class Push:
    """One connection to the RTSP server: an encoder, and the process that it writes to.

    ``busy_since`` is when the picture that is being sent was begun, in monotonic seconds.
    """

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
        self.busy_since: float | None = None
        self._encoder: LiveEncoder | None = None
        self._url, self._size, self._palette = url, (height, width), palette

    def __enter__(self) -> Self:
        with ExitStack() as unless_it_lives:
            unless_it_lives.callback(self._end)
            try:
                self.write(f"{self._url}\n".encode())
                self._encoder = LiveEncoder(self, *self._size, self._palette)
            except BrokenPipeError as error:
                raise PublishFailed(self._reason()) from error
            unless_it_lives.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._encoder is not None:
                with suppress(OSError, FFmpegError, PublishFailed):
                    self._encoder.close()
        finally:
            self._end()

    @property
    def is_live(self) -> bool:
        """Return whether the RTSP server has accepted the video."""
        self._listen()
        return self._said.startswith(rtsp_push.LIVE.encode())

    def send(self, mask: Mask) -> None:
        """Encode a mask and send it. Raises PublishFailed."""
        assert self._encoder is not None
        self.busy_since = time.monotonic()
        try:
            self._encoder.add(mask)
        except BrokenPipeError as error:
            raise PublishFailed(self._reason()) from error
        finally:
            self.busy_since = None

    def write(self, data: bytes, /) -> int:
        """Write everything to the process; called by the encoder."""
        left = memoryview(data)
        while left:
            left = left[self._input.write(left) or 0 :]
        return len(data)

    def kill(self) -> None:
        self._process.kill()

    def _reason(self) -> str:
        """Return the process's own message about why it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        self._listen()
        *_, last = self._said.decode().splitlines() or [""]
        if last == rtsp_push.LIVE:
            return "The RTSP server reads too slowly, or not at all."
        if not last and (self._process.returncode or 0) > 0:
            return "The process that sends the overlay has died: check the server's installation."
        return last or "The RTSP server did not answer in time."

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
