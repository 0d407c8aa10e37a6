"""Every error the service can tell a user.

    MastreamError
    |-- BadInput                 the caller's fault; trying again unchanged will not help
    |   |-- BadMessage           bytes that are not a message of ours
    |   |-- BadRequest           well-formed, but a field is wrong
    |   |-- OutOfSequence        seq did not rise
    |   |-- Undecodable          a picture that no decoder reads
    |   |-- BadVideo             not a video, or one that cannot be served
    |   |   `-- UnsupportedMedia no container known here
    |   `-- TooLarge             over a limit; refused before it is decoded
    |       |-- UrlTooLong       a request line over a limit
    |       `-- HeadTooLarge     a request's headers over a limit
    |-- NotFound                 no such model, stream, video
    |-- Conflict                 the thing's state does not allow it
    |-- NoCapacity               full, or not serving yet; come back
    |   |-- Draining             about to stop; its successor takes over
    |   `-- NotReady             the answer of a health check
    |-- TooSlow                  idle, or not reading what it is sent
    `-- Fault                    our fault
        |-- EngineFault          a step failed; every memory is as it was
        |   `-- EngineDead       the engine must be restarted
        `-- SourceFault          a camera or file broke while being read

Each class names its stable ``code`` (problem+json and the close reason), its HTTP ``status``
and the WebSocket ``close`` code it ends a stream with.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MastreamError(Exception):
    """Base of all. The message is one sentence for the user that says what to do."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    close: ClassVar[int] = 1011

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 object."""
        return {
            "type": f"urn:mastream:error:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "code": self.code,
            "detail": str(self),
        }


def detached(error: Exception) -> MastreamError:
    """Return an equal error without traceback, cause and context; a foreign one becomes a Fault.

    Whoever keeps an error for later keeps this: a traceback holds the frames of the code that
    failed, and with them pictures and decoders. What it tells is to be logged before.
    """
    if isinstance(error, MastreamError):
        return type(error)(*error.args)
    return Fault("The server failed; its log says why.")


def strip(error: BaseException | None) -> None:
    """Take traceback, cause and context from an error that was dealt with, to free their frames."""
    if error is None:
        return
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    inner = (*members, error.__cause__, error.__context__)
    error.__traceback__ = error.__cause__ = error.__context__ = None
    for one in inner:
        strip(one)


class BadInput(MastreamError):
    code, status, close = "bad_input", 400, 4400


class BadMessage(BadInput):
    code, status, close = "bad_message", 400, 4400


class BadRequest(BadInput):
    code, status, close = "bad_request", 422, 4400


class OutOfSequence(BadInput):
    code, status, close = "out_of_sequence", 422, 4422


class Undecodable(BadInput):
    code, status, close = "undecodable", 422, 4400


class BadVideo(BadInput):
    code, status, close = "bad_video", 422, 4400


class UnsupportedMedia(BadVideo):
    code, status, close = "unsupported_media", 415, 4400


class TooLarge(BadInput):
    code, status, close = "too_large", 413, 4413


class UrlTooLong(TooLarge):
    code, status = "url_too_long", 414


class HeadTooLarge(TooLarge):
    code, status = "headers_too_large", 431


class NotFound(MastreamError):
    code, status, close = "not_found", 404, 4404


class Conflict(MastreamError):
    code, status, close = "conflict", 409, 4409


class NoCapacity(MastreamError):
    code, status, close = "no_capacity", 503, 4503


class Draining(NoCapacity):
    code, close = "draining", 1013


class NotReady(NoCapacity):
    code = "not_ready"


class TooSlow(MastreamError):
    code, status, close = "too_slow", 408, 4408


class Fault(MastreamError):
    code, status, close = "fault", 500, 1011


class EngineFault(Fault):
    code = "engine_fault"


class EngineDead(EngineFault):
    code = "engine_dead"


class SourceFault(Fault):
    code, status = "source_fault", 502
