"""Pictures of local videos, cameras and network streams, as Frames to be sent."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import Self

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from clients.python.errors import BadFootage
from clients.python.pictures import Frame

LIVE_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "srt://", "udp://")
OPEN_SECONDS, READ_SECONDS = 10.0, 10.0


def is_live(source: str) -> bool:
    """Whether a source goes on without us: a camera's index or a live stream's address.

    HTTP is none: a file there waits for us, and a live playlist gives its frames in their time.
    """
    return source.isdecimal() or source.startswith(LIVE_SCHEMES)


def frames_of(source: str) -> Generator[Frame]:
    """The frames of a video file, a network address or a camera (its index as digits).

    RGB as displayed, with timestamps in seconds. Raises BadFootage.
    """
    return _camera_frames(int(source)) if source.isdecimal() else _container_frames(source)


class Paced:
    """The frames at ``rate`` a second, or at their own timestamps' pace if it is None.

    One that comes late is given at once, and those after it keep to their own times. Iterating
    blocks until a frame is due, or until :meth:`close` ends it from another thread. ``wait``
    stands in for that in tests: it takes seconds.
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
        """Let nobody wait any longer."""
        self._leave.set()


class Newest:
    """The newest frame of a live source, read in a thread of its own; older ones are passed over.

    Iterating blocks until a frame has come since the last. ``skipped`` counts frames that a newer
    one replaced. The queue between the threads holds one frame, or how the source ended. Only the
    reading thread puts into it, so a place that it has emptied stays empty.
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
        """Stop reading. A camera that hangs is left to its daemon thread."""
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
        """Say how it ended, once the last frame has been taken."""
        said = False
        while not (said or self._leave.is_set()):
            with suppress(queue.Full):
                self._slot.put(ended, timeout=0.1)
                said = True

    def _put(self, frame: Frame) -> None:
        """Place a frame; the one that nobody took gives way."""
        with suppress(queue.Empty):
            self._slot.get_nowait()
            self.skipped += 1
        self._slot.put_nowait(frame)


def _container_frames(source: str) -> Generator[Frame]:
    live = is_live(source)
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    timeout = (OPEN_SECONDS, READ_SECONDS) if "://" in source else None
    try:
        with av.open(
            source, options=options, timeout=timeout, metadata_errors="replace"
        ) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise BadFootage(f"{source} has no video in it")
            reformatter = VideoReformatter()
            stream.thread_type = "SLICE" if live else "AUTO"
            for frame in container.decode(stream):
                yield Frame(_displayed(frame, reformatter), frame.time)
    except (FFmpegError, OSError) as error:
        raise BadFootage(f"{source} cannot be read: {error.strerror or error}") from error


def _camera_frames(index: int) -> Generator[Frame]:
    logging = cv2.utils.logging
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # what it would print comes as BadFootage
    camera = cv2.VideoCapture(index)
    try:
        if not camera.isOpened():
            raise BadFootage(f"camera {index} cannot be opened")
        began = time.monotonic()
        while True:
            read, picture = camera.read()
            if not read:
                raise BadFootage(f"camera {index} gives no more pictures")
            rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(rgb, time.monotonic() - began)
    finally:
        camera.release()


def _displayed(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Return the frame's pixels as RGB, turned as the container says; HDR becomes BT.709."""
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
    """The first frames of a source, at least one. Raises BadFootage."""
    with closing(frames_of(source)) as frames:
        found = [frame for frame, _ in zip(frames, range(most), strict=False)]
    if not found:
        raise BadFootage(f"{source} has no frames in it")
    return found
