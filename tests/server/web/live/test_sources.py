"""/v1/sources: the sources that may be pulled, and an address that is tested before it is added."""

from __future__ import annotations

import base64
import io
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from http_cameras import http_camera
from PIL import Image

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import LiveSettings, SecuritySettings, Settings


@contextmanager
def service(folder: Path, is_open: bool = False, **live: Any) -> Iterator[TestClient]:
    known = SecuritySettings(hosts=("testserver",), open=is_open)
    settings = Settings(folder=folder / "data", live=LiveSettings(**live), security=known)
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


def test_what_may_be_pulled_is_listed(tmp_path: Path) -> None:
    films = tmp_path / "films"
    (films / "folder.mp4").mkdir(parents=True)
    for name in ("b c.mp4", "a.MKV", "notes.txt"):
        (films / name).touch()
    with service(tmp_path, files=films) as web:
        assert web.get("/v1/sources").json() == {
            "schemes": ["rtsp", "rtsps", "http", "https"],
            "files": ["file:///a.MKV", "file:///b%20c.mp4"],
        }
    with service(tmp_path, schemes=("rtsp",)) as web:
        assert web.get("/v1/sources").json() == {"schemes": ["rtsp"], "files": None}


def test_an_address_that_works_shows_its_first_picture(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_clip(tmp_path / "the film.mp4", 5, (960, 540))
    with service(tmp_path, files=tmp_path) as web:
        body = web.post("/v1/sources/test", json={"url": "file:///the%20film.mp4"}).json()
        assert (body["width"], body["height"]) == (960, 540)
        assert 0 <= body["seconds"] < 10
        kind, _, data = body["picture"].partition(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (480, 270)
        assert web.get("/v1/streams").json()["streams"] == []


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("rtsp://127.0.0.1:1/cam", 502, "source_unreachable"),
        ("http://user:hidden@{camera}/mjpeg", 502, "source_unauthorized"),
        ("ftp://127.0.0.1/cam", 422, "bad_request"),
        ("file:///%2e%2e/film.mp4", 422, "bad_request"),
        ("no address", 422, "bad_request"),
    ],
)
def test_an_address_that_does_not_is_explained(
    tmp_path: Path, url: str, status: int, code: str
) -> None:
    with http_camera(password="user:secret") as camera, service(tmp_path, files=tmp_path) as web:
        answer = web.post(
            "/v1/sources/test", json={"url": url.format(camera=camera.removeprefix("http://"))}
        )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["detail"].endswith(".")
    assert "hidden" not in problem["detail"]


def test_an_address_that_may_not_be_opened_is_refused(tmp_path: Path) -> None:
    networks, hosts = ("10.0.0.0/8",), ("10.0.0.1", "*.example")
    with service(tmp_path, is_open=True, networks=networks, hosts=hosts) as web:
        for url in ("rtsp://127.1/x", "rtsp://[::ffff:169.254.169.254]/x", "rtsp://10.0.0.2/x"):
            for path, body in (
                ("/v1/sources/test", {"url": url}),
                ("/v1/streams", {"name": "cam", "url": url}),
                ("/v1/streams", {"name": "cam", "url": "rtsp://10.0.0.1/", "publish": url}),
            ):
                problem = web.post(path, json=body).json()
                assert (problem["status"], problem["code"]) == (403, "source_forbidden"), body
                assert problem["detail"].startswith("The server may not open ")
        assert web.get("/v1/streams").json()["streams"] == []


def test_a_stream_whose_name_leads_inside_shows_why_it_is_not_opened(tmp_path: Path) -> None:
    with service(tmp_path, is_open=True) as web:
        body = {"name": "cam", "url": "rtsp://user:hidden@localhost:1/x"}
        assert web.post("/v1/streams", json=body).status_code == 201
        deadline = time.monotonic() + 30
        while not (stream := web.get("/v1/streams/cam").json())["code"]:
            assert time.monotonic() < deadline
        assert (stream["state"], stream["code"]) == ("backoff", "source_forbidden")
        assert "MASTREAM_LIVE__NETWORKS" in stream["detail"] and "hidden" not in str(stream)


def test_at_home_only_link_local_addresses_need_listing(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        refused = {"url": "http://169.254.169.254/latest/meta-data"}
        assert web.post("/v1/sources/test", json=refused).json()["code"] == "source_forbidden"
        private = {"name": "cam", "url": "rtsp://192.168.1.1/x", "paused": True}
        assert web.post("/v1/streams", json=private).status_code == 201


def test_an_address_that_does_not_answer_is_no_error_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with service(tmp_path) as web:
        answer = web.post("/v1/sources/test", json={"url": f"rtsp://127.0.0.1:{port}/cam"})
    assert (answer.status_code, answer.json()["code"]) == (502, "source_unreachable")
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
