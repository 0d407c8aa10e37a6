"""Traces by OpenTelemetry; nothing else imports it, and nothing imports this unless they are on.

A span waits in a queue of 2,048 until it is sent, every 5 s; while the queue is full, further spans
are lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.frame import Mask
from server.settings import TelemetrySettings
from server.telemetry.stages import stages

EXPORT_SECONDS = 5.0
MAX_WAITING = 2048

Attribute = str | int | float | bool | None
"""The value of an attribute; None and "" are omitted."""

Describe = Callable[[str, int, Mapping[str, Attribute]], None]
"""Records a request's name, the status of its answer, and further attributes; the span is marked as
failed if the server failed (status 500 and above)."""


class Tracing:
    """Makes spans. Any thread may call any method; all except :meth:`close` return at once.

    ``processor`` receives ended spans, ``chance`` returns a random number in [0, 1).
    """

    def __init__(
        self,
        processor: SpanProcessor,
        frame_ratio: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        resource = Resource({"service.name": "mastream"}).merge(Resource.create())
        self._provider = TracerProvider(DEFAULT_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("mastream")
        self._propagator = TraceContextTextMapPropagator()
        self._frame_ratio = frame_ratio
        self._chance = chance

    def frame(self, mask: Mask, taken: float, packed: float, sent: float) -> None:
        """Trace an answered frame if it is chosen at random, as a separate trace with a link to its
        socket.

        The times are those of :func:`server.telemetry.stages.stages`.
        """
        if self._chance() >= self._frame_ratio:
            return
        to_wall = time.time() - time.monotonic()
        parts = stages(mask, taken, packed, sent)
        socket = trace.get_current_span().get_span_context()
        whole = self._tracer.start_span(
            "frame",
            Context(),
            attributes=_given(_of_frame(mask)),
            links=[trace.Link(socket)] if socket.is_valid else (),
            start_time=_nanoseconds(parts[0].began + to_wall),
        )
        within = trace.set_span_in_context(whole, Context())
        for one in parts:
            part = self._tracer.start_span(
                one.name, within, start_time=_nanoseconds(one.began + to_wall)
            )
            part.end(_nanoseconds(one.ended + to_wall))
        whole.end(_nanoseconds(sent + to_wall))

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[Describe]:
        """Trace a request while the context lasts; its caller may have sent a ``traceparent``.

        Yield a function to call once it is answered.
        """
        parent = self._propagator.extract(headers, Context())
        with self._tracer.start_as_current_span(name, parent, trace.SpanKind.SERVER) as span:
            yield partial(_describe, span)

    def video(self, began: float, ended: float, **attributes: Attribute) -> None:
        """Trace the work on a video without interruption, from ``began`` to ``ended`` in seconds
        since the epoch."""
        span = self._tracer.start_span(
            "video",
            Context(),
            attributes=_given({f"mastream.{name}": one for name, one in attributes.items()}),
            start_time=_nanoseconds(began),
        )
        if attributes.get("code"):
            span.set_status(trace.StatusCode.ERROR, str(attributes["code"]))
        span.end(_nanoseconds(ended))

    def close(self) -> None:
        """Send waiting spans, for at most ``EXPORT_SECONDS``. Idempotent. May block."""
        self._provider.shutdown()


def _describe(
    span: trace.Span, name: str, status: int, attributes: Mapping[str, Attribute]
) -> None:
    span.update_name(name)
    span.set_attributes(_given({"http.response.status_code": status, **attributes}))
    if status >= 500:
        span.set_status(trace.StatusCode.ERROR)


def exporting(settings: TelemetrySettings) -> Tracing:
    """Return the tracing that sends spans to the endpoint of the settings."""
    exporter = OTLPSpanExporter(settings.endpoint, timeout=EXPORT_SECONDS)
    return Tracing(BatchSpanProcessor(exporter, max_queue_size=MAX_WAITING), settings.frame_ratio)


def _of_frame(mask: Mask) -> dict[str, Attribute]:
    frame = mask.frame
    return {
        "mastream.seq": frame.seq,
        "mastream.batch": mask.batch,
        "mastream.memory.filled": mask.filled,
        "mastream.memory.reset": mask.reset,
        "mastream.decoder": frame.decoder,
        "mastream.height": frame.size[0],
        "mastream.width": frame.size[1],
    }


def _given(attributes: Mapping[str, Attribute]) -> dict[str, str | int | float | bool]:
    return {name: one for name, one in attributes.items() if one is not None and one != ""}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
