from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clients.python.errors import BadFootage
from clients.python.footage import Newest, Paced, first_frames, frames_of, is_live
from clients.python.pictures import Frame

TURNED = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)


def write_clip(path: Path, frames: int = 4, title: str = "") -> Path:
    """A clip of 32x16, its left half bright red, at 10 frames/s."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16] = (250, 0, 0)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path) -> None:
    """Make players show an MP4 turned clockwise by a quarter."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in TURNED)
    path.write_bytes(data)


def test_a_clip_is_read_with_its_timestamps(tmp_path: Path) -> None:
    frames = list(frames_of(str(write_clip(tmp_path / "a.mp4"))))
    assert [frame.pts for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    picture = frames[0].picture
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (16, 32, 3)
    assert picture[8, 4, 0] > 200
    assert picture[8, 28, 0] < 50


def test_a_title_that_is_not_utf8_is_no_matter(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", title="caf? noir")
    data = clip.read_bytes()
    assert data.count(b"caf? noir") == 1
    clip.write_bytes(data.replace(b"caf? noir", b"caf\xe9 noir"))
    assert len(list(frames_of(str(clip)))) == 4


def test_pictures_are_as_displayed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    turn(clip)
    picture = next(frames_of(str(clip))).picture
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (32, 16, 3)
    assert picture[4, 8, 0] > 200
    assert picture[28, 8, 0] < 50


def test_the_first_frames(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "a.mp4"))
    assert len(first_frames(clip, 2)) == 2
    assert len(first_frames(clip, 99)) == 4


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    with pytest.raises(BadFootage, match=r"a\.mp4 cannot be read"):
        next(frames_of(str(text)))
    with pytest.raises(BadFootage, match="No such file"):
        next(frames_of(str(tmp_path / "absent.mp4")))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(BadFootage, match="contains no video"):
        next(frames_of(str(path)))


def test_an_absent_camera_says_so() -> None:
    with pytest.raises(BadFootage, match="Camera 987 cannot be opened"):
        next(frames_of("987"))


@pytest.mark.parametrize(
    ("source", "live"),
    [("0", True), ("rtsp://h/a", True), ("https://h/a.mp4", False), ("a.mp4", False)],
)
def test_work_that_continues_without_us(source: str, live: bool) -> None:
    assert is_live(source) is live


def test_pacing_keeps_order_and_waits_at_least_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        now[0] += seconds

    monkeypatch.setattr("clients.python.footage.time.monotonic", lambda: now[0])
    frames = [Frame(b"", 5.0), Frame(b"", 5.5), Frame(b"", 7.0)]
    assert list(Paced(frames, None, sleep)) == frames
    assert slept == [0.0, 0.5, 1.5]
    slept.clear()
    for _ in Paced(frames, 4.0, sleep):
        now[0] += 0.3 if len(slept) == 2 else 0.0
    assert slept == [0.0, 0.25, 0.0]


def test_a_wait_for_a_distant_frame_ends_with_its_reader() -> None:
    seen: list[Frame] = []
    frames = Paced([Frame(b"", 0.0), Frame(b"", 1e6)], None)
    reader = threading.Thread(target=lambda: seen.extend(frames))
    reader.start()
    while not seen and reader.is_alive():
        pass
    frames.close()
    reader.join(10)
    assert not reader.is_alive()
    assert len(seen) == 1


def test_a_live_source_gives_its_newest() -> None:
    step, shown = threading.Semaphore(0), threading.Semaphore(0)

    def frames() -> Iterator[Frame]:
        for index in range(5):
            assert step.acquire(timeout=10)
            yield Frame(bytes([index]))
            shown.release()

    newest = Newest(frames())
    for _ in range(4):
        step.release()
    for _ in range(3):
        assert shown.acquire(timeout=10)
    while newest.skipped < 3:  # the thread places the fourth
        assert newest._thread.is_alive()
    assert next(newest).picture == b"\3"
    step.release()
    assert [frame.picture for frame in newest] == [b"\4"]
    newest.close()


def test_a_live_source_that_breaks_says_so_after_its_last_frame() -> None:
    def frames() -> Iterator[Frame]:
        yield Frame(b"last")
        raise BadFootage("unplugged")

    newest = Newest(frames())
    assert next(newest).picture == b"last"
    with pytest.raises(BadFootage, match="unplugged"):
        next(newest)
    assert list(newest) == []
    newest.close()


def test_closing_a_live_source_ends_its_thread() -> None:
    closed = threading.Event()

    def frames() -> Iterator[Frame]:
        try:
            while True:
                yield Frame(b"x")
        finally:
            closed.set()

    newest = Newest(frames())
    next(newest)
    newest.close()
    assert closed.wait(10)
    assert list(newest) == []
