"""/v1/streams with a file played as a camera: definitions, viewers, pictures and events."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Frame, Mask
from server.settings import LiveSettings, Settings
from server.streams.pulled import PulledStream
from server.streams.viewers import Viewers
from server.web.live import pictures as live_pictures

FILM = {"name": "film", "url": "file:///film.mp4", "loop": True}


@contextmanager
def service(folder: Path, **live: Any) -> Iterator[TestClient]:
    settings = Settings(folder=folder / "data", live=LiveSettings(files=folder, **live))
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


@pytest.fixture
def web(tmp_path: Path, make_clip: Callable[..., Path]) -> Iterator[TestClient]:
    make_clip(tmp_path / "film.mp4", 50, (96, 72))
    with service(tmp_path) as web:
        yield web


def added(web: TestClient, **changes: Any) -> dict[str, Any]:
    answer = web.post("/v1/streams", json=FILM | changes)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == body["links"]["self"]
    return body


def problem(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


def masks(web: TestClient, count: int, **wish: Any) -> list[protocol.MaskHeader]:
    with web.websocket_connect("/v1/streams/film/masks") as socket:
        socket.send_json({"type": "open", **wish})
        ready = socket.receive_json()
        assert (ready["type"], ready["session"], ready["resume"]) == ("ready", "film", None)
        found = []
        while len(found) < count:
            message = socket.receive()
            if message.get("bytes"):
                found.append(protocol.unpack_mask(message["bytes"], 10**7)[0])
        return found


def test_a_stream_is_added_listed_paused_resumed_and_removed(web: TestClient) -> None:
    body = added(web)
    assert body["state"] in ("connecting", "live")
    assert masks(web, 1)
    (listed,) = web.get("/v1/streams").json()["streams"]
    assert (listed["state"], listed["width"], listed["height"]) == ("live", 96, 72)
    assert 'mastream_sources{state="live"} 1.0' in web.get("/metrics").text
    paused = web.patch("/v1/streams/film", json={"paused": True}).json()
    assert (paused["state"], paused["paused"]) == ("paused", True)
    resumed = web.patch("/v1/streams/film", json={"paused": False}).json()
    assert resumed["state"] in ("connecting", "live")
    assert web.delete("/v1/streams/film").status_code == 204
    assert "no stream 'film'" in problem(web.get("/v1/streams/film"), 404)


def test_viewers_get_rising_masks_in_the_form_they_asked_for(web: TestClient) -> None:
    added(web)
    small = masks(web, 3, output="raw", size="model")
    assert [(one.width, one.height, one.encoding) for one in small] == [(64, 48, "raw")] * 3
    large = masks(web, 2, output="rle", overlay=True)
    assert all((one.width, one.height) == (96, 72) and one.overlay > 0 for one in large)
    for some in (small, large):
        assert [one.seq for one in some] == sorted({one.seq for one in some})
    assert large[0].seq >= small[-1].seq, "a late viewer gets the newest mask at once"


def test_a_viewer_cannot_push_frames(web: TestClient) -> None:
    added(web)
    with web.websocket_connect("/v1/streams/film/masks") as socket:
        socket.send_json({"type": "open"})
        socket.send_bytes(protocol.pack({}, b"\xff\xd8\xff"))
        while True:
            message = socket.receive()
            if message["type"] == "websocket.close":
                break
            last = message
        assert json.loads(last["text"])["code"] == "bad_message"
        assert "/v1/stream" in json.loads(last["text"])["detail"]
        assert message["code"] == 4400


def test_a_viewer_ends_and_is_answered(web: TestClient) -> None:
    added(web)
    with web.websocket_connect("/v1/streams/film/masks") as socket:
        socket.send_json({"type": "open"})
        socket.send_json({"type": "ping"})
        socket.send_json({"type": "end"})
        texts = []
        while (message := socket.receive())["type"] != "websocket.close":
            texts += [json.loads(message["text"])["type"]] if message.get("text") else []
        assert message["code"] == 1000
        assert texts[-1] == "end" and {"ready", "pong"} <= set(texts)


def test_a_removed_stream_ends_its_viewers(web: TestClient) -> None:
    added(web)
    with web.websocket_connect("/v1/streams/film/masks") as socket:
        socket.send_json({"type": "open"})
        assert socket.receive_json()["type"] == "ready"
        assert web.delete("/v1/streams/film").status_code == 204
        while (message := socket.receive())["type"] != "websocket.close":
            pass
        assert message["code"] == 1000


def test_an_unknown_stream_is_reported_on_its_socket(web: TestClient) -> None:
    with web.websocket_connect("/v1/streams/nobody/masks") as socket:
        told = socket.receive_json()
        assert (told["code"], told["fatal"]) == ("not_found", True)
        assert socket.receive()["code"] == 4404


@pytest.mark.parametrize("query", ["", "?overlay=false", "?opacity=1"])
def test_a_snapshot_is_a_picture_of_the_sources_size(web: TestClient, query: str) -> None:
    added(web)
    answer = web.get(f"/v1/streams/film/snapshot{query}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (96, 72)


def test_a_snapshot_is_a_mask_or_its_numbers(web: TestClient) -> None:
    added(web)
    picture = Image.open(io.BytesIO(web.get("/v1/streams/film/snapshot?format=png").content))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "P", (96, 72))
    told = web.get("/v1/streams/film/snapshot?format=json").json()
    assert sum(told["areas"].values()) == pytest.approx(1, abs=1e-3)
    assert told["age"] >= 0 and told["state"] in ("live", "stalled", "connecting", "ended")


def test_a_mask_has_an_age_that_rises_while_the_camera_is_away(web: TestClient) -> None:
    added(web)
    masks(web, 1)
    first = web.patch("/v1/streams/film", json={"paused": True}).json()["mask_age"]
    while web.get("/v1/streams/film").json()["mask_age"] <= first:
        pass
    assert float(web.get("/v1/streams/film/snapshot").headers["mastream-mask-age"]) > first


@pytest.mark.anyio
async def test_a_preview_shows_the_last_picture_again_while_none_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_pictures, "STALE_SECONDS", 0.01)
    away = SimpleNamespace(viewers=Viewers())
    waiting = asyncio.create_task(live_pictures.next_shown(cast("PulledStream", away), None))
    frame = Frame(np.zeros((16, 32, 3), np.uint8), 0, arrived=5.0)
    mask = Mask(np.zeros((16, 32), np.uint8), frame)
    away.viewers.mask(mask)
    assert await waiting is mask
    assert await live_pictures.next_shown(cast("PulledStream", away), mask) is mask
    away.viewers.close()
    assert await live_pictures.next_shown(cast("PulledStream", away), mask) is None


@pytest.mark.parametrize(("age", "note"), [(None, ""), (4.9, ""), (12.4, "12 s old")])
def test_only_an_old_picture_has_its_age_written_on_it(age: float | None, note: str) -> None:
    assert live_pictures.note(age) == note


def test_a_paused_stream_has_no_snapshot_before_its_first_mask(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.web.live.pictures.FIRST_SECONDS", 0.01)
    added(web, paused=True)
    assert "The stream is paused" in problem(web.get("/v1/streams/film/snapshot"), 503)


def test_the_preview_is_motion_jpeg(web: TestClient) -> None:
    body = added(web)
    masks(web, 1)
    with web.stream("GET", body["links"]["preview"]) as answer:
        assert answer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        web.delete("/v1/streams/film")
        parts = b"".join(answer.iter_bytes())
    assert parts.count(b"Content-Type: image/jpeg\r\n") >= 1
    begin = parts.index(b"\r\n\r\n") + 4
    assert Image.open(io.BytesIO(parts[begin:])).size == (96, 72)


def test_events_report_states_with_ids(web: TestClient) -> None:
    body = added(web)
    masks(web, 1)
    with web.stream("GET", body["links"]["events"], headers={"Last-Event-ID": "1"}) as answer:
        web.delete("/v1/streams/film")
        text = "".join(answer.iter_text())
    assert "id: 1\n" not in text and "id: 2\n" in text
    states = [json.loads(line[6:])["state"] for line in text.splitlines() if "data: {" in line]
    assert "live" in states


def test_a_film_continues_after_a_restart_and_says_so(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_clip(tmp_path / "film.mp4", 500, (96, 72))
    with service(tmp_path) as web:
        added(web, loop=False)
        before = masks(web, 10, output="raw", size="model")[-1].seq
        (first,) = events(web, 1)
    with service(tmp_path) as web, web.websocket_connect("/v1/streams/film/masks") as socket:
        socket.send_json({"type": "open", "output": "raw"})
        ready = socket.receive_json()
        assert (ready["type"], ready["memory"]) == ("ready", "rebuilt")
        header, _ = protocol.unpack_mask(socket.receive_bytes(), 1 << 24)
        assert header.seq > before and header.memory.reset is None
        assert header.memory.filled == fake_spec().memory_frames
        told = events(web, 3)
        assert [one["kind"] for one in told] == ["state", "state", "moved"]
        assert (told[2]["cause"], told[2]["memory"]) == ("given_back", "rebuilt")
        assert before < told[2]["seq"] <= header.seq
        assert told[0]["id"] > first["id"], "no event has the number of one before"


def events(web: TestClient, count: int) -> list[dict[str, Any]]:
    """The first events of the film."""
    live = web.app.state.service.live  # type: ignore[attr-defined]
    stream = live.streams.find("film")
    deadline = time.monotonic() + 20
    while len(stream.measures.news) < count:
        assert time.monotonic() < deadline, "the events do not come"
        time.sleep(0.02)
    return [{"id": one.id, "kind": one.kind, **one.data} for one in stream.measures.news][:count]


def test_renditions_are_forgotten_with_the_stream(web: TestClient) -> None:
    added(web)
    live = web.app.state.service.live  # type: ignore[attr-defined]
    masks(web, 1)
    assert web.get("/v1/streams/film/snapshot").status_code == 200
    stream = weakref.ref(live.streams.find("film"))
    assert list(live._renditions) == [stream()]
    assert web.delete("/v1/streams/film").status_code == 204
    deadline = time.monotonic() + 20
    while stream() is not None:
        assert time.monotonic() < deadline, "something keeps the stream"
        gc.collect()
        time.sleep(0.02)
    assert len(live._renditions) == 0


def test_definitions_survive_a_restart(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    make_clip(tmp_path / "film.mp4", 25)
    with service(tmp_path) as web:
        added(web, max_fps=5, on_cut="keep")
        added(web, name="other", paused=True)
        web.delete("/v1/streams/other")
    with service(tmp_path) as web:
        (kept,) = web.get("/v1/streams").json()["streams"]
        assert kept["name"] == "film"
        assert masks(web, 1)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"url": "ftp://host/x"}, 422, "does not open ftp:// addresses"),
        ({"url": "file:///../film.mp4"}, 422, "no file"),
        ({"url": "file:///nothing.mp4"}, 422, "no file /nothing.mp4"),
        ({"url": "nothing"}, 422, "url"),
        ({"name": "Not A Name"}, 422, "name"),
        ({"max_fps": 0}, 422, "max_fps"),
        ({"nonsense": 1}, 422, "nonsense"),
        ({"publish": "http://host/x"}, 422, "rtsp://"),
    ],
)
def test_what_cannot_be_pulled_is_refused(
    web: TestClient, changes: dict[str, Any], status: int, words: str
) -> None:
    assert words in problem(web.post("/v1/streams", json=FILM | changes), status)


def test_a_name_is_taken_once_and_streams_are_bounded(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_clip(tmp_path / "film.mp4", 5)
    with service(tmp_path, max_streams=2) as web:
        added(web, paused=True)
        assert "film already" in problem(web.post("/v1/streams", json=FILM), 409)
        added(web, name="second", paused=True)
        answer = web.post("/v1/streams", json=FILM | {"name": "third"})
        assert "All 2 streams are taken" in problem(answer, 503)


def test_a_password_is_shown_nowhere(web: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    added(web, name="cam", url="rtsp://user:secret@127.0.0.1:9/x?token=secret")
    told = web.get("/v1/streams").text + web.get("/v1/streams/cam").text + web.get("/metrics").text
    assert "secret" not in told + caplog.text and "rtsp://127.0.0.1:9/x" in told


def test_the_overlay_is_published(
    web: TestClient, rtsp_recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = rtsp_recorder(password="secret")
    body = added(web, publish=server.url.replace("//", "//user:secret@"))
    assert body["publish"]["url"] == server.url
    deadline = time.monotonic() + 30
    while len(server.pictures()) < 10:
        assert time.monotonic() < deadline, web.get("/v1/streams/film").json()["publish"]
        time.sleep(0.1)
    told = web.get("/v1/streams/film")
    assert told.json()["publish"]["state"] == "live"
    assert told.json()["publish"]["sent"] >= 9
    assert (server.pictures()[0].width, server.pictures()[0].height) == (96, 72)
    assert web.delete("/v1/streams/film").status_code == 204
    assert not any(one.name.startswith("publish") for one in threading.enumerate())
    assert "secret" not in told.text + caplog.text


def test_a_stream_that_is_not_published_says_so(web: TestClient) -> None:
    assert added(web)["publish"] is None


def test_a_server_that_stops_ends_its_viewers_and_takes_no_more(web: TestClient) -> None:
    added(web)
    service = web.app.state.service  # type: ignore[attr-defined]
    assert web.portal
    with web.websocket_connect("/v1/streams/film/masks") as socket:
        socket.send_json({"type": "open"})
        assert socket.receive_json()["type"] == "ready"
        web.portal.call(service.drain)
        last = {}
        while (message := socket.receive())["type"] != "websocket.close":
            last = message
        assert json.loads(last["text"])["type"] == "going_away" and message["code"] == 1012
    assert "about to stop" in problem(web.post("/v1/streams", json=FILM | {"name": "late"}), 503)
    with web.websocket_connect("/v1/streams/film/masks") as socket:
        assert "about to stop" in socket.receive_json()["detail"]


def test_changes_at_the_same_time_are_made_one_by_one(web: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: web.post("/v1/streams", json=FILM), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
        paused = list(
            pool.map(
                lambda number: web.patch("/v1/streams/film", json={"paused": number % 2 == 0}),
                range(8),
            )
        )
        assert {answer.status_code for answer in paused} == {200}
        removed = list(pool.map(lambda _: web.delete("/v1/streams/film"), range(8)))
    assert sorted(answer.status_code for answer in removed) == [204, *[404] * 7]
