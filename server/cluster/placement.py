"""Which server takes which free stream: only the decision.

Every server decides alone from the same table of servers. The server that uses the smallest share
of its places takes a stream at once. Each further one waits longer, so two servers rarely try the
same row, and another server takes the stream if the first choice does not act. The database lets
only one succeed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from heapq import nsmallest

RANK_SECONDS = 0.4
"""Seconds that each further server waits longer."""

RETURN_SECONDS = 2.0
"""Seconds for which servers leave each other's streams alone after the database has returned."""

Levels = dict[float, set[str]]
"""Names of servers by the share of their places that is in use."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that is alive. ``room`` is how many more sessions it can open."""

    name: str
    sessions: int
    room: int
    is_draining: bool = False


@dataclass(frozen=True, slots=True)
class FreeStream:
    """A stream that no server has had for ``free_for`` seconds. ``left_by`` is the server whose
    lease expired, None if the stream was given back."""

    name: str
    free_for: float
    left_by: str | None = None


def wanted(
    me: str, servers: Iterable[Candidate], free: Sequence[FreeStream], back: float
) -> list[str]:
    """Return the names of the streams that ``me`` should take now. ``back`` is for how many seconds
    the database has answered it again.

    A server whose database was away takes back its own streams at once, as far as it has room: they
    are free, so no other server has taken them. The streams of others are free only because their
    servers could not renew them either, so these get RETURN_SECONDS to come back and report
    themselves.
    """
    candidates = list(servers)
    if back < RETURN_SECONDS:
        room = sum(one.room for one in candidates if one.name == me)
        return [one.name for one in free if one.left_by == me][:room]
    since = back - RETURN_SECONDS
    return chosen(me, candidates, [replace(one, free_for=min(one.free_for, since)) for one in free])


def chosen(me: str, servers: Iterable[Candidate], free: Sequence[FreeStream]) -> list[str]:
    """Return the names of the streams that ``me`` should take now."""
    return [stream.name for stream, order in orders(servers, free) if me in order]


def orders(
    servers: Iterable[Candidate], free: Sequence[FreeStream]
) -> Iterator[tuple[FreeStream, list[str]]]:
    """Yield each stream with the servers that should take it now, the first choice first.

    Each stream counts as taken by its first choice for those that follow.
    """
    able = {one.name: one for one in servers if one.room > 0 and not one.is_draining}
    levels = _levels(able.values())
    for stream in sorted(free, key=lambda one: one.name):
        order = _first(stream, levels, able, int(stream.free_for / RANK_SECONDS) + 1)
        yield stream, order
        if order:
            _fill(levels, able, order[0])


def ranked(stream: FreeStream, servers: Iterable[Candidate]) -> list[str]:
    """Return the servers that have room, in the order in which they should try.

    The server that let the stream's lease expire comes last: it is frozen, or has lost the
    database.
    """
    able = {one.name: one for one in servers if one.room > 0}
    return _first(stream, _levels(able.values()), able, len(able))


def with_much_room(servers: Iterable[Candidate], chance: float) -> str | None:
    """Return a server to which a client should go, None if none has room.

    It is one of those with at least half as much room as the emptiest; ``chance`` (at least 0, less
    than 1) selects which one. If all clients of a server that stops went to the same one, they
    would fill it.
    """
    able = [one for one in servers if one.room > 0 and not one.is_draining]
    most = max((one.room for one in able), default=0)
    near = sorted(one.name for one in able if 2 * one.room >= most)
    return near[int(chance * len(near))] if near else None


def _levels(servers: Iterable[Candidate]) -> Levels:
    levels: Levels = {}
    for one in servers:
        levels.setdefault(_used(one), set()).add(one.name)
    return levels


def _first(
    stream: FreeStream, levels: Levels, able: Mapping[str, Candidate], most: int
) -> list[str]:
    """Return the first ``most`` servers in the order of a stream. It examines only the levels that
    it needs, since there may be thousands of servers and streams."""
    order: list[str] = []
    for used in sorted(levels):
        others = levels[used] - {stream.left_by}
        order += nsmallest(most - len(order), others, lambda name: _mixed(stream.name, name))
        if len(order) >= most:
            return order
    left = stream.left_by
    return [*order, left] if left is not None and left in able else order


def _fill(levels: Levels, able: dict[str, Candidate], name: str) -> None:
    """Count one more session of a server; when it has no room left, it is no longer a candidate."""
    old = able.pop(name)
    levels[_used(old)].remove(name)
    fuller = replace(old, sessions=old.sessions + 1, room=old.room - 1)
    if fuller.room > 0:
        able[name] = fuller
        levels.setdefault(_used(fuller), set()).add(name)


def _used(server: Candidate) -> float:
    return server.sessions / (server.sessions + server.room)


def _mixed(stream: str, server: str) -> str:
    """Return an order of servers that differs from stream to stream."""
    return sha256(f"{stream}\0{server}".encode()).hexdigest()
