"""Write pictures with their masks drawn on them as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from clients.python.errors import BadOutput
from clients.python.outputs import check_file, whole_file

OPACITY = 0.5
TIME_BASE = Fraction(1, 90_000)


def blend(
    picture: NDArray[np.uint8], labels: NDArray[np.uint8], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) blended with the mask's colours.

    ``labels`` (h, w) is scaled to the picture's size; ``palette`` (N, 3) has a colour per class.
    """
    height, width = picture.shape[:2]
    fitted = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    colours = palette[np.minimum(fitted, len(palette) - 1)]
    return np.asarray(cv2.addWeighted(picture, 1 - OPACITY, colours, OPACITY, 0), np.uint8)


def check_video(path: Path) -> None:
    """Raise BadOutput unless an H.264 video can be written at ``path``; nothing is changed."""
    check_file(path)
    nowhere = BytesIO()
    nowhere.name = path.name  # FFmpeg chooses the format by the file name's ending
    try:
        with av.open(nowhere, "w") as container:
            fits = "h264" in container.supported_codecs or container.format.name == "mpegts"
    except (FFmpegError, ValueError):
        fits = False
    if not fits:
        raise BadOutput(f"{path} cannot be written as a video; give it a name like overlay.mp4.")


class _NoPicture(Exception):
    """No picture was written, so the file must not be replaced."""


class OverlayVideo:
    """Writes an H.264 video of pictures with their masks drawn on them.

    Atomic: the file appears at the end of the block; without any picture the old file stays.
    A picture that another thread is writing at that moment is included, later ones are ignored.

    The video has the first picture's size, rounded up to even numbers; later pictures are scaled
    to it. A timestamp that does not rise is replaced by the last one plus 1/30 s. Raises BadOutput.
    """

    def __init__(self, path: Path, palette: Sequence[tuple[int, int, int]]) -> None:
        check_video(path)
        self._path = path
        self._palette = np.asarray(palette, np.uint8)
        self._stream: VideoStream | None = None
        self._last = -1
        self._closed = False
        self._turn = Lock()
        with self._errors(), ExitStack() as place:
            part = place.enter_context(whole_file(path))
            self._container = av.open(str(part), "w", options={"movflags": "+faststart"})
            self._place = place.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._turn, self._errors(), suppress(_NoPicture), self._place:
            self._closed = True
            self._finish()

    def _finish(self) -> None:
        try:
            if self._stream is None:
                raise _NoPicture
            self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def write(
        self, picture: NDArray[np.uint8], labels: NDArray[np.uint8], pts: float | None
    ) -> None:
        """Add one picture (H, W, 3) RGB with its labels (h, w) of any size; ``pts`` in seconds."""
        self.write_painted(blend(picture, labels, self._palette), pts)

    def write_painted(self, picture: NDArray[np.uint8], pts: float | None) -> None:
        """Add one picture (H, W, 3) RGB as it is; ``pts`` in seconds."""
        with self._turn, self._errors():
            if not self._closed:
                self._write(picture, pts)

    def _write(self, picture: NDArray[np.uint8], pts: float | None) -> None:
        if self._stream is None:
            self._stream = self._add_stream(*picture.shape[:2])
        size = (self._stream.width, self._stream.height)
        shown = cv2.resize(picture, size)
        frame = av.VideoFrame.from_ndarray(np.asarray(shown, np.uint8), format="rgb24")
        frame.time_base = TIME_BASE
        frame.pts = self._last = self._ticks(pts)
        self._container.mux(self._stream.encode(frame))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadOutput(f"{self._path} cannot be written: {reason}.") from error

    def _ticks(self, pts: float | None) -> int:
        asked = -1 if pts is None else round(pts / TIME_BASE)
        return asked if asked > self._last else self._last + 3000

    def _add_stream(self, height: int, width: int) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        return stream
