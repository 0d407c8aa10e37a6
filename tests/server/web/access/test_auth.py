"""The gate: which callers are let in, by which credential, and which objects of others they may
see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from server.app import create_app
from server.database.connection import open_database
from server.database.keys import KeyRows
from server.engines.fake import FakeEngine, fake_spec
from server.security.keys import Role, new_key
from server.security.secret import server_secret
from server.settings import LiveSettings, SecuritySettings, Settings, VideoSettings
from server.web.access import auth, keyring


def settings_in(folder: Path, **security: Any) -> Settings:
    return Settings(
        folder=folder / "data",
        security=SecuritySettings(hosts=("testserver",), **security),
        videos=VideoSettings(min_free_bytes=0),
        live=LiveSettings(files=folder),
    )


def serving(settings: Settings) -> TestClient:
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    return TestClient(app, raise_server_exceptions=False)


class Keys:
    """A server that requires keys, and requests with each role's key."""

    def __init__(self, web: TestClient, admin: str) -> None:
        self.web = web
        self.admin = bearer(admin)

    def add(self, role: str, **more: Any) -> dict[str, str]:
        asked = {"name": f"a {role}", "role": role, **more}
        answer = self.web.post("/v1/keys", json=asked, headers=self.admin)
        assert answer.status_code == 201, answer.text
        return bearer(answer.json()["key"])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def id_in(headers: dict[str, str]) -> str:
    return headers["Authorization"].split("_")[1]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    monkeypatch.setattr(keyring, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(auth, "RECHECK_SECONDS", 0.05)
    settings = settings_in(tmp_path, keys="required")
    database = open_database(settings)
    pepper = server_secret(settings.folder, settings.security)
    key, text = new_key("first", Role.ADMIN, (), 0.0, pepper)
    KeyRows(database).add(key)
    database.close()
    with serving(settings) as web:
        web.portal.call(web.app.state.service.loaded)  # type: ignore[union-attr, attr-defined]
        yield Keys(web, text)


def film(folder: Path, make_clip: Any, web: TestClient, headers: dict[str, str], name: str) -> Any:
    make_clip(folder / "film.mp4")
    asked = {"name": name, "url": "file:///film.mp4", "loop": True}
    return web.post("/v1/streams", json=asked, headers=headers)


def test_without_a_key_only_the_page_and_health_are_served(keys: Keys) -> None:
    assert keys.web.get("/").status_code == 200
    assert keys.web.get("/health/ready").json()["access"] == "keys"
    for path in ("/v1/models", "/v1/videos", "/v1/streams", "/metrics", "/v1/keys", "/nothing"):
        answer = keys.web.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("wrong", ["Bearer mas_0123_AAAA", "Bearer ", "Bearer x", "Bearer mas__"])
def test_a_wrong_key_is_refused(keys: Keys, wrong: str) -> None:
    answer = keys.web.get("/v1/models", headers={"Authorization": wrong})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_each_role_may_do_what_it_is_for(keys: Keys) -> None:
    watch, segment = keys.add("watch"), keys.add("segment")
    assert keys.web.get("/v1/models", headers=watch).status_code == 200
    refused = keys.web.get("/v1/videos", headers=watch)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "needs segment" in refused.json()["detail"]
    assert keys.web.get("/v1/videos", headers=segment).status_code == 200
    assert keys.web.get("/v1/keys", headers=segment).status_code == 403
    assert keys.web.get("/v1/recordings", headers=segment).status_code == 403
    assert keys.web.get("/v1/recordings", headers=keys.admin).status_code == 200


def test_secrets_are_shown_once(keys: Keys) -> None:
    segment = keys.add("segment")
    listed = keys.web.get("/v1/keys", headers=keys.admin)
    assert [one["role"] for one in listed.json()["keys"]] == ["admin", "segment"]
    assert segment["Authorization"].split("_", 2)[2] not in listed.text


def test_a_key_is_revoked_and_rotated(keys: Keys) -> None:
    segment = keys.add("segment")
    rotated = keys.web.post(f"/v1/keys/{id_in(segment)}/rotate", headers=keys.admin).json()
    assert keys.web.get("/v1/videos", headers=segment).status_code == 401
    new = bearer(rotated["key"])
    assert keys.web.get("/v1/videos", headers=new).status_code == 200
    assert keys.web.delete(f"/v1/keys/{id_in(new)}", headers=keys.admin).status_code == 204
    assert keys.web.get("/v1/videos", headers=new).status_code == 401
    for action in (keys.web.delete, lambda path, **more: keys.web.post(f"{path}/rotate", **more)):
        assert action(f"/v1/keys/{id_in(new)}", headers=keys.admin).status_code == 404


def test_a_key_sees_only_its_own_videos(keys: Keys, tmp_path: Path, make_clip: Any) -> None:
    mine, others = keys.add("segment"), keys.add("segment")
    content = make_clip(tmp_path / "clip.mp4").read_bytes()
    sent = {"Idempotency-Key": "same"}
    video = keys.web.post("/v1/videos", content=content, headers=mine | sent).json()
    path = video["links"]["self"]
    assert [one["id"] for one in listed(keys, mine)] == [video["id"]]
    assert [one["id"] for one in listed(keys, keys.admin)] == [video["id"]]
    assert listed(keys, others) == []
    for request in ("GET", "DELETE"):
        answer = keys.web.request(request, path, headers=others)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert keys.web.get(f"{path}/events", headers=others).status_code == 404
    assert keys.web.get(f"{path}/masks.mkv", headers=others).status_code == 404
    assert keys.web.get(path, headers=mine).status_code == 200
    theirs = keys.web.post("/v1/videos", content=content, headers=others | sent)
    assert theirs.json()["id"] != video["id"], "an Idempotency-Key is its owner's own"


def test_a_key_continues_only_its_own_uploads(keys: Keys) -> None:
    mine, others = keys.add("segment"), keys.add("segment")
    sent = {"Upload-Length": "1000", "Tus-Resumable": "1.0.0", "Idempotency-Key": "same"}
    begun = keys.web.post("/v1/uploads", headers=mine | sent)
    assert begun.status_code == 201, begun.text
    path = begun.headers["location"]
    assert keys.web.head(path, headers=mine).status_code == 200
    for request in ("HEAD", "DELETE"):
        assert keys.web.request(request, path, headers=others).status_code == 404
    theirs = keys.web.post("/v1/uploads", headers=others | sent)
    assert theirs.headers["location"] != path
    assert keys.web.head(path, headers=keys.admin).status_code == 200


def listed(keys: Keys, headers: dict[str, str]) -> Any:
    return keys.web.get("/v1/videos", headers=headers).json()["videos"]


def test_a_key_sees_its_own_streams_and_those_named(
    keys: Keys, tmp_path: Path, make_clip: Any
) -> None:
    mine, others = keys.add("segment"), keys.add("segment")
    watch, blind = keys.add("watch", streams=["gate"]), keys.add("watch", streams=["door"])
    assert film(tmp_path, make_clip, keys.web, mine, "gate").status_code == 201
    for headers, count in ((mine, 1), (others, 0), (watch, 1), (blind, 0), (keys.admin, 1)):
        answer = keys.web.get("/v1/streams", headers=headers)
        assert len(answer.json()["streams"]) == count
        found = keys.web.get("/v1/streams/gate", headers=headers)
        assert found.status_code == (200 if count else 404)
    assert keys.web.delete("/v1/streams/gate", headers=watch).status_code == 403
    assert keys.web.delete("/v1/streams/gate", headers=others).status_code == 404
    with keys.web.websocket_connect("/v1/streams/gate/masks", headers=watch) as socket:
        socket.send_json({"type": "open", "output": "none"})
        assert socket.receive_json()["type"] == "ready"
    with keys.web.websocket_connect("/v1/streams/gate/masks", headers=blind) as socket:
        assert socket.receive_json()["code"] == "not_found"
    assert keys.web.delete("/v1/streams/gate", headers=mine).status_code == 204


def test_a_socket_without_a_key_is_told_why(keys: Keys) -> None:
    with keys.web.websocket_connect("/v1/stream", subprotocols=["mastream.v1"]) as socket:
        assert socket.accepted_subprotocol == "mastream.v1"
        message = socket.receive_json()
        assert (message["type"], message["code"], message["fatal"]) == (
            "error",
            "unauthorized",
            True,
        )
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert (closed.value.code, closed.value.reason) == (4401, "unauthorized")


def test_a_ticket_opens_one_socket(keys: Keys) -> None:
    segment = keys.add("segment")
    ticket = keys.web.post("/v1/tickets", headers=segment).json()["ticket"]
    with keys.web.websocket_connect(f"/v1/stream?ticket={ticket}") as socket:
        socket.send_json({"type": "open"})
        assert socket.receive_json()["type"] == "ready"
    with keys.web.websocket_connect(f"/v1/stream?ticket={ticket}") as socket:
        assert socket.receive_json()["code"] == "unauthorized"


def test_a_revoked_keys_socket_is_closed(keys: Keys) -> None:
    segment = keys.add("segment")
    with keys.web.websocket_connect("/v1/stream", headers=segment) as socket:
        socket.send_json({"type": "open"})
        assert socket.receive_json()["type"] == "ready"
        keys.web.delete(f"/v1/keys/{id_in(segment)}", headers=keys.admin)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert (closed.value.code, closed.value.reason) == (4401, "unauthorized")


def test_a_browser_signs_in_and_out(keys: Keys) -> None:
    text = keys.add("segment")["Authorization"].split()[1]
    signed = keys.web.post("/v1/session", json={"key": text})
    assert signed.json() == {"access": "keys", "key": text.split("_")[1], "role": "segment"}
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert keys.web.get("/v1/videos").status_code == 200
    foreign = keys.web.post("/v1/tickets", headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    own = keys.web.post("/v1/tickets", headers={"Origin": "http://testserver"})
    assert own.status_code == 201
    assert keys.web.delete("/v1/session").status_code == 204
    assert keys.web.get("/v1/videos").status_code == 401
    assert keys.web.post("/v1/session", json={"key": "mas_1_AAAA"}).status_code == 401


def test_on_loopback_pages_of_others_and_other_names_are_refused(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as web:
        assert web.get("/v1/session").json() == {"access": "local", "key": "", "role": "admin"}
        evil = {"Origin": "http://evil.example"}
        answer = web.post("/v1/videos", content=b"", headers=evil)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        with web.websocket_connect("/v1/stream", headers=evil) as socket:
            assert socket.receive_json()["code"] == "forbidden"
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_json()
            assert closed.value.code == 4403
        rebound = web.get("/v1/videos", headers={"Host": "evil.example"})
        assert (rebound.status_code, rebound.json()["code"]) == (421, "misdirected")


def test_an_open_server_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, open=True).model_copy(update={"host": "0.0.0.0"})
    with serving(settings) as web:
        web.portal.call(web.app.state.service.loaded)  # type: ignore[union-attr, attr-defined]
        assert web.get("/health/ready").json()["access"] == "open"


def test_others_may_not_connect_before_there_is_a_key(tmp_path: Path) -> None:
    settings = settings_in(tmp_path).model_copy(update={"host": "0.0.0.0"})
    with serving(settings) as web:
        with pytest.raises(Exception, match="there is no API key"):
            web.portal.call(web.app.state.service.loaded)  # type: ignore[union-attr, attr-defined]
        assert web.get("/v1/models").status_code == 401
