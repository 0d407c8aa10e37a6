"""Requests beyond a limit are refused at once, with the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import LimitSettings, LiveSettings, Settings, StreamSettings, VideoSettings


@contextmanager
def serving(folder: Path, streams: int = 64, **limits: int) -> Iterator[TestClient]:
    settings = Settings(
        folder=folder,
        limits=LimitSettings(**limits),
        streams=StreamSettings(max_sessions=streams),
        videos=VideoSettings(min_free_bytes=0),
        live=LiveSettings(files=folder),
    )
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


def opened(socket: WebSocketTestSession) -> dict[str, Any]:
    socket.send_json({"type": "open"})
    answer: dict[str, Any] = socket.receive_json()
    return answer


def picture(side: int) -> bytes:
    done, data = cv2.imencode(".jpg", np.zeros((side, side, 3), np.uint8))
    assert done
    return data.tobytes()


@pytest.mark.parametrize(
    ("limits", "code", "status"),
    [({"key_sessions": 1}, "too_many", 429), ({"streams": 1}, "no_capacity", 503)],
)
def test_a_session_too_many_is_refused(
    tmp_path: Path, limits: dict[str, int], code: str, status: int
) -> None:
    with serving(tmp_path, **limits) as web, web.websocket_connect("/v1/stream") as one:
        assert opened(one)["type"] == "ready"
        with web.websocket_connect("/v1/stream") as two:
            refused = opened(two)
        assert (refused["code"], refused["status"]) == (code, status)
        used = web.get("/v1/capacity").json()["limits"]["sessions"]
        assert (used["used"], used["yours"], used["each"]) == (1, 1, limits.get("key_sessions"))
        assert f'mastream_rejected_total{{reason="{code}"}} 1.0' in web.get("/metrics").text


def test_pixels_above_the_rate_are_answered_at_once_and_the_stream_continues(
    tmp_path: Path,
) -> None:
    with (
        serving(tmp_path, key_pixels_per_second=100 * 100) as web,
        web.websocket_connect("/v1/stream") as socket,
    ):
        socket.send_json({"type": "open", "policy": "every"})
        assert socket.receive_json()["type"] == "ready"
        for seq, side in enumerate((90, 90, 10)):
            socket.send_bytes(protocol.pack(protocol.FrameHeader(seq=seq), picture(side)))
        answers = [socket.receive() for _ in range(3)]
    refused = [one["text"] for one in answers if one.get("text")]
    assert len(refused) == 1, "the small picture fits, and the first"
    assert '"too_many"' in refused[0] and "10000 pixels per second" in refused[0]


def test_an_upload_too_many_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with serving(tmp_path, key_uploads=1) as web:
        uploading = web.app.state.service.parts.uploading  # type: ignore[attr-defined]
        with uploading.take("testclient"):
            answer = web.post("/v1/videos", content=b"x" * 100)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"
        problem = answer.json()
        assert (problem["code"], problem["used"], problem["limit"]) == ("too_many", 1, 1)
        assert web.post("/v1/videos", content=b"x" * 100).status_code == 415
        assert uploading.used == 0


def test_the_capacity_is_measured_while_it_serves(tmp_path: Path) -> None:
    with serving(tmp_path) as web:
        before = web.get("/v1/capacity").json()
        assert before["frames_per_second"] == 0 and before["engines"][0]["steps"] == []
        with web.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "open", "policy": "every"})
            assert socket.receive_json()["type"] == "ready"
            for seq in range(5):
                socket.send_bytes(protocol.pack(protocol.FrameHeader(seq=seq), picture(64)))
                assert socket.receive()["bytes"]
            after = web.get("/v1/capacity").json()
    assert [step["frames"] for step in after["engines"][0]["steps"]] == [1]
    assert after["frames_per_second"] > 0 and after["used"] >= 0.4
    assert 0 < after["left"] <= after["frames_per_second"]
    assert after["limits"]["viewers"] == {"used": 0, "total": 1000, "yours": 0, "each": None}
