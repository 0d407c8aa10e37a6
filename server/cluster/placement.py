"""Which server takes which free stream: only the decision.

Every server decides alone from the same table of servers. The one with the smallest part of its
places in use takes a stream at once; each further one waits longer, so that two seldom try the same
row, and a stream whose first choice does not act is taken nevertheless. The database lets only one
succeed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

RANK_SECONDS = 0.4
"""How much longer each further server waits."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that is alive. ``room`` is how many more sessions it can open."""

    name: str
    sessions: int
    room: int
    is_draining: bool = False


@dataclass(frozen=True, slots=True)
class FreeStream:
    """A stream that nobody has, since ``free_for`` seconds. ``left_by`` is the server whose lease
    ran out, None if it was given back."""

    name: str
    free_for: float
    left_by: str | None = None


def chosen(me: str, servers: Iterable[Candidate], free: Sequence[FreeStream]) -> list[str]:
    """Return the names of the streams that ``me`` should take now."""
    able = {one.name: one for one in servers if not one.is_draining}
    taken = []
    for stream in sorted(free, key=lambda one: one.name):
        order = ranked(stream, able.values())
        if me in order and stream.free_for >= RANK_SECONDS * order.index(me):
            taken.append(stream.name)
        if order:
            able[order[0]] = _with_one_more(able[order[0]])
    return taken


def ranked(stream: FreeStream, servers: Iterable[Candidate]) -> list[str]:
    """Return the servers that have room, in the order in which they should try.

    A server that let the stream go comes last: it is frozen, or has lost the database.
    """

    def place(server: Candidate) -> tuple[bool, float, str]:
        used = server.sessions / (server.sessions + server.room)
        return server.name == stream.left_by, used, _mixed(stream.name, server.name)

    return [one.name for one in sorted((s for s in servers if s.room > 0), key=place)]


def with_most_room(servers: Iterable[Candidate]) -> str | None:
    """Return the server to which a client should go, None if none has room."""
    able = [one for one in servers if one.room > 0 and not one.is_draining]
    return max(able, key=lambda one: (one.room, one.name)).name if able else None


def _with_one_more(server: Candidate) -> Candidate:
    return replace(server, sessions=server.sessions + 1, room=server.room - 1)


def _mixed(stream: str, server: str) -> str:
    """Return an order of servers that differs from stream to stream."""
    return sha256(f"{stream}\0{server}".encode()).hexdigest()
