"""Conversations that something goes wrong in: each stream hears of its own trouble alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineFault
from server.frame import Pixels
from server.settings import Settings
from server.sinks.answers import Answers

WISH = {
    "type": "open",
    "input": "rgb24",
    "width": 16,
    "height": 16,
    "output": "none",
    "size": "model",
    "policy": "every",
}
POISON = 66


@contextmanager
def service(
    folder: Path, on_step: Callable[[Sequence[Pixels]], None] | None = None
) -> Iterator[TestClient]:
    app = create_app(
        Settings(folder=folder), lambda: FakeEngine(fake_spec(16, 16), on_step=on_step)
    )
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


@contextmanager
def stream(web: TestClient) -> Iterator[WebSocketTestSession]:
    with web.websocket_connect("/v1/stream") as socket:
        socket.send_json(WISH)
        assert socket.receive_json()["type"] == "ready"
        yield socket


def send(socket: WebSocketTestSession, seq: int, value: int = 0) -> None:
    socket.send_bytes(protocol.pack({"seq": seq}, bytes([value]) * (16 * 16 * 3)))


def mask(socket: WebSocketTestSession) -> protocol.MaskHeader:
    message = socket.receive_bytes()
    return protocol.MaskHeader.from_dict(protocol.unpack(message, len(message)).header)


def refuse_poison(frames: Sequence[Pixels]) -> None:
    if any(frame[0, 0, 0] == POISON for frame in frames):
        raise EngineFault("this frame is poison")


def test_a_failed_step_is_told_and_the_stream_goes_on(tmp_path: Path) -> None:
    with service(tmp_path, refuse_poison) as web, stream(web) as socket, stream(web) as other:
        send(socket, 0)
        assert mask(socket).memory.filled == 0
        send(socket, 1, POISON)
        send(other, 0)
        told = socket.receive_json()
        assert (told["type"], told["code"], told["seq"]) == ("error", "engine_fault", 1)
        assert not told["fatal"] and told["detail"] == "this frame is poison"
        assert mask(other).seq == 0
        send(socket, 2)
        assert (mask(socket)).memory.filled == 1


def test_a_failure_of_ours_ends_its_stream_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = Answers.pack

    def pack(answers: Answers, one: object) -> bytes:
        if one.frame.pixels[0, 0, 0] == POISON:  # type: ignore[attr-defined]
            raise RuntimeError("a secret")
        return packed(answers, one)  # type: ignore[arg-type]

    monkeypatch.setattr(Answers, "pack", pack)
    with service(tmp_path) as web, stream(web) as other:
        with stream(web) as socket:
            send(socket, 0, POISON)
            told = socket.receive_json()
            assert (told["code"], told["fatal"]) == ("fault", True)
            assert "secret" not in told["detail"]
            ended = socket.receive()
            assert (ended["code"], ended["reason"]) == (1011, "fault")
        send(other, 0)
        assert mask(other).seq == 0


def test_frames_taken_before_a_bad_message_are_still_answered(tmp_path: Path) -> None:
    with service(tmp_path) as web, stream(web) as socket:
        for seq in range(3):
            send(socket, seq)
        socket.send_text("nonsense")
        assert [mask(socket).seq for _ in range(3)] == [0, 1, 2]
        assert socket.receive_json()["code"] == "bad_message"
        assert socket.receive()["code"] == 4400


def test_a_client_that_leaves_frees_its_session(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        with stream(web) as socket:
            send(socket, 0)
        with stream(web) as socket:
            send(socket, 0)
            assert mask(socket).batch == 1
            text = web.get("/metrics").text
    assert 'mastream_sessions{state="idle"} 1.0' in text
