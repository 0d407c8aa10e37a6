"""The overlay and the poster of a video can be seen while it runs."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Pixels
from server.settings import Settings, VideoSettings
from server.sinks.poster import shot_of
from server.web.videos import unfinished_file

FRAMES = 400
"""Sixteen seconds: several fragments, beyond what the encoder holds."""
PIECE = 80
"""Frames from one key frame to the next."""
HELD = 300
"""After this many frames the engine waits for the test."""


class Held:
    """A service whose engine waits in one step until it may go on."""

    def __init__(self, folder: Path, lanes: int) -> None:
        self._folder, self._lanes = folder, lanes
        self._frames = 0
        self.go_on = threading.Event()

    @contextmanager
    def serving(self) -> Iterator[TestClient]:
        settings = Settings(
            folder=self._folder / "data",
            videos=VideoSettings(min_free_bytes=0, piece_frames=PIECE, lanes=self._lanes),
        )
        engine = lambda: FakeEngine(fake_spec(48, 64), on_step=self._step)  # noqa: E731
        with TestClient(create_app(settings, engine)) as client:
            assert client.portal is not None
            client.portal.call(client.app.state.service.loaded)  # type: ignore[attr-defined]
            try:
                yield client
            finally:
                self.go_on.set()

    def _step(self, frames: Sequence[Pixels]) -> None:
        self._frames += len(frames)
        if self._frames > HELD:
            assert self.go_on.wait(30), "nobody let the engine go on"


@pytest.fixture(params=[1, 4], ids=["one lane", "four lanes"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Held:
    return Held(tmp_path, request.param)


@pytest.fixture
def client(held: Held) -> Iterator[TestClient]:
    with held.serving() as client:
        yield client


@pytest.fixture
def video(client: TestClient, tmp_path: Path, make_clip: Callable[..., Path]) -> dict[str, Any]:
    """A video of several pieces, some of which are done."""
    clip = make_clip(tmp_path / "clip.mp4", FRAMES, keys=PIECE).read_bytes()
    queued = client.post("/v1/videos?artefacts=overlay.mp4,masks.mkv", content=clip).json()
    while True:
        now: dict[str, Any] = client.get(queued["links"]["self"]).json()
        if now["progress"]["frames_done"] > 2 * PIECE:
            assert now["pieces"]["total"] > 2
            return now
        assert now["state"] in ("queued", "running"), now


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a viewer has received the first bytes of a growing overlay."""
    event, real = threading.Event(), unfinished_file.growing_overlay

    async def seen(*args: Any) -> AsyncGenerator[bytes]:
        async for data in real(*args):
            event.set()
            yield data

    monkeypatch.setattr(unfinished_file, "growing_overlay", seen)
    return event


def test_there_are_links_to_both_while_it_runs(client: TestClient, video: dict[str, Any]) -> None:
    assert video["state"] == "running"
    assert {"overlay.mp4", "poster.jpg"} <= set(video["links"])
    assert "masks.mkv" not in video["links"]
    early = client.get(f"{video['links']['self']}/masks.mkv")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    not_asked = client.get(f"{video['links']['self']}/masks.zip")
    assert not_asked.status_code == 409


def test_a_poster_so_far(client: TestClient, video: dict[str, Any]) -> None:
    answer = client.get(video["links"]["poster.jpg"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store" and "etag" not in answer.headers
    assert shot_of(answer.content).frame < HELD


def test_the_overlay_is_sent_while_it_grows_and_to_its_end(
    client: TestClient, video: dict[str, Any], held: Held, tmp_path: Path,
    begun: threading.Event,
) -> None:  # fmt: skip
    with ThreadPoolExecutor(1) as thread:
        answering = thread.submit(client.get, video["links"]["overlay.mp4"])
        assert begun.wait(30), "nothing came while the video ran"
        held.go_on.set()
        answer = answering.result(30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["accept-ranges"] == "none"
    assert not {"etag", "last-modified", "content-length"} & set(answer.headers)
    client.get(video["links"]["events"])
    finished = client.get(video["links"]["overlay.mp4"])
    assert finished.headers["etag"] and b"moof" not in finished.content
    assert b"moof" in answer.content and answer.content.count(b"ftyp") == 1
    assert times(answer.content, tmp_path) == times(finished.content, tmp_path)
    assert len(times(answer.content, tmp_path)) == FRAMES


def times(data: bytes, folder: Path) -> list[int | None]:
    (folder / "read.mp4").write_bytes(data)
    with av.open(folder / "read.mp4") as container:
        return [frame.pts for frame in container.decode(video=0)]


def test_a_head_of_a_growing_overlay_ends_at_once(
    client: TestClient, video: dict[str, Any]
) -> None:
    answer = client.head(video["links"]["overlay.mp4"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers


def test_a_viewer_of_a_video_that_is_cancelled_is_let_go(
    client: TestClient, video: dict[str, Any], held: Held, begun: threading.Event
) -> None:
    with ThreadPoolExecutor(2) as threads:
        answering = threads.submit(client.get, video["links"]["overlay.mp4"])
        assert begun.wait(30), "nothing came while the video ran"
        deleting = threads.submit(client.delete, video["links"]["self"])
        held.go_on.set()
        assert deleting.result(30).status_code == 204
        assert answering.result(30).status_code == 200
    assert client.get(video["links"]["overlay.mp4"]).status_code == 404
