"""What an agent does with its server, as decisions only: no process, clock or thread.

    WAITING -> STARTING -> SERVING          until the server ends, hangs or is to drain
       ^          |           |
       |          v           v
       `----- BACKING_OFF <---'             longer after each failure in a row
    DRAINING -> DRAINED                     from any of these, while no server is wanted

Times are seconds of one clock, passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto


class State(StrEnum):
    """The state of a server. WAITING: until its folder and a port are free."""

    WAITING = auto()
    STARTING = auto()
    SERVING = auto()
    BACKING_OFF = auto()
    DRAINING = auto()
    DRAINED = auto()


class Action(Enum):
    """What the agent must do now."""

    NOTHING = auto()
    START = auto()
    DRAIN = auto()
    KILL = auto()


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds: bounds for a start, for a server that does not answer, and for draining;
    the delays between starts; and how long a server must serve until its earlier failures are
    forgotten."""

    start: float = 180.0
    silence: float = 30.0
    drain: float = 40.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    steady: float = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The agent's observations of its server: its process, whether it answers and is ready, and
    whether one could be started."""

    running: bool
    answers: bool = False
    ready: bool = False
    can_start: bool = True


@dataclass(frozen=True, slots=True)
class Supervised:
    """A server in ``state`` since ``since``; ``answered`` is when it last answered, ``failures``
    how often it failed in a row, ``wanted`` whether it should run."""

    since: float
    state: State = State.WAITING
    answered: float = 0.0
    failures: int = 0
    wanted: bool = True


Decision = tuple[Supervised, Action]


def decide(one: Supervised, seen: Seen, now: float, terms: Terms) -> Decision:
    """Return the server's next state and what to do."""
    if not one.wanted and one.state in (State.STARTING, State.SERVING):
        return _entered(one, State.DRAINING, now), Action.DRAIN
    if not one.wanted and one.state in (State.WAITING, State.BACKING_OFF):
        return _entered(one, State.DRAINED, now), Action.NOTHING
    return _DECISIONS[one.state](one, seen, now, terms)


def delay(failures: int, terms: Terms) -> float:
    """Return the seconds between a failure and the next start: doubled with each in a row."""
    return float(min(terms.first_delay * 2 ** min(failures - 1, 30), terms.longest_delay))


def _waiting(one: Supervised, seen: Seen, now: float, _: Terms) -> Decision:
    if seen.can_start:
        return _entered(one, State.STARTING, now), Action.START
    return one, Action.NOTHING


def _starting(one: Supervised, seen: Seen, now: float, terms: Terms) -> Decision:
    if not seen.running:
        return _failed(one, now), Action.NOTHING
    if seen.ready:
        return replace(_entered(one, State.SERVING, now), answered=now), Action.NOTHING
    return one, Action.KILL if now - one.since > terms.start else Action.NOTHING


def _serving(one: Supervised, seen: Seen, now: float, terms: Terms) -> Decision:
    if not seen.running:
        is_steady = now - one.since >= terms.steady
        return _failed(replace(one, failures=0) if is_steady else one, now), Action.NOTHING
    if seen.answers:
        return replace(one, answered=now), Action.NOTHING
    return one, Action.KILL if now - one.answered > terms.silence else Action.NOTHING


def _backing_off(one: Supervised, _: Seen, now: float, terms: Terms) -> Decision:
    if now - one.since >= delay(one.failures, terms):
        return _entered(one, State.WAITING, now), Action.NOTHING
    return one, Action.NOTHING


def _draining(one: Supervised, seen: Seen, now: float, terms: Terms) -> Decision:
    if not seen.running:
        return _entered(replace(one, failures=0), State.DRAINED, now), Action.NOTHING
    return one, Action.KILL if now - one.since > terms.drain else Action.NOTHING


def _drained(one: Supervised, _: Seen, now: float, __: Terms) -> Decision:
    return (_entered(one, State.WAITING, now) if one.wanted else one), Action.NOTHING


def _failed(one: Supervised, now: float) -> Supervised:
    return replace(_entered(one, State.BACKING_OFF, now), failures=one.failures + 1)


def _entered(one: Supervised, state: State, now: float) -> Supervised:
    return replace(one, state=state, since=now)


_DECISIONS: dict[State, Callable[[Supervised, Seen, float, Terms], Decision]] = {
    State.WAITING: _waiting,
    State.STARTING: _starting,
    State.SERVING: _serving,
    State.BACKING_OFF: _backing_off,
    State.DRAINING: _draining,
    State.DRAINED: _drained,
}
