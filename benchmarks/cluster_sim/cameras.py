"""Cameras that a new owner connects to, with the server's own supervision and back-off.

A camera answers within a second. One in ten serves a single client. If that client's machine is
lost without closing its connection, the camera notices only after a while.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from server.streams.states import (
    Action,
    Broken,
    Deadline,
    Event,
    Picture,
    Rules,
    StreamState,
    Supervised,
)
from server.streams.supervision import begin, decide

SINGLE = 0.1
"""The share of cameras that serve only one client."""

NOTICE_SECONDS = 15.0
"""Seconds until such a camera notices that its client is gone."""

ANSWER_SECONDS = (0.1, 1.0)

At = Callable[[float, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class _Pulled:
    """A stream of one owner: its epoch, since when it had no picture before, and its
    supervision."""

    name: str
    epoch: int
    stopped: float
    supervised: Supervised


class Cameras:
    """The cameras of streams that were taken over.

    Mutable state: until when each camera is busy, the epoch of its connection, the seconds from the
    end of its last server to its first picture, and the connections by second.
    """

    def __init__(self, at: At, chance: random.Random, rules: Rules | None = None) -> None:
        self._at, self._chance, self._rules = at, chance, rules or Rules()
        self._busy: dict[str, float] = {}
        self._epochs: dict[str, int] = {}
        self.gaps: list[float] = []
        self.connections: Counter[int] = Counter()

    def lose(self, name: str, now: float) -> None:
        """Lose a camera's server without a closed connection."""
        if self._chance.random() < SINGLE:
            self._busy[name] = now + NOTICE_SECONDS

    def take(self, name: str, epoch: int, stopped: float, now: float) -> None:
        """Let a server connect to a camera that has had no server since ``stopped``."""
        self._epochs[name] = epoch
        supervised, action = begin(now, self._rules)
        self._act(_Pulled(name, epoch, stopped, supervised), action, now)

    def _act(self, stream: _Pulled, action: Action | None, now: float) -> None:
        supervised = stream.supervised
        if action is Action.OPEN:
            self.connections[int(now)] += 1
            answer = now + self._chance.uniform(*ANSWER_SECONDS)
            event: Event = Picture()
            if answer < self._busy.get(stream.name, 0.0):
                event = Broken("source_unreachable", "")
            self._later(answer, stream, event)
        elif supervised.state is StreamState.LIVE:
            self.gaps.append(now - stream.stopped)
        elif supervised.deadline is not None:
            self._later(supervised.deadline, stream, Deadline(0.0))

    def _later(self, then: float, stream: _Pulled, event: Event) -> None:
        self._at(then, partial(self._happen, then, stream, event))

    def _happen(self, now: float, stream: _Pulled, event: Event) -> None:
        if self._epochs[stream.name] != stream.epoch:
            return  # another server has the stream by now
        chance = self._chance.random()
        supervised, action = decide(stream.supervised, event, now, self._rules, chance)
        self._act(replace(stream, supervised=supervised), action, now)
