"""Translate other libraries' errors into ClientErrors."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ECONNREFUSED
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from clients.python.addresses import EXAMPLE, shown
from clients.python.errors import ClientError, NotOurs, Unreachable, of_close, of_status
from protocol import Failure, ProtocolError


@contextmanager
def socket_errors(url: str) -> Iterator[None]:
    """Translate errors of opening a WebSocket at ``url``."""
    url = shown(url)
    try:
        yield
    except InvalidStatus as error:
        status, body = error.response.status_code, bytes(error.response.body or b"")
        fallback = (
            f"The request to {url} failed with status {status}; check that it is a mastream server."
        )
        raise of_problem(status, body, fallback) from error
    except InvalidURI as error:
        raise ClientError(f"{url!r} is not a server's address; give one like {EXAMPLE}.") from error
    except ConnectionClosed as error:
        raise closed(error) from error
    except WebSocketException as error:
        raise NotOurs(f"The server at {url} is not a mastream server: {_text(error)}.") from error
    except OSError as error:
        raise Unreachable(f"No server answers at {url}: {_reason(error)}.") from error


@contextmanager
def message_errors() -> Iterator[None]:
    """Translate errors of the messages on an open stream, except its close."""
    try:
        yield
    except ProtocolError as error:
        raise NotOurs(f"The server does not follow mastream's protocol: {_text(error)}.") from error
    except TimeoutError as error:
        raise Unreachable("The server did not answer in time.") from error


@contextmanager
def web_errors(url: str) -> Iterator[None]:
    """Translate errors of an HTTP request to ``url``."""
    url = shown(url)
    try:
        yield
    except httpx.WriteError as error:
        raise Unreachable(
            "The server broke off the upload; the file may be over a limit."
        ) from error
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise Unreachable("The server broke off the connection.") from error
    except httpx.TimeoutException as error:
        raise Unreachable(f"The server at {url} did not answer in time.") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ClientError(f"{url!r} is not a server's address; give one like {EXAMPLE}.") from error
    except httpx.ConnectError as error:
        raise Unreachable(f"No server answers at {url}: {_reason(_root(error))}.") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"The connection to {url} was lost: {_text(error)}.") from error


def closed(error: ConnectionClosed, last: Failure | None = None) -> ClientError:
    """Return the error for a closed socket. ``last`` is the fatal ``error`` that preceded it."""
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (None, "")
    if last is None:
        return of_close(code, reason)
    ended = of_close(code, reason or last.code, last.detail)
    return of_failure(last) if isinstance(ended, Unreachable) else ended


def of_failure(last: Failure) -> ClientError:
    """Return the error for a fatal ``error`` if the close code is no more specific."""
    return of_status(last.status, last.detail, last.code)


def of_problem(status: int, body: bytes, fallback: str = "") -> ClientError:
    """Return the error for an answer with an RFC 9457 body; without such a body, ``fallback`` is
    the message."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return of_status(status, fallback)
    detail = str(problem.get("detail") or fallback)
    return of_status(status, detail, str(problem.get("code", "")))


def checked_answer(answer: httpx.Response, url: str) -> httpx.Response:
    """Return the answer of the server at ``url``. Raises a ClientError if it is an error; its body
    must have been read already."""
    if answer.is_error:
        fallback = f"The request to {shown(url)} failed with status {answer.status_code};"
        fallback += " check that it is a mastream server."
        raise of_problem(answer.status_code, answer.content, fallback)
    return answer


def json_of(body: bytes | str) -> Any:
    """Return the value in an answer's body. Raises NotOurs."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise NotOurs(
            "The server's answer is not JSON; check that it is a mastream server."
        ) from error


def _root(error: BaseException) -> BaseException:
    """Return the operating system's error, which httpx wraps in a less precise one."""
    if isinstance(error, BaseExceptionGroup):
        return _root(error.exceptions[0])
    inner = error.__cause__ or error.__context__
    return error if inner is None else _root(inner)


def _reason(error: BaseException) -> str:
    """Return the reason in words. A TimeoutError is an OSError too and often has no text; asyncio
    joins the errors of several addresses in one text."""
    if isinstance(error, ssl.SSLError):
        return "its certificate or encryption is not accepted"
    number = re.search(r"\[Errno (\d+)\]", str(error))
    if isinstance(error, ConnectionRefusedError) or (number and int(number[1]) == ECONNREFUSED):
        return "connection refused"
    return getattr(error, "strerror", None) or _text(error) or "it took too long"


def _text(error: BaseException) -> str:
    """Return the error's text without its full stop, to end a sentence with."""
    return str(error).rstrip(".")
