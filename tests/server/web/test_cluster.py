"""Two servers on one database: which has a stream, which knows its place, and which takes it
over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.cluster.history import Change, Condition, History
from server.database.connection import sqlite_url
from server.database.schema import VIDEOS
from server.database.streams import StreamPlace
from server.database.video_record import VideoRecord, VideoState
from server.engines.fake import FakeEngine, fake_spec
from server.frame import VideoInfo
from server.security.callers import ANYONE, Caller
from server.security.keys import Role
from server.settings import ClusterSettings, LiveSettings, Settings, StreamSettings, VideoSettings
from server.web.cluster import may_see

FILM = {"name": "film", "url": "file:///film.mp4", "loop": True}
PATIENCE = 20.0
INFO = VideoInfo(64, 48, 30, 1.2, Fraction(25), Fraction(1, 1000))


@contextmanager
def serving(
    folder: Path,
    name: str,
    advertise: bool = True,
    max_sessions: int = 64,
    videos: Path | None = None,
) -> Iterator[TestClient]:
    settings = Settings(
        folder=folder / name,
        live=LiveSettings(files=folder),
        streams=StreamSettings(max_sessions=max_sessions),
        videos=VideoSettings(database=sqlite_url(folder / "shared.db"), folder=videos),
        cluster=ClusterSettings(advertise=f"http://{name}.test/" if advertise else None, node=name),
    )
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app, follow_redirects=False) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


@pytest.fixture
def film(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    make_clip(tmp_path / "film.mp4", 50, (96, 72))
    return tmp_path


def eventually(find: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


def has(web: TestClient) -> list[str]:
    return [one["name"] for one in web.get("/v1/streams").json()["streams"]]


def elsewhere(web: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.get("/v1/streams").json()["elsewhere"]
    return found


def test_a_server_says_where_a_stream_is(film: Path) -> None:
    with serving(film, "a") as a, serving(film, "b") as b:
        assert a.post("/v1/streams", json=FILM).status_code == 201
        eventually(lambda: elsewhere(b) == [{"name": "film", "server": "http://a.test/"}])
        assert (has(a), has(b)) == (["film"], [])
        assert b.post("/v1/streams", json=FILM).status_code == 409
        for method, path in (
            ("GET", "film"),
            ("DELETE", "film"),
            ("GET", "film/snapshot?format=x"),
        ):
            answer = b.request(method, f"/v1/streams/{path}")
            assert answer.status_code == 307, answer.text
            assert answer.headers["location"] == f"http://a.test/v1/streams/{path}"
            assert answer.json()["code"] == "elsewhere"
        with b.websocket_connect("/v1/streams/film/masks") as socket:
            assert socket.receive_json() == {
                "type": "going_away",
                "reconnect_after_ms": 0,
                "taken": None,
                "url": "ws://a.test/v1/streams/film/masks",
            }
            assert socket.receive()["code"] == 1012


def test_without_an_address_the_answer_is_to_try_again(film: Path) -> None:
    with serving(film, "a", advertise=False) as a, serving(film, "b") as b:
        assert a.post("/v1/streams", json=FILM).status_code == 201
        eventually(lambda: elsewhere(b) == [{"name": "film", "server": None}])
        answer = b.get("/v1/streams/film")
        assert (answer.status_code, answer.json()["code"]) == (503, "no_capacity")


def test_a_stream_moves_when_its_server_stops_and_stays_when_that_returns(film: Path) -> None:
    with ExitStack() as stack:
        with serving(film, "a") as a:
            assert a.post("/v1/streams", json=FILM).status_code == 201
            b = stack.enter_context(serving(film, "b"))
        eventually(lambda: has(b) == ["film"])
        with serving(film, "a") as a:
            eventually(lambda: elsewhere(a) == [{"name": "film", "server": "http://b.test/"}])
            assert (has(a), has(b)) == ([], ["film"])
            assert b.delete("/v1/streams/film").status_code == 204
            eventually(lambda: a.get("/v1/streams/film").status_code == 404)


def test_a_full_server_sends_streams_to_one_that_has_room(film: Path) -> None:
    with serving(film, "a", max_sessions=1) as a, serving(film, "b") as b:
        eventually(lambda: two(b) and two(a))
        with a.websocket_connect("/v1/stream") as first:
            first.send_json({"type": "open"})
            assert first.receive_json()["type"] == "ready"
            with a.websocket_connect("/v1/stream") as second:
                second.send_json({"type": "open"})
                message = second.receive_json()
                assert message["type"] == "going_away"
                assert message["url"] == "ws://b.test/v1/stream"
                assert second.receive()["code"] == 1012


def test_a_full_server_that_knows_no_other_says_so(film: Path) -> None:
    with (
        serving(film, "a", max_sessions=1) as a,
        serving(film, "b", advertise=False) as b,
        a.websocket_connect("/v1/stream") as first,
    ):
        eventually(lambda: two(b) and two(a))
        first.send_json({"type": "open"})
        assert first.receive_json()["type"] == "ready"
        with a.websocket_connect("/v1/stream") as second:
            second.send_json({"type": "open"})
            message = second.receive_json()
            assert (message["type"], message["code"]) == ("error", "no_capacity")


def test_the_cluster_lists_the_servers_that_are_alive(film: Path) -> None:
    with serving(film, "b") as b:
        with serving(film, "a"):
            found = eventually(lambda: two(b))
            assert {one["node"]: (one["is_this"], one["url"]) for one in found} == {
                "a": (False, "http://a.test/"),
                "b": (True, "http://b.test/"),
            }
            assert all(one["room"] > 0 and not one["draining"] for one in found)
        eventually(lambda: len(b.get("/v1/cluster").json()["servers"]) == 1)


def test_the_cluster_says_who_has_which_stream_and_what_has_changed(film: Path) -> None:
    with serving(film, "b") as b:
        with serving(film, "a") as a:
            eventually(lambda: two(b))
            assert a.post("/v1/streams", json=FILM).status_code == 201
            (mine,) = a.get("/v1/cluster").json()["streams"]
            me = next(one for one in two(a) or [] if one["is_this"])
            assert (mine["name"], mine["state"], mine["server"]) == ("film", "held", me["name"])
            assert mine["url"] is None
            (other,) = eventually(lambda: b.get("/v1/cluster").json()["streams"])
            assert (other["state"], other["server"]) == ("elsewhere", me["name"])
            assert (other["url"], 0 < other["lasts"] <= 3) == ("http://a.test/", True)
            assert [one["streams"] for one in two(b) or [] if one["node"] == "a"] == [1]
        eventually(lambda: has(b) == ["film"])
        eventually(lambda: len(b.get("/v1/cluster").json()["servers"]) == 1)
        changes = b.get("/v1/cluster").json()["changes"]
        told = [(one["kind"], one["now"]) for one in changes if one["name"] in ("film", me["name"])]
        assert told.index(("server", "alive")) < told.index(("server", "gone"))
        assert ("stream", "held") in told
        assert [one["at"] for one in changes] == sorted(one["at"] for one in changes)


def test_a_key_sees_only_the_streams_that_it_may_watch() -> None:
    streams, history = {"gate": "k1", "yard": "k2"}, History("stream", "removed", lambda: 1.0)
    history.look({})
    history.look({name: Condition("held", "a") for name in (*streams, "roof")})
    places = [StreamPlace(name, "a", 2.0, key) for name, key in streams.items()]
    caller = Caller("k1", Role.WATCH, frozenset({"roof"}))
    shown = [one for one in places if caller.watches(one.name, one.key)]
    assert [one.name for one in shown] == ["gate"]
    seen = [one.name for one in history.changes if may_see(caller, one, shown)]
    assert seen == ["gate", "roof"]
    assert may_see(caller, Change(1.0, "server", "b", Condition("gone")), shown)
    assert all(may_see(ANYONE, one, ()) for one in history.changes)


def two(web: TestClient) -> list[dict[str, Any]] | None:
    servers: list[dict[str, Any]] = web.get("/v1/cluster").json()["servers"]
    return servers if len(servers) == 2 else None


def test_a_video_stays_with_the_server_that_received_it(film: Path) -> None:
    clip = (film / "film.mp4").read_bytes()
    with serving(film, "a") as a, serving(film, "b") as b:
        video = a.post("/v1/videos?name=x.mp4", content=clip).json()["id"]
        eventually(lambda: b.get(f"/v1/videos/{video}").json()["state"] == "succeeded")
        assert [one["id"] for one in b.get("/v1/videos").json()["videos"]] == [video]
        eventually(lambda: two(b))
        for method, path in (
            ("GET", f"{video}/masks.mkv"),
            ("DELETE", video),
            ("GET", f"{video}/source"),
        ):
            answer = b.request(method, f"/v1/videos/{path}")
            assert (answer.status_code, answer.json()["code"]) == (307, "elsewhere")
            assert answer.headers["location"] == f"http://a.test/v1/videos/{path}"
        assert a.get(f"/v1/videos/{video}/masks.mkv").status_code == 200
    with serving(film, "b") as b:
        assert b.get(f"/v1/videos/{video}").json()["state"] == "succeeded"
        assert b.get(f"/v1/videos/{video}/masks.mkv").status_code == 503
        with serving(film, "a") as a:
            assert a.get(f"/v1/videos/{video}/masks.mkv").status_code == 200


def test_any_server_that_shares_a_folder_answers_for_its_videos(film: Path) -> None:
    clip, shared = (film / "film.mp4").read_bytes(), film / "videos"
    part = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    with (
        serving(film, "a", videos=shared) as a,
        serving(film, "b", videos=shared) as b,
        serving(film, "c") as c,
    ):
        video = a.post("/v1/videos?name=x.mp4", content=clip).json()["id"]
        told = b.get(f"/v1/videos/{video}/events").text
        assert '"state":"succeeded"' in told.replace(" ", "")
        masks = [one.get(f"/v1/videos/{video}/masks.mkv") for one in (a, b)]
        assert [one.status_code for one in masks] == [200, 200]
        assert masks[0].content == masks[1].content
        assert b.get(f"/v1/videos/{video}/source").content == clip
        eventually(lambda: len(c.get("/v1/cluster").json()["servers"]) == 3)
        answer = c.get(f"/v1/videos/{video}/masks.mkv")
        assert answer.status_code == 307
        assert answer.headers["location"].partition(".test/")[0] in ("http://a", "http://b")
        upload = a.post("/v1/uploads", headers=part).headers["location"]
        assert b.head(upload, headers=part).status_code == 307, "its bytes come to one server"
        assert b.delete(f"/v1/videos/{video}").status_code == 204
        assert a.get(f"/v1/videos/{video}").status_code == 404


def test_a_start_leaves_the_videos_and_uploads_of_others_alone(film: Path) -> None:
    part = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    with serving(film, "a") as a:
        store = a.app.state.service.jobs.files.store  # type: ignore[attr-defined]
        location = a.post("/v1/uploads", headers=part).headers["location"]
        upload = location.rsplit("/", 1)[1]
        running = VideoRecord("v", "n", "fake", 1, INFO, ("masks.mkv",), "f")
        store.add(running, 9)
        with store.database.begin() as connection:
            connection.execute(VIDEOS.update().values(state=VideoState.RUNNING))
        with serving(film, "b") as b:
            eventually(lambda: two(b))
            b.portal.call(b.app.state.service.uploads.expire)  # type: ignore[attr-defined, union-attr]
            answer = b.head(f"/v1/uploads/{upload}", headers=part)
            assert answer.status_code == 307
            assert store.get("v").state is VideoState.RUNNING
        assert a.head(f"/v1/uploads/{upload}", headers=part).status_code == 200
