"""Opening a container safely: what may be opened, and the error if it cannot be.

An upload is an untrusted file. Playlists, image sequences, concatenation scripts and devices make a
demuxer open other files or addresses. So formats and protocols are allow-lists: only those named
here are ever read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOMEM
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from server.dialling.dial import Guard
from server.dialling.passage import Passage, passage
from server.errors import BadVideo, MastreamError, SourceFault, UnsupportedMedia
from server.sources.camera_faults import broken_off, not_opened
from server.sources.demuxing import demuxed
from server.sources.open_file import FileReader, OpenFile
from server.sources.streams import CUT_OFF, candidates, chosen

FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf",
    "ogg", "h264", "hevc", "vvc", "m4v", "ivf", "obu", "av1", "nut", "mxf", "dv", "gif", "apng",
    "yuv4mpegpipe", "mp3", "wav", "flac", "aac",
)  # fmt: skip
"""Self-contained formats. The last four contain only sound, so that the error can say so."""

LIVE_FORMATS = (*FILE_FORMATS, "rtsp", "mpjpeg", "mjpeg", "hls")
"""A playlist may only name addresses of LIVE_PROTOCOLS, and so no files."""

FILE_PROTOCOLS = "file"
LIVE_PROTOCOLS = "rtsp,rtsps,rtp,udp,tcp,tls,http,https,httpproxy,crypto"

LIVE_OPTIONS = {
    "rtsp_transport": "tcp",
    # FFmpeg derives missing header fields from the first pictures, and holds them back until then.
    "analyzeduration": "100000",
    "fpsprobesize": "0",
}
"""FFmpeg's own values make the first picture more than one second old, and FLV's five."""

PADDING = 2
"""By which factor the decoders' own limit is above ours: they round sizes up before they
allocate."""

READ_BYTES = 2**20

_IS_PYAV_18 = av.__version__.startswith("18.")
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if _IS_PYAV_18 else {}
"""PyAV 18 refuses a file with a tag that is not UTF-8 unless told otherwise; 19 reads it."""

_MAGICS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI "))


@contextmanager
def open_video(
    location: Path | OpenFile | str,
    *,
    max_pixels: int,
    timeout: float | None = None,
    threads: int = 1,
    acceleration: HWAccel | None = None,
    guard: Guard | None = None,
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yield the container and the video stream that players show, ready to be decoded.

    A Path or OpenFile is a local file, a str a URL, which must answer within ``timeout`` seconds.
    Pictures far above ``max_pixels`` fail to decode instead of being allocated. ``acceleration`` is
    the hardware that decodes what it can. ``guard`` decides which addresses may be opened. Raises
    UnsupportedMedia, BadVideo (damaged, no video stream, no decoder, too large a picture) or
    SourceFault (it cannot be read, it may not be opened, or an error of :func:`not_opened`).
    """
    if isinstance(location, str):
        with passage(location, guard) as way:
            yield from _opened(way, max_pixels, timeout, threads, acceleration)
    else:
        yield from _opened(location, max_pixels, timeout, threads, acceleration)


def _opened(
    location: Path | OpenFile | Passage,
    max_pixels: int,
    timeout: float | None,
    threads: int,
    acceleration: HWAccel | None,
) -> Iterator[tuple[InputContainer, VideoStream]]:
    live = isinstance(location, Passage)
    began = time.monotonic()
    try:
        container = _open(location, max_pixels, timeout, acceleration)
    except FFmpegError as error:
        # FFmpeg's error contains the URL, which may contain a password: it must reach no log.
        if isinstance(location, Passage):
            raise not_opened(error, timeout, time.monotonic() - began) from None
        raise _unreadable(location) or _wasteful(error) or _diagnosis(location) from error
    with container:
        stream = _moving_pictures(container, location, max_pixels)
        check_pixels(stream.codec_context.height, stream.codec_context.width, max_pixels)
        stream.codec_context.options = {"max_pixels": str(max_pixels * PADDING)}
        stream.codec_context.thread_count = threads
        # With one picture per thread, each picture comes one picture per thread later.
        stream.codec_context.thread_type = "AUTO" if threads > 1 and not live else "SLICE"
        yield container, stream


def check_pixels(height: int, width: int, max_pixels: int) -> None:
    """Raise BadVideo if a video's pictures exceed the limit."""
    if height * width > max_pixels:
        raise BadVideo(
            f"The video's pictures of {width}x{height} are larger than the limit of {max_pixels} "
            "pixels: scale the video."
        )


def broken(
    location: Path | OpenFile | str, error: FFmpegError, timeout: float | None
) -> MastreamError:
    """Return the error to raise if reading or converting failed in mid-stream.

    Damaged files cause errors of every kind, even of the operating system. It is the server's fault
    only if the file's bytes cannot be read.
    """
    if isinstance(location, str):
        return broken_off(error, timeout)
    return (
        _unreadable(location)
        or _wasteful(error)
        or BadVideo(f"The video cannot be decoded: {error.strerror}.")
    )


def _open(
    location: Path | OpenFile | Passage,
    max_pixels: int,
    timeout: float | None,
    acceleration: HWAccel | None,
) -> InputContainer:
    live = isinstance(location, Passage)
    container: InputContainer = av.open(
        _source(location),
        "r",
        options={"max_pixels": str(max_pixels * PADDING)},
        container_options={
            "format_whitelist": ",".join(LIVE_FORMATS if live else FILE_FORMATS),
            "protocol_whitelist": LIVE_PROTOCOLS if live else FILE_PROTOCOLS,
            **({**LIVE_OPTIONS, **location.options} if isinstance(location, Passage) else {}),
        },
        timeout=timeout,
        hwaccel=acceleration,
        **_TAGS,
    )
    return container


def _source(location: Path | OpenFile | Passage) -> str | FileReader:
    """Return the object that PyAV opens."""
    if isinstance(location, OpenFile):
        return location.open()
    return location.url if isinstance(location, Passage) else f"file:{location}"


def _unreadable(path: Path | OpenFile) -> SourceFault | None:
    """Return why the bytes of a file cannot be read, None if they can."""
    try:
        with path.open("rb") as file:
            while file.read(READ_BYTES):
                pass
    except OSError as error:
        return SourceFault(f"The file cannot be read: {error.strerror}.")
    return None


def _wasteful(error: FFmpegError) -> BadVideo | None:
    if error.errno != ENOMEM:
        return None
    return BadVideo("The video is damaged, or needs more memory to be opened than is allowed.")


def _diagnosis(path: Path | OpenFile) -> BadVideo:
    if path.stat().st_size == 0:
        return BadVideo("The file is empty: send the bytes of a video.")
    with path.open("rb") as file:
        head = file.read(16)
    if any(head[place : place + len(magic)] == magic for place, magic in _MAGICS):
        return BadVideo(CUT_OFF)
    return UnsupportedMedia("The file is not a supported video container, such as MP4 or Matroska.")


def _moving_pictures(
    container: InputContainer, location: Path | OpenFile | Passage, max_pixels: int
) -> VideoStream:
    """Return the stream that players show, judged by a file's first packets or a URL's headers."""
    streams = candidates(container)
    if len(streams) == 1:
        return streams[0]
    if isinstance(location, Passage):
        best = container.streams.best("video")
        return next((stream for stream in streams if stream is best), streams[0])
    with _open(location, max_pixels, None, None) as ahead:
        index = chosen(streams, demuxed(ahead, *ahead.streams.video))
    return next(stream for stream in streams if stream.index == index)
