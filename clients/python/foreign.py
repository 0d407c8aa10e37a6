"""The border where other libraries' errors become ours."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ECONNREFUSED

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from clients.python.addresses import shown
from clients.python.errors import ClientError, NotOurs, Unreachable, of_close, of_status
from protocol import Failure, ProtocolError


@contextmanager
def socket_errors(url: str) -> Iterator[None]:
    """Errors of opening a WebSocket at ``url``."""
    url = shown(url)
    try:
        yield
    except InvalidStatus as error:
        status, body = error.response.status_code, bytes(error.response.body or b"")
        fallback = f"{url} is refused with {status}: is it a mastream server's address?"
        raise of_problem(status, body, fallback) from error
    except InvalidURI as error:
        raise ClientError(f"{url!r} is not a server's address") from error
    except ConnectionClosed as error:
        raise closed(error) from error
    except WebSocketException as error:
        raise NotOurs(f"what answers at {url} is not a mastream server: {error}") from error
    except OSError as error:
        raise Unreachable(f"no server answers at {url}: {_reason(error)}") from error


@contextmanager
def message_errors() -> Iterator[None]:
    """Errors of what a server sends once a stream is open, save its closing."""
    try:
        yield
    except ProtocolError as error:
        raise NotOurs(f"the server sent what is not mastream's protocol: {error}") from error
    except TimeoutError as error:
        raise Unreachable("the server did not answer in time") from error


@contextmanager
def web_errors(url: str) -> Iterator[None]:
    """Errors of an HTTP request to ``url``."""
    url = shown(url)
    try:
        yield
    except httpx.WriteError as error:
        raise Unreachable("the server broke off the upload: it may be over a limit") from error
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise Unreachable("the server broke off the connection") from error
    except httpx.TimeoutException as error:
        raise Unreachable(f"the server at {url} did not answer in time") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ClientError(f"{url!r} is not a server's address") from error
    except httpx.ConnectError as error:
        raise Unreachable(f"no server answers at {url}: {_reason(_root(error))}") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"the connection to {url} was lost: {error}") from error


def closed(error: ConnectionClosed, last: Failure | None = None) -> ClientError:
    """What a socket's close means. ``last`` is the fatal ``error`` that came before it."""
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (None, "")
    if last is None:
        return of_close(code, reason)
    ended = of_close(code, reason or last.code, last.detail)
    return of_failure(last) if isinstance(ended, Unreachable) else ended


def of_failure(last: Failure) -> ClientError:
    """The error that a fatal ``error`` means if no close code tells more."""
    return of_status(last.status, last.detail, last.code)


def of_problem(status: int, body: bytes, fallback: str = "") -> ClientError:
    """The error that an answer with an RFC 9457 body means; ``fallback`` where it is another's."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return of_status(status, fallback)
    detail = str(problem.get("detail") or fallback)
    return of_status(status, detail, str(problem.get("code", "")))


def _root(error: BaseException) -> BaseException:
    """What the system said: httpx wraps it, and says less."""
    if isinstance(error, BaseExceptionGroup):
        return _root(error.exceptions[0])
    inner = error.__cause__ or error.__context__
    return error if inner is None else _root(inner)


def _reason(error: BaseException) -> str:
    """TimeoutError is an OSError too, and often says nothing; asyncio puts several into words."""
    if isinstance(error, ssl.SSLError):
        return "its certificate or encryption is not accepted"
    number = re.search(r"\[Errno (\d+)\]", str(error))
    if isinstance(error, ConnectionRefusedError) or (number and int(number[1]) == ECONNREFUSED):
        return "connection refused"
    return getattr(error, "strerror", None) or str(error) or "it took too long"
