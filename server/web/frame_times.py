"""Measurements of an answered frame."""

from __future__ import annotations

from server.frame import Mask
from server.web.stream_services import StreamServices


def measure(services: StreamServices, mask: Mask, taken: float, packed: float, sent: float) -> None:
    """Measure the last stages of a frame, and trace it if traces are made.

    The times are those of time.monotonic() at which its mask was taken from the outbox, packed and
    sent.
    """
    metrics = services.metrics
    metrics.stage("encode", packed - taken)
    metrics.stage("send", sent - packed)
    metrics.stage("total", sent - mask.frame.arrived)
    if services.tracing:
        services.tracing.frame(mask, taken, packed, sent)
