"""The messages to and from a sandboxed decoder, in JSON. Its answers are not trusted.

An attacker who controls the decoder controls what it sends. So an answer is read field by field,
and the pictures' sizes are checked against the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from server.errors import (
    BadVideo,
    Fault,
    MastreamError,
    SourceFault,
    SourceNotFound,
    SourceRefused,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
    TooLarge,
    UnsupportedMedia,
)
from server.frame import Frame, Pixels, host_pixels
from server.sources.cuts import KeyFrame
from server.sources.decoding import Counts, Reading, Stretch
from server.sources.open_file import OpenFile
from server.sources.sandbox.frame_slots import Shape
from server.sources.sandbox.untrusted_numbers import count, finite, fraction

_OF_FILES = (BadVideo, UnsupportedMedia, TooLarge, SourceFault, Fault)
_OF_CAMERAS = (
    SourceUnreachable,
    SourceSilent,
    SourceRefused,
    SourceUnauthorized,
    SourceNotFound,
)
ERRORS = {kind.code: kind for kind in (*_OF_FILES, *_OF_CAMERAS)}

SEAL = b"\xff"
"""Has the child give up its rights; no slot has this number."""

TEXT = 1000
"""Maximum characters of an error message."""

NONSENSE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""The errors of reading an answer that makes no sense."""


@dataclass(frozen=True, slots=True)
class Input:
    """What the child reads: the file of that ``name`` behind the descriptor ``video``, or the URL
    ``name``, over HTTP by a ``proxy``."""

    name: str = field(repr=False)  # a URL may hold a password
    video: int | None = None
    proxy: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Order:
    """What the child does: input, slots, limits and the reading itself."""

    name: str = field(repr=False)
    video: int | None
    proxy: str | None
    slots: int
    count: int
    room: int
    memory: int
    parent: int
    reading: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def reading_to_dict(reading: Reading) -> dict[str, Any]:
    """Return the reading as JSON for the child, without its file or URL."""
    stretch = reading.stretch
    return {
        "height": reading.height,
        "width": reading.width,
        "keep_original": reading.keep_original,
        "start": _text(reading.start),
        "max_pixels": reading.max_pixels,
        "threads": reading.threads,
        "timeout": reading.timeout,
        "late": reading.late,
        "rate": _text(reading.rate),
        "stretch": None
        if stretch is None
        else {
            "key": [stretch.key.number, stretch.key.pts, stretch.key.dts, str(stretch.key.time)],
            "warm_up": stretch.warm_up,
            "first": stretch.first,
        },
    }


def reading_of(data: Mapping[str, Any], location: OpenFile | str) -> Reading:
    """Return the reading of an open file or of a URL."""
    stretch = data["stretch"]
    return Reading(
        location=location,
        height=data["height"],
        width=data["width"],
        keep_original=data["keep_original"],
        start=_fraction(data["start"]),
        max_pixels=data["max_pixels"],
        timeout=data["timeout"],
        threads=data["threads"],
        late=data["late"],
        rate=_fraction(data["rate"]),
        stretch=None if stretch is None else _stretch(stretch),
    )


def frame_to_dict(frame: Frame, slot: int, counts: Counts) -> dict[str, Any]:
    """Return all of a frame but its pictures, which are in a slot, and the counts so far."""
    pictures = pictures_of(frame)
    return {
        "slot": slot,
        "shapes": [picture.shape for picture in pictures],
        "seq": frame.seq,
        "pts": _text(frame.pts),
        "duration": _text(frame.duration),
        "size": frame.size,
        "replay": frame.replay,
        "arrived": frame.arrived,
        "wall": frame.wall,
        "camera_time": frame.camera_time,
        "decode": frame.decode,
        "damaged": frame.damaged,
        "counts": counts_to_list(counts),
    }


def pictures_of(frame: Frame) -> list[Pixels]:
    """Return the pictures of a frame on the host."""
    original = [] if frame.original is None else [frame.original]
    return [host_pixels(frame.pixels), *original]


def shapes_of(data: Mapping[str, Any], reading: Reading) -> list[Shape]:
    """Return the shapes of an answer's pictures. Raises ValueError if they are not as ordered."""
    shapes = [(int(height), int(width), int(depth)) for height, width, depth in data["shapes"]]
    wanted = [(reading.height, reading.width), *[_size(data, reading)] * reading.keep_original]
    if shapes != [(*size, 3) for size in wanted]:
        raise ValueError("other pictures than were asked for")
    return shapes


def frame_of(data: Mapping[str, Any], pictures: list[Pixels], reading: Reading) -> Frame:
    """Return the frame of an answer. Raises one of NONSENSE if it is not a frame."""
    return Frame(
        pixels=pictures[0],
        original=pictures[1] if len(pictures) > 1 else None,
        seq=count(data["seq"]),
        pts=_fraction(data["pts"]),
        duration=_fraction(data["duration"]),
        size=_size(data, reading),
        replay=bool(data["replay"]),
        arrived=finite(data["arrived"]),
        wall=_number(data["wall"]),
        camera_time=_number(data["camera_time"]),
        decode=max(0.0, finite(data["decode"])),
        decoder="cpu",
        damaged=bool(data["damaged"]),
    )


def error_to_dict(error: MastreamError) -> dict[str, Any]:
    return {"error": error.code, "detail": str(error)}


def error_of(data: Mapping[str, Any]) -> MastreamError:
    """Return the error of an answer. Raises KeyError if it is not an error that decoding may
    raise."""
    return ERRORS[data["error"]](str(data["detail"])[:TEXT])


def counts_to_list(counts: Counts) -> list[Any]:
    arrivals = counts.arrivals
    times = (arrivals.last_packet, arrivals.last_frame)
    return [
        arrivals.packets,
        arrivals.frames,
        arrivals.passed_over,
        *times,
        *counts.tally.counted(),
    ]


def take_counts(data: list[Any], counts: Counts) -> None:
    """Set the counts to those of an answer. Raises ValueError or TypeError if they are not
    counts."""
    packets, frames, passed_over, last_packet, last_frame, *counted = data
    undecodable, damaged, pictures, fields = counted
    arrivals = counts.arrivals
    arrivals.packets, arrivals.frames = count(packets), count(frames)
    arrivals.passed_over = count(passed_over)
    arrivals.last_packet, arrivals.last_frame = _number(last_packet), _number(last_frame)
    counts.tally.take(count(undecodable), count(damaged), count(pictures), bool(fields))


def _stretch(data: Mapping[str, Any]) -> Stretch:
    number, pts, dts, time = data["key"]
    return Stretch(KeyFrame(number, pts, dts, Fraction(time)), data["warm_up"], data["first"])


def _number(value: Any) -> float | None:
    return None if value is None else finite(value)


def _size(data: Mapping[str, Any], reading: Reading) -> tuple[int, int]:
    """Return the height and the width of an answer's whole picture, at which masks are drawn."""
    height, width = (int(side) for side in data["size"])
    if min(height, width) < 1 or height * width > reading.max_pixels:
        raise ValueError("a picture over the limit")
    return height, width


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _fraction(text: str | None) -> Fraction | None:
    return None if text is None else fraction(text)
