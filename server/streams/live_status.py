"""What is reported about a pulled stream: its state, rates, latency and losses. Time is passed
in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from server.frame import Frame, Mask, ResetCause
from server.streams.states import StreamState, Supervised
from server.streams.viewers import Viewers

SPAN_SECONDS = 10.0
LATENCIES = 512
NEWS = 256
"""Number of events that are kept for followers that reconnect."""


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The current status of a pulled stream. ``since`` is seconds in this state; rates are per
    second over the last SPAN_SECONDS; latency in milliseconds from a packet's arrival to its mask.
    ``lost_by_viewers`` counts masks that were made but not read in time; ``mask_age`` is the
    seconds since the picture of the newest mask arrived, None if there is none."""

    state: StreamState
    since: float
    code: str
    detail: str
    connections: int
    viewers: int
    fps_in: float
    fps_out: float
    latency_p50: float | None
    latency_p99: float | None
    frames: int
    masks: int
    passed_over: int
    drops: Mapping[str, int]
    resets: Mapping[str, int]
    width: int
    height: int
    lost_by_viewers: int
    mask_age: float | None


@dataclass(frozen=True, slots=True)
class News:
    """One event of a stream, for those who follow it: a change of state, a reset, or that this
    server has taken it over."""

    id: int
    kind: str
    data: Mapping[str, Any]


@dataclass(slots=True)
class Measures:
    """Counts of one stream since its start. Mutable state; every queue in it is bounded."""

    frames: int = 0
    masks: int = 0
    skipped: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    resets: Counter[str] = field(default_factory=Counter)
    news: deque[News] = field(default_factory=lambda: deque(maxlen=NEWS))
    size: tuple[int, int] = (0, 0)
    last_id: int = 0
    """The id of the last event."""
    _in: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    _out: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))

    def news_after(self, seen: int) -> list[News]:
        """Return the events with a higher id that are still kept."""
        return [one for one in self.news if one.id > seen]

    def state(self, supervised: Supervised, wall: float) -> None:
        """Report a change of state."""
        self._report(
            "state",
            {
                "state": supervised.state.value,
                "code": supervised.code,
                "detail": supervised.detail,
                "at": wall,
            },
        )

    def reset(self, cause: ResetCause, seq: int, wall: float) -> None:
        """Count and report that the memory was emptied before this frame."""
        self.resets[cause.value] += 1
        self._report("reset", {"cause": cause.value, "seq": seq, "at": wall})

    def moved(self, cause: str, memory: str, seq: int, wall: float) -> None:
        """Report that the stream was taken over, and the state of its memory before this frame."""
        self._report("moved", {"cause": cause, "memory": memory, "seq": seq, "at": wall})

    def frame(self, frame: Frame, now: float) -> None:
        """Count a frame that is offered."""
        self.frames += 1
        self.size = frame.size
        self._in.append(now)

    def passed_over(self) -> None:
        """Count a frame beyond ``max_fps``."""
        self.skipped += 1

    def mask(self, mask: Mask, now: float) -> None:
        """Count a mask."""
        self.masks += 1
        self._out.append(now)
        self._latencies.append((now - mask.frame.arrived) * 1000)

    def lost(self, cause: str, count: int = 1) -> None:
        """Count frames that get no mask."""
        if count:
            self.drops[cause] += count

    def status(
        self, supervised: Supervised, connections: int, viewers: Viewers, now: float
    ) -> LiveStatus:
        """Return the current status."""
        p50, p99 = _percentiles(self._latencies)
        return LiveStatus(
            state=supervised.state,
            since=max(0.0, now - supervised.since),
            code=supervised.code,
            detail=supervised.detail,
            connections=connections,
            viewers=len(viewers),
            fps_in=_rate(self._in, now),
            fps_out=_rate(self._out, now),
            latency_p50=p50,
            latency_p99=p99,
            frames=self.frames,
            masks=self.masks,
            passed_over=self.skipped,
            drops=dict(self.drops),
            resets=dict(self.resets),
            width=self.size[1],
            height=self.size[0],
            lost_by_viewers=viewers.lost,
            mask_age=viewers.age(now),
        )

    def _report(self, kind: str, data: Mapping[str, Any]) -> None:
        self.last_id += 1
        self.news.append(News(self.last_id, kind, data))


def _rate(times: deque[float], now: float) -> float:
    """Return events per second over the last SPAN_SECONDS, or since the first if that is later."""
    recent = [time for time in times if now - time <= SPAN_SECONDS]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / max(now - recent[0], 1e-3)


def _percentiles(values: deque[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return (values[0], values[0]) if values else (None, None)
    cuts = quantiles(values, n=100, method="inclusive")
    return round(cuts[49], 3), round(cuts[98], 3)
