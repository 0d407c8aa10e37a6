"""The states of a pulled stream, and the events that change them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class StreamState(StrEnum):
    """The state of a pulled stream."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    BACKOFF = "backoff"
    PAUSED = "paused"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def has_source(self) -> bool:
        """Return whether a source is open in this state."""
        return self in (StreamState.CONNECTING, StreamState.LIVE, StreamState.STALLED)


class Action(Enum):
    """What to do with the source."""

    NOTHING = "nothing"
    OPEN = "open"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds.

    ``connect``: from opening to the first picture. ``stall``: without a picture until a live stream
    counts as stalled, and ``give_up`` from there until it is opened again. ``backoff`` and
    ``longest_backoff``: the shortest and longest wait before the next attempt; ``refused``: the
    wait after a refusal, which a person must resolve. ``settled``: after this time a live stream
    counts as healthy, and its next wait is the shortest again.
    """

    connect: float = 10.0
    stall: float = 3.0
    give_up: float = 7.0
    backoff: float = 1.0
    longest_backoff: float = 30.0
    refused: float = 60.0
    settled: float = 10.0


@dataclass(frozen=True, slots=True)
class Supervised:
    """The state of one stream. ``since`` and ``deadline`` are the clock's seconds.

    ``attempt`` counts connections since the stream was last healthy; ``code`` and ``detail`` say
    why it is not live, empty if it is.
    """

    state: StreamState
    since: float
    deadline: float | None = None
    attempt: int = 0
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture was decoded."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The deadline has passed. ``silent`` is for how many seconds no picture arrived;
    ``has_packets`` is whether data arrived in that time."""

    silent: float
    has_packets: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection failed. ``refused``: the camera answered and refused it."""

    code: str
    detail: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The source has ended. ``is_file``: that is normal for a file, but not for a camera."""

    is_file: bool
    loops: bool = False


@dataclass(frozen=True, slots=True)
class Hung:
    """The source cannot be closed, and too many such decoders hang already."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause was requested."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Resumption was requested."""


Event = Picture | Deadline | Broken | Finished | Hung | Pause | Resume
