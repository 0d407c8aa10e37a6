"""Traces are off by default, and then the SDK is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from server.errors import BadRequest
from server.settings import TelemetrySettings
from server.telemetry.choosing import make_tracing

STREAM = """
import sys
from pathlib import Path
import numpy as np
from fastapi.testclient import TestClient
import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import Settings

WISH = {"type": "open", "input": "rgb24", "width": 16, "height": 16, "output": "none"}
app = create_app(Settings(folder=Path(sys.argv[1])), lambda: FakeEngine(fake_spec(16, 16)))
with TestClient(app) as web:
    web.portal.call(app.state.service.loaded)
    assert web.get("/v1/models").status_code == 200
    with web.websocket_connect("/v1/stream") as socket:
        socket.send_json(WISH)
        assert socket.receive_json()["type"] == "ready"
        picture = np.zeros((16, 16, 3), np.uint8).tobytes()
        socket.send_bytes(protocol.pack({"seq": 1}, picture))
        assert socket.receive_bytes()
loaded = ("opentelemetry.sdk", "opentelemetry.exporter", "server.telemetry.tracing")
assert not [one for one in sys.modules if one.startswith(loaded)]
"""


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert make_tracing(TelemetrySettings()) is None


def test_a_stream_that_is_not_traced_loads_nothing_that_could(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = str(tmp_path_factory.mktemp("data"))
    ran = subprocess.run(
        [sys.executable, "-c", STREAM, folder], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "server.telemetry.tracing", None)
    with pytest.raises(BadRequest, match=r"install mastream\[otel\]"):
        make_tracing(TelemetrySettings(endpoint="http://localhost:4318/v1/traces"))
