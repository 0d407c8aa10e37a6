from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from clients.python.cli import main

LINKS = {"self": "/v1/videos/7", "events": "/v1/videos/7/events"}
RESULTS = {"masks.mkv": "/v1/videos/7/masks.mkv", "summary.json": "/v1/videos/7/summary.json"}


class Service(BaseHTTPRequestHandler):
    """A service with one video, which ends as its server's ``state`` says."""

    def do_POST(self) -> None:
        received = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(("POST", self.path, received))
        self._answer(202, self._video("queued"))

    def do_GET(self) -> None:
        if self.path.endswith("/events"):
            state = self.server.state
            event = f"data: {json.dumps(self._video(state))}\n\n".encode()
            return self._send(200, event, "text/event-stream")
        return self._send(200, self.path.encode(), "application/octet-stream")

    def do_DELETE(self) -> None:
        self.server.asked.append(("DELETE", self.path, b""))
        self._send(204, b"", "text/plain")

    def log_message(self, *_: Any) -> None:
        pass

    def _video(self, state: str) -> dict[str, Any]:
        progress = {"frames_done": 9, "frames_total": 9, "fps": 3.0, "eta_s": 0.0}
        links = LINKS | (RESULTS if state == "succeeded" else {})
        error = {"detail": "no frame could be read"} if state == "failed" else None
        return {"id": "7", "state": state, "progress": progress, "links": links, "error": error}

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def service() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.state, server.asked = "succeeded", []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a video")
    return path


def test_upload_follow_download(
    service: Any, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    assert main(["segment", str(clip), "-o", str(out), "--url", service.url]) == 0
    assert service.asked == [("POST", "/v1/videos?name=a.mp4", b"a video")]
    found = {path.name: path.read_text() for path in out.iterdir()}
    assert found == RESULTS
    assert capsys.readouterr().out == f"9 frames -> {out}: masks.mkv, summary.json\n"


def test_what_is_to_be_made_is_sent_with_the_video(
    service: Any, clip: Path, tmp_path: Path
) -> None:
    chosen = ["--artefacts", "masks.json", "--classes", "road,car", "--opacity", "0.3"]
    chosen += ["--callback-url", "https://hooks.example.org/done"]
    argv = ["segment", str(clip), "-o", str(tmp_path / "out"), "--url", service.url, *chosen]
    assert main(argv) == 0
    ((_, address, _),) = service.asked
    assert parse_qs(urlsplit(address).query) == {
        "name": ["a.mp4"], "artefacts": ["masks.json"], "classes": ["road,car"], "opacity": ["0.3"],
        "callback_url": ["https://hooks.example.org/done"],
    }  # fmt: skip


def test_the_video_is_removed_on_request(service: Any, clip: Path, tmp_path: Path) -> None:
    argv = ["segment", str(clip), "-o", str(tmp_path), "--url", service.url, "--remove"]
    assert main(argv) == 0
    assert service.asked[-1] == ("DELETE", "/v1/videos/7", b"")


def test_a_video_that_fails(
    service: Any, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.state = "failed"
    assert main(["segment", str(clip), "-o", str(tmp_path), "--url", service.url]) == 1
    assert capsys.readouterr().err.endswith("mastream: no frame could be read\n")


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["segment", "/absent.mp4", "-o", str(tmp_path / "out"), "--url", "http://h"]
    assert main(argv) == 1
    assert capsys.readouterr().err == (
        "mastream: /absent.mp4 cannot be read: No such file or directory.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_without_a_server_this_process_becomes_the_one_that_segments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []

    def become(*call: Any) -> None:
        calls.append(call)
        raise SystemExit(7)

    monkeypatch.setattr(os, "execv", become)
    with pytest.raises(SystemExit):
        main(["segment", "--engine", "fake", "a.mp4", "-o", "out", "--threads", "2"])
    with pytest.raises(SystemExit):
        main(["segment", "--out=-o", "--", "-a.mp4"])
    with pytest.raises(SystemExit):
        main(["segment", "a.mp4", "-o", "out", "--classes", "car", "--opacity", "1"])
    command = [sys.executable, "-m", "server", "segment"]
    assert calls == [
        (sys.executable, [*command, "a.mp4", "-o", "out", "--engine", "fake", "--threads", "2"]),
        (sys.executable, [*command, "./-a.mp4", "-o", "./-o"]),
        (
            sys.executable,
            [*command, "a.mp4", "-o", "out", "--classes", "car", "--opacity", "1.0"],
        ),
    ]
