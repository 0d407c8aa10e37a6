"""Callbacks of a server that is killed before the receiver answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from clips import make_clip

PATIENCE = 60.0
KEY = b"0123456789abcdef01234567"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Hook(HTTPServer):
    """Takes callbacks; answers with ``status``."""

    status = 503

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as hook:
        serving = threading.Thread(target=hook.serve_forever)
        serving.start()
        yield hook
        hook.shutdown()
        serving.join()


def clip(path: Path) -> bytes:
    return make_clip(path, frames=1).read_bytes()


def until(calls: int, hook: Hook) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(hook.calls) < calls:
        assert time.monotonic() < deadline, "nobody called"
        time.sleep(0.05)


def test_the_call_is_made_again_by_the_next_server(
    tmp_path: Path, run_server: Any, hook: Hook
) -> None:
    host = f"127.0.0.1:{hook.server_port}"
    settings = {
        "videos__callback_hosts": json.dumps([host]),
        "videos__callback_secret": SECRET,
    }
    query = {"callback_url": f"http://{host}/done"}
    content = clip(tmp_path / "clip.mp4")
    with run_server(**settings) as server:
        address = f"{server.http}/v1/videos"
        other = {"callback_url": "http://example.org/"}
        refused = httpx.post(address, params=other, content=content, timeout=PATIENCE)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request")
        answer = httpx.post(address, params=query, content=content, timeout=PATIENCE)
        assert answer.status_code == 202, answer.text
        until(1, hook)
        server.process.kill()
    hook.status = 204
    with run_server(**settings) as server:
        until(2, hook)
        known = httpx.get(f"{server.http}{answer.headers['Location']}", timeout=PATIENCE).json()
    for headers, body in hook.calls:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{mac}"
        assert headers["webhook-id"] == known["id"]
        assert json.loads(body) == known
    assert known["state"] == "succeeded"
