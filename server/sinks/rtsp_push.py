"""Push an encoded video from standard input to an RTSP server, in a separate process.

FFmpeg connects to an RTSP server, and disconnects, without releasing Python's lock, so a server
that does not answer would stop every stream of the process. In this process it stops nothing else,
and the parent can kill it.

The first line of standard input is the address, which ``ps`` cannot show there; the video follows
in NUT. The process prints "live" once the server has accepted the video, or else a sentence that
says what failed.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

import av
from av.container import InputContainer, OutputContainer
from av.error import (
    ExitError,
    FFmpegError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPUnauthorizedError,
    InvalidDataError,
)

CONNECT_SECONDS = 10
"""After this time the process is killed, even during a name lookup, which FFmpeg's own time limit
does not cover."""

SOCKET_SECONDS = 5
LIVE = "live"

_UNANSWERED = "The RTSP server did not answer: check that it accepts RECORD."
_SENTENCES: dict[type[Exception], str] = {
    ConnectionRefusedError: "No RTSP server listens at the address: check host and port.",
    HTTPUnauthorizedError: "The RTSP server refused the user name or password.",
    HTTPForbiddenError: "The RTSP server does not allow publishing to this path.",
    HTTPNotFoundError: "The RTSP server has no such path.",
    TimeoutError: _UNANSWERED,
    InvalidDataError: _UNANSWERED,
    ExitError: _UNANSWERED,
}


class Unbuffered:
    """Standard input that returns what has arrived instead of waiting for a whole buffer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read1(size)  # type: ignore[attr-defined, no-any-return]


def push(source: InputContainer, target: OutputContainer) -> None:
    """Copy the packets of ``source`` to the RTSP server as they arrive, until they end."""
    stream = source.streams.video[0]
    sent = target.add_stream_from_template(stream)
    target.start_encoding()
    signal.alarm(0)
    print(LIVE, flush=True)
    for packet in source.demux(stream):
        if packet.dts is not None:
            packet.stream = sent
            target.mux(packet)


def sentence(error: Exception) -> str:
    """Return a sentence about the failure, without the address: FFmpeg's own text contains the
    password."""
    known = (text for kind, text in _SENTENCES.items() if isinstance(error, kind))
    reason = getattr(error, "strerror", None) or type(error).__name__
    return next(known, f"The RTSP server broke off: {reason}.")


def main() -> int:
    """Push until standard input ends, and return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets Ctrl-C too, and ends this
    signal.alarm(CONNECT_SECONDS)
    url = sys.stdin.buffer.readline().decode().strip()
    options = {"rtsp_transport": "tcp", "timeout": str(SOCKET_SECONDS * 1_000_000)}
    try:
        source = av.open(
            Unbuffered(sys.stdin.buffer),
            format="nut",
            options={"probesize": "32", "analyzeduration": "0", "fflags": "nobuffer"},
        )
        assert isinstance(source, InputContainer)
        with source, av.open(url, "w", format="rtsp", options=options) as target:
            push(source, target)
    except (FFmpegError, OSError, ValueError) as error:
        print(sentence(error), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
