"""Every error that the service can report to a user.

    MastreamError
    |-- BadInput                 the caller's fault; trying again unchanged will not help
    |   |-- BadMessage           bytes that are not a message of this protocol
    |   |-- BadRequest           well-formed, but a field is wrong
    |   |-- OutOfSequence        seq did not rise
    |   |-- Undecodable          a picture that no decoder reads
    |   |-- BadRecording         not a recording, or a damaged one
    |   |-- BadVideo             not a video, or one that cannot be processed
    |   |   `-- UnsupportedMedia an unknown container
    |   `-- TooLarge             over a limit; refused before it is decoded
    |       |-- UrlTooLong       a request line over a limit
    |       `-- HeadTooLarge     a request's headers over a limit
    |-- Unauthorized             no key, or one that is not valid
    |-- Forbidden                the key, or the page that sent the request, may not do this
    |-- Misdirected              a name that is not this server's
    |-- TooMany                  one client's limit; try again later
    |-- NotFound                 no such model, stream, video
    |-- Conflict                 the object's state does not allow it
    |   |-- OffsetMismatch       a part of an upload that does not begin where the last one ended
    |   `-- TakenOver            a newer connection continues the session or the upload
    |-- Elsewhere                another server of this cluster has it; its address is known
    |-- NoCapacity               full, or not serving yet; try again later
    |   |-- Draining             about to stop; the next server takes over
    |   `-- NotReady             the result of a health check
    |-- TooSlow                  idle, or does not read what it is sent
    `-- Fault                    the server's fault
        |-- Unavailable          the database or the identity provider does not answer; it may soon
        |-- DiskFull             nothing more can be written; it can be once there is space
        |-- EngineFault          a step failed; every memory is as it was
        |   `-- EngineDead       the engine must be restarted
        `-- SourceFault          a camera or file failed while being read
            |-- SourceUnreachable  no connection: refused, no route, no such host
            |-- SourceSilent       nothing came in time, also while connecting
            `-- SourceRefused      the camera refused; it will do so again
                |-- SourceUnauthorized  it does not accept this user and password, or no password
                |-- SourceNotFound      it has nothing at this path
                `-- SourceForbidden     the server may not open the address

Each class defines its stable ``code`` (in problem+json and the close reason), its HTTP ``status``
and the WebSocket ``close`` code with which it ends a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from errno import EDQUOT, ENOSPC
from types import MappingProxyType
from typing import Any, ClassVar, Self


class MastreamError(Exception):
    """The base of all. The message is one sentence for the user that says what to do."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    close: ClassVar[int] = 1011
    numbers: Mapping[str, int] = MappingProxyType({})
    """Further members of the problem: how much of a limit is used."""

    def with_numbers(self, **numbers: int) -> Self:
        """Return the error itself, with numbers for programs."""
        self.numbers = MappingProxyType(numbers)
        return self

    def problem(self) -> dict[str, Any]:
        """Return the error as an RFC 9457 object."""
        return {
            "type": f"urn:mastream:error:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "code": self.code,
            "detail": str(self),
            **self.numbers,
        }


def detached(error: Exception) -> MastreamError:
    """Return an equal error without traceback, cause and context; a foreign one becomes a Fault.

    Use it for errors that are stored: a traceback keeps the frames of the code that failed alive,
    and with them pictures and decoders. Log the original error first.
    """
    if isinstance(error, MastreamError):
        return type(error)(*error.args)
    return Fault("The server failed; its log says why.")


def of_problem(problem: Mapping[str, Any]) -> MastreamError:
    """Return the error that an RFC 9457 object was made of; an unknown one becomes a Fault."""
    kind = {kind.code: kind for kind in _kinds(MastreamError)}.get(problem["code"], Fault)
    return kind(problem["detail"])


def _kinds(kind: type[MastreamError]) -> Iterator[type[MastreamError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


def unwritable(what: str, errno: int | None, reason: str | None) -> MastreamError:
    """Return the error for ``what``, which could not be written: DiskFull if ``errno`` says that no
    space is left on the disk or for this user, otherwise a Fault with the reason."""
    if errno in (ENOSPC, EDQUOT):
        return DiskFull(
            f"{what} could not be written since the server's disk is full: remove videos, or try "
            "again later."
        )
    return Fault(f"{what} could not be written: {reason}.")


def strip(error: BaseException | None) -> None:
    """Remove traceback, cause and context from a handled error, to free the frames they hold."""
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


class BadRecording(BadInput):
    code, status, close = "bad_recording", 422, 4400


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


class Unauthorized(MastreamError):
    code, status, close = "unauthorized", 401, 4401


class Forbidden(MastreamError):
    code, status, close = "forbidden", 403, 4403


class Misdirected(MastreamError):
    code, status, close = "misdirected", 421, 4403


class TooMany(MastreamError):
    code, status, close = "too_many", 429, 4429


class NotFound(MastreamError):
    code, status, close = "not_found", 404, 4404


class Conflict(MastreamError):
    code, status, close = "conflict", 409, 4409


class OffsetMismatch(Conflict):
    code = "offset_mismatch"


class TakenOver(Conflict):
    code = "taken_over"


class Elsewhere(MastreamError):
    """Another server has the object; ``url`` is that server's address."""

    code = "elsewhere"
    status = 307
    close = 1012

    def __init__(self, detail: str, url: str = "") -> None:
        super().__init__(detail)
        self.url = url


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


class Unavailable(Fault):
    code, status, close = "unavailable", 503, 1013


class DiskFull(Fault):
    code, status = "disk_full", 507


class EngineFault(Fault):
    code = "engine_fault"


class EngineDead(EngineFault):
    code = "engine_dead"


class SourceFault(Fault):
    code, status = "source_fault", 502


class SourceUnreachable(SourceFault):
    code = "source_unreachable"


class SourceSilent(SourceFault):
    code = "source_silent"


class SourceRefused(SourceFault):
    code = "source_refused"


class SourceUnauthorized(SourceRefused):
    code = "source_unauthorized"


class SourceNotFound(SourceRefused):
    code = "source_not_found"


class SourceForbidden(SourceRefused):
    code, status = "source_forbidden", 403
