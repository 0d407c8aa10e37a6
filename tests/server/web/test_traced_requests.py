"""Requests, sockets, their frames and videos on a real service are traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from small_stream import WISH
from video_service import ended, post

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.service import parts
from server.settings import Settings, VideoSettings
from server.telemetry.stages import STAGES
from server.telemetry.tracing import Tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def web(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> Iterator[TestClient]:
    traced = Tracing(SimpleSpanProcessor(spans), 1.0)
    monkeypatch.setattr(parts, "make_tracing", lambda _: traced)
    settings = Settings(folder=tmp_path / "data", videos=VideoSettings(min_free_bytes=0))
    app = create_app(settings, lambda: FakeEngine(fake_spec(16, 16)))
    with TestClient(app) as client:
        assert client.portal
        client.portal.call(app.state.service.loaded)
        yield client


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [one for one in spans.get_finished_spans() if one.name == name]


def test_a_request_has_the_name_of_its_route_and_no_query(
    web: TestClient, spans: InMemorySpanExporter
) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "mine-1"}
    web.get("/v1/models/fake?ticket=secret", headers=headers)
    (span,) = spans.get_finished_spans()
    assert span.context and f"{span.context.trace_id:032x}" == TRACE
    assert span.name.startswith("GET /v1/models/{")
    assert span.attributes and span.attributes["http.response.status_code"] == 200
    assert span.attributes["mastream.request_id"] == "mine-1"
    assert "secret" not in span.to_json()


def test_requests_of_supervisors_are_not_traced(
    web: TestClient, spans: InMemorySpanExporter
) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert web.get(path).status_code == 200
    assert not spans.get_finished_spans()


def test_a_frame_of_a_stream_is_eight_spans_linked_to_its_socket(
    web: TestClient, spans: InMemorySpanExporter
) -> None:
    with web.websocket_connect("/v1/stream") as socket:
        socket.send_json(WISH)
        assert socket.receive_json()["type"] == "ready"
        picture = np.zeros((16, 16, 3), np.uint8).tobytes()
        for seq in (1, 2):
            socket.send_bytes(protocol.pack({"seq": seq}, picture))
            socket.receive_bytes()
        socket.send_json({"type": "end"})
        assert socket.receive_json()["type"] == "end"
    frames, (of_socket,) = named(spans, "frame"), named(spans, "WEBSOCKET /v1/stream")
    assert [one.attributes["mastream.seq"] for one in frames if one.attributes] == [1, 2]
    assert all(one.links[0].context == of_socket.context for one in frames)
    for whole in frames:
        parts_of = [one for one in spans.get_finished_spans() if one.parent == whole.context]
        assert [one.name for one in parts_of] == list(STAGES)


def test_a_video_is_a_span(
    web: TestClient, spans: InMemorySpanExporter, tmp_path: Path, make_clip: Callable[..., Any]
) -> None:
    make_clip(tmp_path / "film.mp4")
    video = post(web, (tmp_path / "film.mp4").read_bytes())
    assert ended(web, video)["state"] == "succeeded"
    (span,) = named(spans, "video")
    assert span.attributes and span.attributes["mastream.video"] == video["id"]
    assert span.attributes["mastream.state"] == "succeeded"
