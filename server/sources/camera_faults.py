"""The faults of a URL, from FFmpeg's errors; without the URL, which may contain a password."""

from __future__ import annotations

from errno import (
    EACCES,
    ECONNABORTED,
    ECONNREFUSED,
    EHOSTDOWN,
    EHOSTUNREACH,
    EIO,
    ENETDOWN,
    ENETUNREACH,
    ETIMEDOUT,
)

from av.error import (
    ExitError,
    FFmpegError,
    HTTPClientError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPServerError,
    HTTPUnauthorizedError,
)

from server.errors import (
    SourceFault,
    SourceNotFound,
    SourceRefused,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
)

_NO_CONNECTION = frozenset(
    {ECONNABORTED, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ETIMEDOUT}
)


_ANSWERS: tuple[tuple[type[FFmpegError], type[SourceFault], str], ...] = (
    (HTTPUnauthorizedError, SourceUnauthorized, "The source refuses this user and password."),
    (HTTPForbiddenError, SourceUnauthorized, "The source refuses this user and password."),
    (HTTPNotFoundError, SourceNotFound, "The source has nothing at this path."),
    (HTTPClientError, SourceRefused, "The source refuses the request: {}."),
    (HTTPServerError, SourceFault, "The source fails: {}."),
)
"""The errors with which a camera may answer, both in RTSP and HTTP; the first match counts."""


def not_opened(error: FFmpegError, timeout: float | None, seconds: float) -> SourceFault:
    """Return the error to raise if a URL could not be opened."""
    if isinstance(error, ExitError) or (timeout is not None and seconds >= timeout):
        return SourceSilent(f"The source did not answer within {timeout or 0:g} s.")
    if error.errno == EACCES:
        return _more_connections()
    for answer, fault, sentence in _ANSWERS:
        if isinstance(error, answer):
            return fault(sentence.format(error.strerror))
    if error.errno == EIO:
        return SourceUnreachable(
            "The source cannot be reached: there is no such host, or it closed the connection."
        )
    if error.errno in _NO_CONNECTION:
        return SourceUnreachable(f"The source cannot be reached: {error.strerror}.")
    return SourceFault("The source sends no video in a supported format.")


def broken_off(error: FFmpegError, timeout: float | None) -> SourceFault:
    """Return the error to raise if reading a URL failed."""
    if isinstance(error, ExitError):
        return silent(timeout or 0)
    if error.errno == EACCES:
        return _more_connections()
    return SourceFault(f"The connection to the source failed: {error.strerror}.")


def silent(timeout: float) -> SourceSilent:
    """Return the error to raise if nothing arrived for ``timeout`` seconds."""
    return SourceSilent(f"The source sent nothing for {timeout:g} s.")


def _more_connections() -> SourceFault:
    """Return what to raise if FFmpeg asked for another connection than the one in the sandbox."""
    return SourceFault(
        "The source needs several connections (a password over HTTP, a redirect or a playlist), of "
        "which the sandbox allows one: use RTSP, or the address that it redirects to."
    )
