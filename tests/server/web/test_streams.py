"""Accepting stream sockets: which are accepted, and that all end when the server drains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.service.running import Service
from server.settings import Settings


@contextmanager
def service(folder: Path) -> Iterator[tuple[TestClient, Service]]:
    app = create_app(Settings(folder=folder), lambda: FakeEngine(fake_spec(16, 16)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web, app.state.service


@pytest.mark.parametrize(
    ("query", "offered", "accepted"),
    [
        ("", None, None),
        ("", ["mastream.v1"], "mastream.v1"),
        ("?model=fake", ["other", "mastream.v1"], "mastream.v1"),
    ],
)
def test_who_is_let_in(
    tmp_path: Path, query: str, offered: list[str] | None, accepted: str | None
) -> None:
    with (
        service(tmp_path) as (web, _),
        web.websocket_connect(f"/v1/stream{query}", subprotocols=offered) as socket,
    ):
        assert socket.accepted_subprotocol == accepted
        socket.send_json({"type": "open"})
        assert socket.receive_json()["type"] == "ready"


@pytest.mark.parametrize(
    ("query", "offered", "close"),
    [("?model=nobody", None, 4404), ("", ["mastream.v9"], 4400)],
)
def test_who_is_turned_away(
    tmp_path: Path, query: str, offered: list[str] | None, close: int
) -> None:
    with service(tmp_path) as (web, running):
        with web.websocket_connect(f"/v1/stream{query}", subprotocols=offered) as socket:
            told = socket.receive_json()
            assert told["type"] == "error" and told["fatal"]
            ended = socket.receive()
        assert (ended["code"], ended["reason"]) == (close, told["code"])
        assert f'mastream_rejected_total{{reason="{told["code"]}"}} 1.0' in web.get("/metrics").text
        assert len(running.parts.streams) == 0


def test_draining_lets_all_finish_and_nobody_in(tmp_path: Path) -> None:
    with service(tmp_path) as (web, running):
        assert web.portal
        with web.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "open"})
            assert socket.receive_json()["type"] == "ready"
            draining = web.portal.start_task_soon(running.drain)
            assert socket.receive_json()["type"] == "going_away"
            assert socket.receive()["code"] == 1012
        draining.result(30)
        assert web.get("/health/ready").json()["reasons"] == ["the service is about to stop"]
        with web.websocket_connect("/v1/stream") as late:
            assert late.receive_json()["code"] == "draining"
            assert late.receive()["code"] == 1013
