"""A user of an identity provider uses the server as one with a key would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from token_issuer import AUDIENCE, Issuer, running_issuer

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.errors import Unauthorized
from server.security.callers import Caller
from server.security.keys import Role
from server.security.token_callers import token_session
from server.settings import LiveSettings, OidcSettings, SecuritySettings, Settings, VideoSettings
from server.web.access import auth
from server.web.access.keyring import Keyring


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def web(tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(auth, "RECHECK_SECONDS", 0.05)
    security = SecuritySettings(
        keys="required",
        hosts=("testserver",),
        oidc=OidcSettings(issuer=issuer.url, audience=AUDIENCE),
    )
    settings = Settings(
        folder=tmp_path / "data",
        security=security,
        videos=VideoSettings(min_free_bytes=0),
        live=LiveSettings(files=tmp_path),
    )
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app, raise_server_exceptions=False) as web:
        web.portal.call(app.state.service.loaded)  # type: ignore[union-attr]
        yield web


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def add_stream(web: TestClient, folder: Path, make_clip: Any, headers: dict[str, str]) -> Any:
    make_clip(folder / "film.mp4")
    asked = {"name": "film", "url": "file:///film.mp4", "loop": True}
    return web.post("/v1/streams", json=asked, headers=headers)


def test_no_key_is_needed_to_start_and_a_token_says_who_asks(
    web: TestClient, issuer: Issuer
) -> None:
    answer = web.get("/v1/session", headers=bearer(issuer.token()))
    assert answer.json() == {"access": "keys", "key": "oidc:ada", "role": "segment"}
    assert web.get("/v1/models", headers=bearer(issuer.token(aud="other"))).status_code == 401
    assert web.get("/v1/models", headers=bearer(issuer.token(roles=[]))).status_code == 403
    assert web.get("/v1/keys", headers=bearer(issuer.token())).status_code == 403
    assert web.get("/v1/keys", headers=bearer(issuer.token(roles="admin"))).status_code == 200


def test_what_a_user_adds_belongs_to_the_subject(
    web: TestClient, issuer: Issuer, tmp_path: Path, make_clip: Any
) -> None:
    ada = bearer(issuer.token())
    assert add_stream(web, tmp_path, make_clip, ada).status_code == 201
    later = bearer(issuer.token(iat=int(time.time()) - 5))
    assert [one["name"] for one in web.get("/v1/streams", headers=later).json()["streams"]] == [
        "film"
    ]
    other = bearer(issuer.token(sub="bob"))
    assert web.get("/v1/streams", headers=other).json()["streams"] == []
    assert web.get("/v1/streams/film", headers=other).status_code == 404
    watching = bearer(issuer.token(sub="bob", roles="watch", streams=["film"]))
    assert web.get("/v1/streams/film", headers=watching).status_code == 200
    assert web.delete("/v1/streams/film", headers=watching).status_code == 403
    assert web.delete("/v1/streams/film", headers=later).status_code == 204


def test_a_browser_signs_in_with_a_token(web: TestClient, issuer: Issuer) -> None:
    answer = web.post("/v1/session", json={"key": f" {issuer.token()}\n"})
    assert (answer.status_code, answer.json()["key"]) == (200, "oidc:ada")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert int(answer.headers["set-cookie"].split("Max-Age=")[1].split(";")[0]) <= 300
    assert web.get("/v1/session").json()["role"] == "segment"
    with web.websocket_connect("/v1/stream") as socket:
        assert socket.receive_json()["type"] == "ready"
    web.delete("/v1/session")
    assert web.get("/v1/session").status_code == 401


def test_a_ticket_of_a_user_opens_a_socket(web: TestClient, issuer: Issuer) -> None:
    ticket = web.post("/v1/tickets", headers=bearer(issuer.token())).json()["ticket"]
    with web.websocket_connect(f"/v1/stream?ticket={ticket}") as socket:
        assert socket.receive_json()["type"] == "ready"


def test_a_socket_ends_with_its_token(
    web: TestClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = web.app.state.service.parts.keyring  # type: ignore[attr-defined]
    with web.websocket_connect("/v1/stream", headers=bearer(issuer.token())) as socket:
        assert socket.receive_json()["type"] == "ready"
        monkeypatch.setattr(keyring, "clock", lambda: time.time() + 3600)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 4401


def test_an_issuer_that_is_down_is_503(web: TestClient, issuer: Issuer) -> None:
    issuer.is_down = True
    answer = web.get("/v1/models", headers=bearer(issuer.token()))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers


def test_without_an_issuer_no_token_is_accepted(issuer: Issuer) -> None:
    keyring = Keyring(b"0123456789abcdef", 60.0)
    with pytest.raises(Unauthorized, match="accepts no tokens"):
        asyncio.run(keyring.by_key(issuer.token()))
    cookie = token_session(Caller("oidc:ada", Role.ADMIN, ends=2.0**40), keyring.pepper)
    with pytest.raises(Unauthorized, match="sign in again"):
        asyncio.run(keyring.by_session(cookie))
