"""The kinds of NAL units in an H.264 or HEVC packet, without decoding it.

Containers also flag pictures as key frames from which a decoder can only recover.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from av.video.stream import VideoStream

BEGINS_ANEW = "begins anew"
"""A slice of a picture to which no earlier picture is a reference for later ones."""

_START = b"\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class Found:
    """The kinds of NAL units in a packet, as far as they matter, and its parameter sets."""

    kinds: frozenset[str]
    parameters: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class NalUnits:
    """Splits packets: ``length_size`` bytes say how long each unit is; None: start codes."""

    hevc: bool
    length_size: int | None

    @classmethod
    def of(cls, stream: VideoStream) -> NalUnits | None:
        """Return how a stream's packets are split; None if its codec has no NAL units."""
        codec = stream.codec_context.codec.canonical_name
        if codec not in ("h264", "hevc"):
            return None
        hevc = codec == "hevc"
        return cls(hevc, _length_size(stream.codec_context.extradata or b"", 21 if hevc else 4))

    def read(self, data: bytes) -> Found:
        """Return the kinds of units that a packet contains."""
        kinds: set[str] = set()
        parameters: set[bytes] = set()
        for unit in self._units(data):
            kind = self._kind(unit)
            if self._begins_anew(kind):
                kinds.add(BEGINS_ANEW)
            elif kind == (33 if self.hevc else 7):
                parameters.add(unit)
        return Found(frozenset(kinds), frozenset(parameters))

    def _kind(self, unit: bytes) -> int:
        return unit[0] >> 1 & 63 if self.hevc else unit[0] & 31

    def _begins_anew(self, kind: int) -> bool:
        """Return whether it is a slice of an IDR picture (H.264, 7.4.1.2.4), or one of a random
        access point (HEVC, 7.4.2.2), which later pictures cannot look behind."""
        return 16 <= kind <= 21 if self.hevc else kind == 5

    def _units(self, data: bytes) -> Iterator[bytes]:
        if self.length_size is None:
            yield from (unit.rstrip(b"\x00") or b"\x00" for unit in data.split(_START)[1:])
            return
        place = 0
        while place + self.length_size < len(data):
            length = int.from_bytes(data[place : place + self.length_size])
            place += self.length_size
            if length:
                yield data[place : place + length]
            place += length


def _length_size(extradata: bytes, place: int) -> int | None:
    """Return the size of lengths according to an avcC or hvcC box (ISO 14496-15)."""
    if extradata[:1] != b"\x01" or len(extradata) <= place:
        return None
    return (extradata[place] & 3) + 1
