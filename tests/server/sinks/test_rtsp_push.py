from __future__ import annotations

import errno

import pytest
from av.error import FFmpegError, HTTPUnauthorizedError

from server.sinks.rtsp_push import sentence

SECRET = "rtsp://user:geheim@host/overlay"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (HTTPUnauthorizedError(-1, "Server returned 401", SECRET), "user name or password"),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused", SECRET),
            "No RTSP server",
        ),
        (FFmpegError(errno.EIO, "Input/output error", SECRET), "broke off: Input/output error."),
        (OSError(errno.EHOSTUNREACH, "No route to host", SECRET), "No route to host."),
        (ValueError(SECRET), "broke off: ValueError."),
    ],
)
def test_failures_are_reported_in_a_sentence_without_the_address(
    error: Exception, words: str
) -> None:
    told = sentence(error)
    assert words in told
    assert told.endswith(".") and "geheim" not in told and "\n" not in told
