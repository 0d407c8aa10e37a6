import json
import ssl

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidHandshake
from websockets.frames import Close

from clients.python import errors
from clients.python.foreign import closed, message_errors, of_problem, socket_errors, web_errors
from protocol import ProtocolError


def test_problems_speak_for_themselves() -> None:
    body = json.dumps({"detail": "too long", "code": "too_large"}).encode()
    error = of_problem(413, body)
    assert isinstance(error, errors.TooLarge)
    assert (str(error), error.code) == ("too long", "too_large")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}"])
def test_other_bodies_leave_the_fallback(body: bytes) -> None:
    assert str(of_problem(404, body, "not there")) == "not there"


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (ConnectionRefusedError(111, "x"), errors.Unreachable, "connection refused"),
        (TimeoutError(), errors.Unreachable, "too long"),
        (ssl.SSLError(1, "x"), errors.Unreachable, "certificate"),
        (OSError(113, "No route to host"), errors.Unreachable, "No route to host"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] ..."),
            errors.Unreachable,
            r"connection refused\.$",
        ),
        (InvalidHandshake("odd"), errors.NotOurs, "not a mastream server: odd"),
    ],
)
def test_opening_a_socket(raised: Exception, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says) as caught, socket_errors("ws://h"):
        raise raised
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(ProtocolError("odd"), errors.NotOurs), (TimeoutError(), errors.Unreachable)],
)
def test_messages(raised: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind), message_errors():
        raise raised


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (httpx.ConnectError("refused"), errors.Unreachable, "^No server answers"),
        (httpx.ReadTimeout("slow"), errors.Unreachable, "in time"),
        (httpx.WriteError("broken"), errors.Unreachable, "over a limit"),
        (httpx.RemoteProtocolError("gone"), errors.Unreachable, "broke off"),
        (httpx.ReadError(""), errors.Unreachable, "broke off"),
        (httpx.UnsupportedProtocol("odd"), errors.ClientError, "address"),
    ],
)
def test_the_web(raised: Exception, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says), web_errors("http://h"):
        raise raised


def test_the_web_reports_what_the_system_said() -> None:
    raised = httpx.ConnectError("All connection attempts failed")
    raised.__cause__ = ExceptionGroup("several", [ConnectionRefusedError(111, "x")])
    says = r"answers at http://h:1: connection refused\.$"
    with pytest.raises(errors.Unreachable, match=says), web_errors("http://me:secret@h:1"):
        raise raised


def test_a_closed_socket_reports_why_or_that_it_was_lost() -> None:
    told = closed(ConnectionClosedError(Close(4408, "too_slow"), None, None))
    assert isinstance(told, errors.TooSlow)
    assert told.code == "too_slow"
    assert isinstance(closed(ConnectionClosedError(None, None, None)), errors.Unreachable)
