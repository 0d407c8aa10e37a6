"""A pulled stream as the server describes it in JSON."""

from __future__ import annotations

from typing import Any

BODY: dict[str, Any] = {
    "name": "front",
    "url": "rtsp://camera/main",
    "policy": "latest",
    "state": "stalled",
    "since": 1.5,
    "code": "source_silent",
    "detail": "The camera sent nothing for 3 s.",
    "viewers": 2,
    "connections": 3,
    "width": 64,
    "height": 48,
    "frames": 100,
    "masks": 90,
    "drops": {"newer": 10},
    "resets": {"connection": 2},
    "rates": {"fps_in": 25.0, "fps_out": 24.5, "latency_p50": 3.0, "latency_p99": 9.25},
}
