"""One line per request and per socket, with an id, and never a secret."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.logs import JsonFormatter
from server.settings import Settings
from server.web.request_log import Exchange, described, request_id_of


def client(folder: Path) -> TestClient:
    app = create_app(Settings(folder=folder), lambda: FakeEngine(fake_spec(48, 64)))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("no such luck")

    return TestClient(app, raise_server_exceptions=False)


def requests_in(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [one.__dict__["fields"] for one in caplog.records if one.message == "request"]


@pytest.mark.parametrize("given", ["abc-1.2_X", "a" * 64])
def test_a_plain_id_is_kept(given: str) -> None:
    assert request_id_of(given) == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a\r\nSet-Cookie: x", "ä", "<script>"])
def test_any_other_is_replaced(given: str) -> None:
    made = request_id_of(given)
    assert made != given and len(made) == 16


def test_a_request_is_one_line_and_returns_its_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with client(tmp_path) as web:
        answer = web.get("/v1/nothing?ticket=secret", headers={"X-Request-Id": "mine-1"})
    assert answer.headers["X-Request-Id"] == "mine-1"
    (line,) = requests_in(caplog)
    assert line["ms"] >= 0
    assert {name: line[name] for name in ("method", "path", "status", "client", "sent")} == {
        "method": "GET",
        "path": "/v1/nothing",
        "status": 404,
        "client": "testclient",
        "sent": len(answer.content),
    }
    ours = [one for one in caplog.records if one.name.startswith("server")]
    assert not any("secret" in JsonFormatter().format(one) for one in ours)


def test_a_failure_is_logged_with_its_status_and_its_answer_has_an_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with client(tmp_path) as web:
        answer = web.get("/broken", headers={"X-Request-Id": "mine-2"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (500, "mine-2")
    (line,) = requests_in(caplog)
    assert (line["path"], line["status"]) == ("/broken", 500)


def test_a_socket_is_one_line_with_its_close_code_and_its_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with client(tmp_path) as web:
        assert web.portal
        web.portal.call(web.app.state.service.loaded)  # type: ignore[attr-defined]
        with web.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "open"})
            assert socket.receive_json()["type"] == "ready"
            socket.send_json({"type": "end"})
            socket.receive_json()
    (line,) = requests_in(caplog)
    assert (line["method"], line["status"], line["code"]) == ("WEBSOCKET", 101, 1000)
    assert line["received"] > 20 and line["sent"] > 100
    messages = [one.message for one in caplog.records]
    assert "stream opened" in messages and "stream closed" in messages


def test_probes_that_succeed_are_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with client(tmp_path) as web:
        assert web.get("/health/live").status_code == 200
        assert web.get("/metrics").status_code == 200
    assert not requests_in(caplog)


def test_a_line_is_made_of_the_scope_without_its_query() -> None:
    scope = {"path": "/v1/stream", "query_string": b"ticket=secret", "client": ("10.0.0.1", 5)}
    line = described(scope, Exchange(status=101, code=4400, sent=3, received=4), 0.0125)
    assert line == {
        "method": "WEBSOCKET",
        "path": "/v1/stream",
        "status": 101,
        "code": 4400,
        "ms": 12.5,
        "sent": 3,
        "received": 4,
        "client": "10.0.0.1",
        "key_id": None,
    }
