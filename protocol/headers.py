"""The headers of binary messages: a frame on its way in, a mask on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from protocol.errors import ProtocolError
from protocol.fields import Fields
from protocol.words import MaskEncoding

MAX_SIDE = 65535


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a client says of one picture.

    ``seq`` rises from frame to frame; the server numbers a frame that has none. ``pts`` is in
    seconds. ``reset``: forget all before this frame. ``replay``: feed the memory, send no mask.
    """

    seq: int | None = None
    pts: float | None = None
    reset: bool = False
    replay: bool = False

    def to_dict(self) -> dict[str, Any]:
        given = {"seq": self.seq, "pts": self.pts}
        flags = {"reset": self.reset, "replay": self.replay}
        said = {key: value for key, value in given.items() if value is not None}
        return said | {key: True for key, value in flags.items() if value}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        fields = Fields(given, "frame")
        header = cls(
            fields.integer("seq"),
            fields.number("pts"),
            fields.flag("reset"),
            fields.flag("replay"),
        )
        fields.refuse_unknown()
        return header


@dataclass(frozen=True, slots=True)
class MaskMemory:
    """``filled``: frames the memory held. ``reset``: why it was emptied just before, or None."""

    filled: int = 0
    reset: str | None = None


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Milliseconds one frame spent in each stage of the server."""

    wait: float = 0.0
    decode: float = 0.0
    queue: float = 0.0
    step: float = 0.0
    encode: float = 0.0

    @property
    def total(self) -> float:
        return self.wait + self.decode + self.queue + self.step + self.encode


@dataclass(frozen=True, slots=True)
class MaskHeader:
    """What the server says of one mask.

    ``areas`` is each class's share of the picture by name, 0..1. ``batch`` is how many streams
    shared the step. ``overlay`` is the length in bytes of the JPEG that ends the payload.
    """

    seq: int
    encoding: MaskEncoding
    width: int
    height: int
    pts: float | None = None
    memory: MaskMemory = MaskMemory()
    ms: StageTimes = StageTimes()
    batch: int = 1
    areas: Mapping[str, float] = field(default_factory=dict)
    overlay: int = 0

    def to_dict(self) -> dict[str, Any]:
        ms = self.ms
        return {
            "seq": self.seq,
            "pts": self.pts,
            "encoding": str(self.encoding),
            "width": self.width,
            "height": self.height,
            "memory": {"filled": self.memory.filled, "reset": self.memory.reset},
            "ms": {
                "wait": ms.wait,
                "decode": ms.decode,
                "queue": ms.queue,
                "step": ms.step,
                "encode": ms.encode,
            },
            "batch": self.batch,
            "areas": dict(self.areas),
            "overlay": self.overlay,
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        fields = Fields(given, "mask")
        return cls(
            seq=fields.need("seq", fields.integer("seq")),
            encoding=fields.need("encoding", fields.word("encoding", MaskEncoding)),
            width=fields.need("width", fields.integer("width", 1, MAX_SIDE)),
            height=fields.need("height", fields.integer("height", 1, MAX_SIDE)),
            pts=fields.number("pts"),
            memory=_memory(fields.nested("memory")),
            ms=_times(fields.nested("ms")),
            batch=fields.integer("batch", 1) or 1,
            areas=fields.numbers("areas"),
            overlay=fields.integer("overlay") or 0,
        )


def split_overlay(header: MaskHeader, payload: bytes) -> tuple[bytes, bytes]:
    """The mask's bytes and the overlay JPEG's (empty where there is none)."""
    cut = len(payload) - header.overlay
    if cut < 0:
        raise ProtocolError(f"a payload of {len(payload)} bytes cannot end in {header.overlay}")
    return payload[:cut], payload[cut:]


def _memory(fields: Fields) -> MaskMemory:
    return MaskMemory(fields.integer("filled") or 0, fields.text("reset"))


def _times(fields: Fields) -> StageTimes:
    names = ("wait", "decode", "queue", "step", "encode")
    return StageTimes(*(fields.number(name) or 0.0 for name in names))
