"""Spans of frames, requests and videos, as an exporter receives them."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from server.frame import Frame, Mask
from server.settings import TelemetrySettings
from server.telemetry.stages import STAGES
from server.telemetry.tracing import Tracing, exporting

PIXELS = np.zeros((2, 2, 3), np.uint8)
MASK = Mask(PIXELS[..., 0], Frame(PIXELS, 7, arrived=10.0, wait=0.1), step=(10.5, 10.6, 10.9))
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def tracing(spans: InMemorySpanExporter, ratio: float = 1.0, chance: float = 0.5) -> Tracing:
    return Tracing(SimpleSpanProcessor(spans), ratio, lambda: chance)


def test_a_frame_is_one_trace_of_eight_stages(spans: InMemorySpanExporter) -> None:
    tracing(spans).frame(MASK, 11.0, 11.3, 11.5)
    *parts, whole = spans.get_finished_spans()
    assert [one.name for one in parts] == list(STAGES)
    assert whole.name == "frame" and whole.parent is None
    assert all(one.parent.span_id == whole.context.span_id for one in parts)
    assert whole.attributes["mastream.seq"] == 7
    assert (whole.end_time - whole.start_time) / 1e9 == pytest.approx(1.5, abs=1e-5)
    assert (parts[0].start_time, parts[-1].end_time) == (whole.start_time, whole.end_time)


@pytest.mark.parametrize(
    ("ratio", "chance", "count"), [(0.0, 0.0, 0), (0.1, 0.2, 0), (0.1, 0.05, 9), (1.0, 0.999, 9)]
)
def test_frames_are_sampled(
    spans: InMemorySpanExporter, ratio: float, chance: float, count: int
) -> None:
    tracing(spans, ratio, chance).frame(MASK, 11.0, 11.3, 11.5)
    assert len(spans.get_finished_spans()) == count


def test_a_request_continues_the_trace_of_its_caller(spans: InMemorySpanExporter) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    with tracing(spans).request("GET", headers) as describe:
        describe("GET /v1/models", 200, {"http.route": "/v1/models", "mastream.key_id": None})
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /v1/models"
    assert f"{span.context.trace_id:032x}" == TRACE and f"{span.parent.span_id:016x}" == SPAN
    assert dict(span.attributes) == {"http.response.status_code": 200, "http.route": "/v1/models"}


@pytest.mark.parametrize("given", ["", "x", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}", "é"])
def test_a_malformed_trace_is_ignored(spans: InMemorySpanExporter, given: str) -> None:
    with tracing(spans).request("GET", {"traceparent": given}):
        pass
    (span,) = spans.get_finished_spans()
    assert span.parent is None


def test_a_caller_that_does_not_sample_is_not_traced(spans: InMemorySpanExporter) -> None:
    with tracing(spans).request("GET", {"traceparent": f"00-{TRACE}-{SPAN}-00"}):
        pass
    assert not spans.get_finished_spans()


def test_frames_of_a_socket_are_linked_to_it(spans: InMemorySpanExporter) -> None:
    traced = tracing(spans)
    with traced.request("WEBSOCKET", {}):
        traced.frame(MASK, 11.0, 11.3, 11.5)
    *_, whole, socket = spans.get_finished_spans()
    assert [one.context.span_id for one in whole.links] == [socket.context.span_id]
    assert whole.context.trace_id != socket.context.trace_id


def test_a_video_that_failed_is_an_error(spans: InMemorySpanExporter) -> None:
    tracing(spans).video(100.0, 103.0, video="v1", state="failed", frames=2, code="undecodable")
    (span,) = spans.get_finished_spans()
    assert (span.start_time, span.end_time) == (100 * 10**9, 103 * 10**9)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["mastream.frames"] == 2


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_waits_is_sent_when_it_closes(
    collector: tuple[str, list[tuple[str, bytes]]],
) -> None:
    endpoint, received = collector
    traced = exporting(TelemetrySettings(endpoint=endpoint, frame_ratio=1.0))
    traced.frame(MASK, 11.0, 11.3, 11.5)
    traced.close()
    traced.close()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"mastream" in body and all(name.encode() in body for name in ("frame", *STAGES))
