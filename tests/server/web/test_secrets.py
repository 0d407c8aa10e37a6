"""A camera's password is in no file, no log and no answer."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import LiveSettings, Settings

SECRETS = ("hidden-password", "hidden-token", "hidden-user")
URL = "http://hidden-user:hidden-password@127.0.0.1:1/x?token=hidden-token"
PUBLISH = "rtsp://hidden-user:hidden-password@127.0.0.1:1/y?token=hidden-token"


def settled(web: TestClient, name: str) -> None:
    """Wait until a stream has failed to connect."""
    deadline = time.monotonic() + 30
    while not web.get(f"/v1/streams/{name}").json()["code"]:
        assert time.monotonic() < deadline


def answers(web: TestClient) -> dict[str, str]:
    """Return the answer to every GET that ends by itself, by path."""
    paths = web.get("/openapi.json").json()["paths"]
    asked = [
        re.sub(r"\{\w+\}", "cam", path)
        for path, methods in paths.items()
        if "get" in methods and not path.endswith(("/events", "/preview", "/snapshot"))
    ]
    found = {path: web.get(path).text for path in (*asked, "/openapi.json", "/metrics")}
    assert len(found) > 10 and "/v1/streams" in found
    return found


@pytest.mark.parametrize("networks", [None, ("127.0.0.0/8",)])
def test_a_password_is_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, networks: tuple[str, ...] | None
) -> None:
    settings = Settings(folder=tmp_path / "data", live=LiveSettings(networks=networks))
    found = []
    for _ in range(2):  # the second server finds the stream in the database
        app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
        with caplog.at_level(logging.DEBUG), TestClient(app) as web:
            assert web.portal
            web.portal.call(app.state.service.loaded)
            if not found:
                body = {"name": "cam", "url": URL, "publish": PUBLISH}
                found.append(web.post("/v1/streams", json=body).text)
                found.append(web.post("/v1/streams", json=body).text)
            settled(web, "cam")
            found.append(web.post("/v1/sources/test", json={"url": URL}).text)
            found.append(web.post("/v1/streams", json=body | {"url": URL + "\\"}).text)
            found += answers(web).values()
            stored = app.state.service.live.streams.find("cam").definition
            assert (stored.url, stored.publish) == (URL, PUBLISH)
    files = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    for secret in SECRETS:
        assert not [one for one in found if secret in one]
        assert not any(secret.encode() in one for one in files)
        assert secret not in caplog.text
