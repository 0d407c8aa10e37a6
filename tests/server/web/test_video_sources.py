"""The answers of /v1/videos to unusual sources: shapes of pixels, sizes that artefacts cannot
have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from starlette.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import Settings, VideoSettings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(folder=tmp_path / "data", videos=VideoSettings(min_free_bytes=0))
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.portal is not None
        client.portal.call(app.state.service.loaded)
        yield client


def film(
    path: Path, width: int, height: int, aspect: Fraction = Fraction(1), turn: int = 0
) -> bytes:
    """Two pictures, uncompressed if they are in a NUT file."""
    with av.open(path, "w") as container:
        stream = container.add_stream("rawvideo" if path.suffix == ".nut" else "mpeg4", rate=25)
        stream.width, stream.height = width, height
        stream.pix_fmt = "rgb24" if path.suffix == ".nut" else "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(width, height, stream.pix_fmt)))
        container.mux(stream.encode(None))
    return path.read_bytes()


def ended(client: TestClient, video: dict[str, Any]) -> dict[str, Any]:
    client.get(video["links"]["events"])
    now: dict[str, Any] = client.get(video["links"]["self"]).json()
    return now


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (0, {"width": 72, "height": 58, "display_width": 102, "display_height": 58}),
        (90, {"width": 58, "height": 72, "display_width": 58, "display_height": 102}),
    ],
)
def test_pixels_that_are_not_square_keep_their_shape(
    client: TestClient, tmp_path: Path, turn: int, expected: dict[str, int]
) -> None:
    data = film(tmp_path / "a.mp4", 72, 58, Fraction(64, 45), turn)
    video = ended(client, client.post("/v1/videos", content=data).json())
    assert video["state"] == "succeeded"
    assert {name: video["source"][name] for name in expected} == expected
    aspect = Fraction(45, 64) if turn else Fraction(64, 45)
    assert video["source"]["pixel_aspect"] == str(aspect)
    for name in ("masks.mkv", "overlay.mp4"):
        path = tmp_path / name
        path.write_bytes(client.get(video["links"][name]).content)
        with av.open(path) as container:
            assert container.streams.video[0].sample_aspect_ratio == aspect


@pytest.mark.parametrize(
    ("width", "height", "refused", "served"),
    [
        (17000, 2, "overlay.mp4", "masks.mkv,masks.zip,summary.json"),
        (2, 17000, "overlay.mp4", "masks.mkv,masks.zip,summary.json"),
        (1, 181, "masks.mkv", "overlay.mp4,masks.zip,summary.json"),
    ],
)
def test_a_size_that_an_artefact_cannot_have_is_refused_unless_it_is_not_asked_for(
    client: TestClient, tmp_path: Path, width: int, height: int, refused: str, served: str
) -> None:
    data = film(tmp_path / "a.nut", width, height)
    answer = client.post("/v1/videos", content=data)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_video")
    assert f"{refused} cannot be made from pictures of {width}x{height}" in answer.json()["detail"]
    answer = client.post(f"/v1/videos?artefacts={served}", content=data)
    assert answer.status_code == 202, answer.text
    video = ended(client, answer.json())
    assert (video["state"], video["progress"]["frames_done"]) == ("succeeded", 2)


def packets(path: Path, worse: Path, damage: Callable[[int], bool]) -> bytes:
    """An MJPEG video whose packets are unreadable if ``damage(index)`` says so."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(12):
            frame = av.VideoFrame(64, 48, "yuvj420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(path) as given, av.open(worse, "w") as taken:
        source = given.streams.video[0]
        stream = taken.add_stream_from_template(source)
        for index, packet in enumerate(p for p in given.demux(source) if p.size):
            data = bytes(packet)
            changed = av.Packet(b"\x55" * len(data) if damage(index) else data)
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.stream = stream
            taken.mux(changed)
    return worse.read_bytes()


def test_what_is_lost_is_reported(client: TestClient, tmp_path: Path) -> None:
    data = packets(tmp_path / "a.mkv", tmp_path / "b.mkv", lambda index: index in (5, 7))
    video = client.post("/v1/videos", content=data).json()
    video = ended(client, video)
    assert (video["state"], video["progress"]["frames_done"]) == ("succeeded", 10)
    lost = {"undecodable": 2, "damaged": 0, "missing": 0}
    assert video["losses"] == lost
    summary = client.get(video["links"]["summary.json"]).json()
    assert summary["totals"]["losses"] == lost


def test_a_whole_video_has_lost_nothing(client: TestClient, tmp_path: Path) -> None:
    data = packets(tmp_path / "a.mkv", tmp_path / "b.mkv", lambda _: False)
    video = ended(client, client.post("/v1/videos", content=data).json())
    assert video["losses"] == {"undecodable": 0, "damaged": 0, "missing": 0}


def test_a_video_of_which_most_is_lost_fails(client: TestClient, tmp_path: Path) -> None:
    data = packets(tmp_path / "a.mkv", tmp_path / "b.mkv", lambda index: index > 3)
    video = ended(client, client.post("/v1/videos", content=data).json())
    assert (video["state"], video["error"]["code"]) == ("failed", "bad_video")
    assert "of 12 pictures 8 are lost and 0 damaged" in video["error"]["detail"]
    assert video["losses"]["undecodable"] == 8
