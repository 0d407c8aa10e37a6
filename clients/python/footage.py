"""Read local videos, cameras and network streams as Frames to send."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import Any, Self

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from clients.python.addresses import shown
from clients.python.errors import BadFootage
from clients.python.pictures import Frame

LIVE_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "srt://", "udp://")
OPEN_SECONDS, READ_SECONDS = 10.0, 10.0

_IS_PYAV_18 = av.__version__.startswith("18.")
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if _IS_PYAV_18 else {}
"""By default PyAV 18 refuses a file with a tag that is not UTF-8; 19 reads it."""


def is_live(source: str) -> bool:
    """Return whether a source is live: a camera's index or a live stream's address.

    HTTP is not: a file waits for its reader, and a live playlist delivers at its own pace.
    """
    return source.isdecimal() or source.startswith(LIVE_SCHEMES)


def frames_of(source: str) -> Generator[Frame]:
    """Yield the frames of a video file, a network address or a camera (its index as digits).

    They are RGB as displayed, with timestamps in seconds. Raises BadFootage.
    """
    return _camera_frames(int(source)) if source.isdecimal() else _container_frames(source)


class Paced:
    """Yields frames at ``rate`` per second, or at the pace of their timestamps if it is None.

    A late frame is yielded at once; the frames after it keep their own times. Iterating blocks
    until a frame is due, or until :meth:`close` is called from another thread. ``wait`` (seconds)
    replaces the waiting in tests.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        rate: float | None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._frames = enumerate(frames)
        self._rate = rate
        self._leave = threading.Event()
        self._wait = wait or self._leave.wait
        self._began: float | None = None
        self._first = 0.0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        index, frame = next(self._frames)
        own = index / self._rate if self._rate else (frame.pts or 0.0)
        if self._began is None:
            self._began, self._first = time.monotonic(), own
        self._wait(max(0.0, self._began + own - self._first - time.monotonic()))
        if self._leave.is_set():
            raise StopIteration
        return frame

    def close(self) -> None:
        """End the iteration, also one that is waiting."""
        self._leave.set()


class Newest:
    """Yields the newest frame of a live source, which a separate thread reads; older frames are
    skipped.

    Iterating blocks until there is a new frame. ``skipped`` counts frames that a newer one
    replaced. The queue between the threads holds one frame, or how the source ended. Only the
    reading thread puts into it, so after it has emptied the queue, the queue stays empty.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.skipped = 0
        self._slot: queue.Queue[Frame | BaseException] = queue.Queue(maxsize=1)
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(frames,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        while not self._leave.is_set():
            try:
                taken = self._slot.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(taken, Frame):
                return taken
            self._leave.set()
            raise taken
        raise StopIteration

    def close(self) -> None:
        """Stop reading. If the camera hangs, its daemon thread is left behind."""
        self._leave.set()
        self._thread.join(timeout=1.0)

    def _read(self, frames: Iterator[Frame]) -> None:
        ended: BaseException = StopIteration()
        try:
            for frame in frames:
                if self._leave.is_set():
                    return
                self._put(frame)
        except Exception as error:
            ended = error
        finally:
            getattr(frames, "close", lambda: None)()
        self._end(ended)

    def _end(self, ended: BaseException) -> None:
        """Report how the source ended, after the last frame has been taken."""
        reported = False
        while not (reported or self._leave.is_set()):
            with suppress(queue.Full):
                self._slot.put(ended, timeout=0.1)
                reported = True

    def _put(self, frame: Frame) -> None:
        """Put a frame in the queue, replacing one that has not been taken."""
        with suppress(queue.Empty):
            self._slot.get_nowait()
            self.skipped += 1
        self._slot.put_nowait(frame)


def _container_frames(source: str) -> Generator[Frame]:
    live = is_live(source)
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    timeout = (OPEN_SECONDS, READ_SECONDS) if "://" in source else None
    try:
        with av.open(source, options=options, timeout=timeout, **_TAGS) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise BadFootage(f"{shown(source)} contains no video.")
            reformatter = VideoReformatter()
            stream.thread_type = "SLICE" if live else "AUTO"
            for frame in container.decode(stream):
                yield Frame(_displayed(frame, reformatter), frame.time)
    except (FFmpegError, OSError) as error:
        raise BadFootage(f"{shown(source)} cannot be read: {error.strerror or error}.") from error


def _camera_frames(index: int) -> Generator[Frame]:
    logging = cv2.utils.logging
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # its failures are raised as BadFootage
    camera = cv2.VideoCapture(index)
    try:
        if not camera.isOpened():
            raise BadFootage(f"Camera {index} cannot be opened.")
        began = time.monotonic()
        while True:
            read, picture = camera.read()
            if not read:
                raise BadFootage(f"Camera {index} delivers no more pictures.")
            rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(rgb, time.monotonic() - began)
    finally:
        camera.release()


def _displayed(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Return the frame's pixels as RGB, rotated as the container says; HDR becomes BT.709."""
    high = frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
    pixels = reformatter.reformat(
        frame,
        format="rgb24",
        dst_color_trc=ColorTrc.BT709 if high else None,
        dst_color_primaries=ColorPrimaries.BT709 if high else None,
    ).to_ndarray()
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns))


def first_frames(source: str, most: int) -> list[Frame]:
    """Return the first frames of a source, at least one. Raises BadFootage."""
    with closing(frames_of(source)) as frames:
        found = [frame for frame, _ in zip(frames, range(most), strict=False)]
    if not found:
        raise BadFootage(f"{shown(source)} contains no frames.")
    return found
