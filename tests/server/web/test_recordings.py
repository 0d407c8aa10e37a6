"""/v1/recordings, and the recording of a pushed stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.recordings.recording_file import read
from server.recordings.records import Ending, Failed, Lost, Masked, Opening
from server.recordings.replaying import Replayed, replay
from server.settings import LiveSettings, Settings, StreamSettings

pytestmark = pytest.mark.timeout(60)

PICTURES = np.random.default_rng(0).integers(0, 256, (9, 40, 48, 3), np.uint8)


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", PICTURES[number])[1].tobytes()


@contextmanager
def service(folder: Path, **streams: Any) -> Iterator[TestClient]:
    settings = Settings(
        folder=folder,
        streams=StreamSettings(**({"record": True} | streams)),
        live=LiveSettings(files=folder),
    )
    app = create_app(settings, lambda: FakeEngine(fake_spec(32, 48)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


def push(web: TestClient, *messages: dict[str, Any], query: str = "?record=1", **wish: Any) -> str:
    """Push frames, wait for every answer, and return the session's id."""
    with web.websocket_connect(f"/v1/stream{query}") as socket:
        socket.send_json({"type": "open", "policy": "every"} | wish)
        name = socket.receive_json()["session"]
        for number, header in enumerate(messages):
            picture = header.pop("data", jpeg(number))
            socket.send_bytes(protocol.pack(header, picture))
        socket.send_json({"type": "end"})
        while socket.receive()["type"] != "websocket.close":
            pass
    assert isinstance(name, str)
    return name


def kept(folder: Path, name: str) -> list[Any]:
    return list(read(folder / "recordings" / f"{name}.mastream"))


def test_a_pushed_stream_is_recorded_if_it_asks(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        push(web, {}, query="")
        push(web, {}, query="?record=0")
        name = push(web, {}, {"reset": True}, {"data": b"\xff\xd8\xffno"}, {"pts": 0.5})
    records = [block.record for block in kept(tmp_path, name)]
    assert [path.stem for path in (tmp_path / "recordings").iterdir()] == [name]
    assert isinstance(records[0], Opening) and records[-1] == Ending(why="closed")
    masks = [one for one in records if isinstance(one, Masked)]
    assert [(one.seq, one.reset, one.picture) for one in masks] == [
        (0, "new", "packet"),
        (1, "client", "packet"),
        (3, None, "packet"),
    ]
    (refused,) = (one for one in records if isinstance(one, Failed))
    assert (refused.seq, refused.code) == (2, "undecodable")
    blocks = kept(tmp_path, name)
    assert blocks[1].payload == jpeg(0)
    outcomes = list(replay(blocks[1:], FakeEngine(fake_spec(32, 48)), 10**6))
    assert [one.difference for one in outcomes if isinstance(one, Replayed)] == ["", "", ""]


def test_raw_pictures_are_recorded_with_their_size(tmp_path: Path) -> None:
    raw = PICTURES[0].tobytes()
    with service(tmp_path) as web:
        name = push(web, {"data": raw}, input="rgb24", width=48, height=40)
    _, mask, _ = kept(tmp_path, name)
    assert (mask.record.picture, mask.record.size) == ("rgb24", (40, 48)) and mask.payload == raw


def test_frames_that_lose_their_turn_are_named(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        name = push(web, *({} for _ in range(9)), policy="latest")
    records = [block.record for block in kept(tmp_path, name)]
    lost = [seq for one in records if isinstance(one, Lost) for seq in one.seqs]
    masks = [one.seq for one in records if isinstance(one, Masked)]
    assert sorted(lost + masks) == list(range(9))


def test_a_client_that_goes_away_ends_its_recording(tmp_path: Path) -> None:
    with service(tmp_path) as web, web.websocket_connect("/v1/stream?record=1") as socket:
        socket.send_json({"type": "open"})
        name = socket.receive_json()["session"]
        socket.send_bytes(protocol.pack({}, jpeg(0)))
        socket.receive_bytes()
    assert kept(tmp_path, name)[-1].record == Ending(why="closed")


def test_a_stream_that_is_resumed_is_one_recording(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        wish: dict[str, Any] = {"type": "open", "policy": "every"}
        for part in range(3):
            with web.websocket_connect("/v1/stream?record=1") as socket:
                socket.send_json(wish)
                ready = socket.receive_json()
                for seq in range(3 * part, 3 * part + 3):
                    socket.send_bytes(protocol.pack({"seq": seq}, jpeg(seq)))
                    socket.receive_bytes()
                socket.close(1006)
            wish["resume"] = ready["resume"]
        assert ready["memory"] == "intact"
    blocks = kept(tmp_path, ready["session"])
    assert len(list((tmp_path / "recordings").iterdir())) == 1
    outcomes = list(replay(blocks[1:], FakeEngine(fake_spec(32, 48)), 10**6))
    masks = [one for one in outcomes if isinstance(one, Replayed)]
    assert [(one.record.seq, one.record.reset, one.difference) for one in masks] == [
        (seq, None if seq else "new", "") for seq in range(9)
    ]
    assert blocks[-1].record == Ending(why="stopped")


def test_a_stream_continues_when_its_recording_has_reached_its_limit(tmp_path: Path) -> None:
    limit = 3 * len(jpeg(0)) + 6000
    with service(tmp_path, record_bytes=limit, record_total_bytes=limit) as web:
        with web.websocket_connect("/v1/stream?record=1") as socket:
            socket.send_json({"type": "open", "policy": "every"})
            name = socket.receive_json()["session"]
            for seq in range(9):
                socket.send_bytes(protocol.pack({"seq": seq}, jpeg(seq)))
                header = protocol.unpack(socket.receive_bytes(), 10**6).header
                assert (header["seq"], header["memory"]["filled"]) == (seq, min(seq, 2))
            while not (found := web.get("/v1/recordings").json()["recordings"]) or any(
                one["recording"] for one in found
            ):
                pass
            blocks = kept(tmp_path, name)
            assert blocks[-1].record == Ending(why="bytes")
            assert [block.record.seq for block in blocks[1:-1]] == list(range(len(blocks) - 2))
            assert 3 <= len(blocks) - 2 <= 5
            assert (tmp_path / "recordings" / f"{name}.mastream").stat().st_size <= limit
        again = push(web, {})
    # There is room for one file only: the older one was removed for the newer.
    assert [path.stem for path in (tmp_path / "recordings").iterdir()] == [again] != [name]


def test_they_are_listed_downloaded_and_removed(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        assert web.get("/v1/recordings").json() == {"recordings": []}
        name = push(web, {})
        (body,) = web.get("/v1/recordings").json()["recordings"]
        assert (body["id"], body["stream"], body["recording"]) == (name, None, False)
        assert body["began"].endswith("Z")
        file = web.get(body["links"]["self"])
        assert file.content == (tmp_path / "recordings" / f"{name}.mastream").read_bytes()
        assert len(file.content) == body["bytes"]
        assert f'filename="{name}.mastream"' in file.headers["content-disposition"]
        assert web.head(body["links"]["self"]).headers["content-length"] == str(body["bytes"])
        assert web.delete(body["links"]["self"]).status_code == 204
        for answer in (web.get(body["links"]["self"]), web.delete(body["links"]["self"])):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_one_that_is_being_written_stays(tmp_path: Path) -> None:
    with service(tmp_path) as web, web.websocket_connect("/v1/stream?record=1") as socket:
        socket.send_json({"type": "open"})
        name = socket.receive_json()["session"]
        socket.send_bytes(protocol.pack({}, jpeg(0)))
        socket.receive_bytes()
        while not (found := web.get("/v1/recordings").json()["recordings"]):
            pass
        assert [(one["id"], one["recording"]) for one in found] == [(name, True)]
        answer = web.delete(f"/v1/recordings/{name}")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("streams", "query", "code", "close"),
    [
        ({"record": False}, "?record=1", "bad_request", 4400),
        ({}, "?record=yes", "bad_request", 4400),
        ({"record_bytes": 10, "record_total_bytes": 5}, "?record=1", "no_capacity", 4503),
    ],
)
def test_what_is_refused(
    tmp_path: Path, streams: dict[str, Any], query: str, code: str, close: int
) -> None:
    with service(tmp_path, **streams) as web:
        with web.websocket_connect(f"/v1/stream{query}") as socket:
            socket.send_json({"type": "open"})
            told = socket.receive_json()
            assert (told["code"], told["fatal"]) == (code, True)
            assert socket.receive()["code"] == close
        assert push(web, {}, query="")


def change(web: TestClient, **fields: Any) -> dict[str, Any]:
    answer = web.patch("/v1/streams/film", json=fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def wait_for_masks(web: TestClient, more: int) -> None:
    """Wait until a stream has this many more masks, and has been reset for its recording."""
    first = web.get("/v1/streams/film").json()["masks"]
    while web.get("/v1/streams/film").json()["masks"] < first + more:
        pass


def test_a_pulled_stream_is_recorded_while_it_runs(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_clip(tmp_path / "film.mp4", 50, (96, 72))
    with service(tmp_path) as web:
        film = {"name": "film", "url": "file:///film.mp4", "loop": True}
        assert web.post("/v1/streams", json=film).json()["recording"] is None
        wait_for_masks(web, 3)
        name = change(web, record=True)["recording"]
        assert change(web, record=True)["recording"] == name
        wait_for_masks(web, 8)
        change(web, paused=True)
        assert change(web, paused=False)["recording"] == name
        wait_for_masks(web, 3)
        assert change(web, record=False)["recording"] is None
        (listed,) = web.get("/v1/recordings").json()["recordings"]
        assert (listed["id"], listed["stream"]) == (name, "film")
        second = change(web, record=True)["recording"]
        wait_for_masks(web, 4)
        assert web.delete("/v1/streams/film").status_code == 204
    for one, reset in ((name, "client"), (second, "client")):
        first, *blocks = kept(tmp_path, one)
        assert (first.record.stream, first.record.policy) == ("film", "latest")
        masks = [block.record for block in blocks if isinstance(block.record, Masked)]
        assert masks[0].reset == reset and {mask.picture for mask in masks} == {"png"}
        outcomes = replay(blocks, FakeEngine(fake_spec(32, 48)), 10**6)
        found = [each.difference for each in outcomes if isinstance(each, Replayed)]
        assert found == [""] * len(masks) and len(masks) >= 3
        assert blocks[-1].record == Ending(why="closed")


def test_a_pulled_stream_is_not_recorded_by_a_server_that_does_not(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_clip(tmp_path / "film.mp4", 50, (96, 72))
    with service(tmp_path, record=False) as web:
        web.post("/v1/streams", json={"name": "film", "url": "file:///film.mp4", "loop": True})
        answer = web.patch("/v1/streams/film", json={"record": True})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
        assert "MASTREAM_STREAMS__RECORD=true" in answer.json()["detail"]
