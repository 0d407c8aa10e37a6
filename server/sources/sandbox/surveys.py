"""The questions to a separate process about a file, and its answers, in JSON. The answers are not
trusted.

An attacker who takes over the process by a fault in a demuxer controls its answers. So an answer is
accepted only if it is possible for the given file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from server.errors import MastreamError
from server.frame import EXACT, VideoInfo
from server.sources.cuts import Cuts, KeyFrame, Uncut, can_seek, read_cuts
from server.sources.open_file import OpenFile
from server.sources.opening import PADDING
from server.sources.probing import VideoLimits, probe
from server.sources.sandbox.messages import error_of, error_to_dict
from server.sources.sandbox.untrusted_numbers import fraction

KEYS_OF_A_LINE = 4096
"""Reading a longer line would keep other threads waiting for too long."""

SIDE = 2**16
TEXT = 64
"""Maximum characters of a codec's name."""

Order = dict[str, Any]
Answer = Mapping[str, Any]


def probe_order(limits: VideoLimits) -> Order:
    return {
        "what": "probe",
        "limits": {name: getattr(limits, name) for name in VideoLimits.__slots__},
    }


def cuts_order(rate: Fraction | None, max_pixels: int) -> Order:
    rate_text = None if rate is None else str(rate)
    return {"what": "cuts", "rate": rate_text, "max_pixels": max_pixels}


def seek_order(keys: Iterable[KeyFrame], max_pixels: int) -> Order:
    found = [(key.number, key.pts, key.dts) for key in keys]
    return {"what": "seek", "keys": found, "max_pixels": max_pixels}


def answers(order: Answer, file: Path | OpenFile) -> Iterator[Answer]:
    """Yield the lines of the answer to an order."""
    try:
        match order["what"]:
            case "probe":
                yield {"info": probe(file, VideoLimits(**order["limits"])).to_dict()}
            case "cuts":
                rate = None if order["rate"] is None else Fraction(order["rate"])
                yield from _answers_of(read_cuts(file, rate, order["max_pixels"]))
            case "seek":
                keys = [KeyFrame(n, pts, dts, Fraction(0)) for n, pts, dts in order["keys"]]
                yield {"found": can_seek(file, keys, order["max_pixels"])}
    except MastreamError as error:
        yield error_to_dict(error)


def info_of(lines: Iterable[bytes], limits: VideoLimits) -> VideoInfo:
    """Return the answer to :func:`probe_order`. Raises the error in the answer, or one of NONSENSE
    if the answer cannot be right."""
    found = _first(iter(lines))["info"]
    info = VideoInfo.from_dict({**found, **{name: str(fraction(found[name])) for name in EXACT}})
    whole = (info.width, info.height, info.rotation, info.frames or 0)
    if not all(type(one) is int for one in whole) or info.rotation not in (0, 90, 180, 270):
        raise ValueError("no numbers")
    if not (1 <= info.width <= SIDE and 1 <= info.height <= SIDE):
        raise ValueError("no picture")
    if info.width * info.height > limits.max_pixels * PADDING:
        raise ValueError("more pixels than are allowed")
    if not 0 <= (info.frames or 0) <= limits.max_frames:
        raise ValueError("more frames than are allowed")
    if info.duration is None or not isfinite(info.duration) or info.duration < 0:
        raise ValueError("no duration")
    if min(info.rate, info.time_base, info.pixel_aspect) <= 0:
        raise ValueError("no rate")
    if info.hdr not in (None, "pq", "hlg") or not info.codec.isprintable():
        raise ValueError("no names")
    if len(info.codec) > TEXT:
        raise ValueError("too long a name")
    return info


def cuts_of(lines: Iterable[bytes]) -> Cuts:
    """Return the answer to :func:`cuts_order`. Raises as :func:`info_of`."""
    rest = iter(lines)
    first = _first(rest)
    pictures, count = _whole(first["pictures"]), _whole(first["keys"])
    reason = None if first["reason"] is None else Uncut(first["reason"])
    tick = fraction(first["tick"])
    keys = tuple(_key(one, tick) for line in rest for one in json.loads(line))
    if len(keys) != count or tick <= 0 or (reason is None) != bool(keys):
        raise ValueError("keys are missing")
    numbers = [key.number for key in keys]
    if keys and (numbers[0] != 0 or numbers[-1] >= pictures or not _rises(numbers)):
        raise ValueError("no numbers of pictures")
    if not _rises([key.pts for key in keys]):
        raise ValueError("no times")
    return Cuts(pictures, keys, reason)


def found_of(lines: Iterable[bytes]) -> bool:
    """Return the answer to :func:`seek_order`. Raises as :func:`info_of`."""
    return bool(_first(iter(lines))["found"])


def _answers_of(cuts: Cuts) -> Iterator[Answer]:
    tick = next((key.time / key.pts for key in cuts.keys if key.pts), Fraction(1))
    reason = None if cuts.reason is None else cuts.reason.value
    yield {"pictures": cuts.pictures, "keys": len(cuts.keys), "reason": reason, "tick": str(tick)}
    keys = [(key.number, key.pts, key.dts) for key in cuts.keys]
    for begin in range(0, len(keys), KEYS_OF_A_LINE):
        yield keys[begin : begin + KEYS_OF_A_LINE]  # type: ignore[misc]


def _first(lines: Iterator[bytes]) -> Answer:
    """Return the first line of an answer. Raises the error in it."""
    answer = json.loads(next(lines, b""))
    if "error" in answer:
        raise error_of(answer)
    found: Answer = answer
    return found


def _key(data: Sequence[Any], tick: Fraction) -> KeyFrame:
    number, pts, dts = data
    pts = _whole(pts)
    return KeyFrame(_whole(number), pts, None if dts is None else _number(dts), pts * tick)


def _whole(value: Any) -> int:
    if _number(value) < 0:
        raise ValueError("below zero")
    return int(value)


def _number(value: Any) -> int:
    if type(value) is not int or abs(value) >= 2**63:
        raise ValueError("no number")
    return value


def _rises(values: Sequence[int]) -> bool:
    return all(one < two for one, two in pairwise(values))
