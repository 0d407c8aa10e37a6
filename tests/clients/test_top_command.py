"""``mastream top`` against a real server in this process."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from clients.python.arguments import parse
from clients.python.errors import ClientError
from clients.python.top_command import Reader
from clients.python.top_view import view
from protocol import FrameHeader, pack
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import Settings


def shown(web: TestClient) -> str:
    """Return what is shown of a server, whose answers come through a test client."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = web.get(request.url.path)
        return httpx.Response(found.status_code, content=found.content)

    async def read() -> str:
        reader = Reader("http://testserver", httpx.MockTransport(answer))
        console = Console(width=200, file=io.StringIO())
        console.print(view(await reader.read()))
        await reader.close()
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    return asyncio.run(read())


def test_it_shows_streams_rates_latencies_and_the_engine(tmp_path: Path) -> None:
    app = create_app(Settings(folder=tmp_path), lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        assert "not measured yet" in shown(web)
        with web.websocket_connect("/v1/stream") as socket:
            wish = {"type": "open", "input": "rgb24", "width": 64, "height": 48}
            socket.send_json(wish | {"policy": "every"})
            assert socket.receive_json()["type"] == "ready"
            for seq in range(3):
                socket.send_bytes(pack(FrameHeader(seq=seq), bytes(48 * 64 * 3)))
                assert socket.receive()["bytes"]
            text = shown(web)
    assert "   ready   up " in text
    assert "fake by fake on cpu   restarts 0" in text
    assert "sessions 1/64" in text and "viewers 0/1000" in text
    assert re.search(r"frames/s   segmented \d+\.\d", text)
    assert "left" in text and "batches gain 1.00" in text
    (step,) = [line for line in text.splitlines() if "│ step " in line]
    assert "-" not in step.replace("─", "")


def test_a_server_that_is_none_is_an_error() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="nothing here")

    async def read() -> None:
        await Reader("http://x", httpx.MockTransport(answer)).read()

    with pytest.raises(ClientError, match="failed with status 404"):
        asyncio.run(read())


def test_its_arguments() -> None:
    args, _ = parse(["top", "--once", "--interval", "2", "--url", "http://box:9"])
    assert (args.once, args.interval, args.url) == (True, 2.0, "http://box:9")
