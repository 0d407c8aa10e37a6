"""/v1/cluster: the servers that share this one's database, their streams, and recent changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from server.cluster.history import Change
from server.cluster.membership import Membership
from server.database.owners import Owner
from server.database.streams import StreamPlace
from server.security.callers import Caller
from server.security.keys import Role
from server.streams.whereabouts import Whereabouts
from server.web.access.auth import caller_of
from server.web.problems import PROBLEMS


class ServerBody(BaseModel):
    """One server, as it last reported."""

    name: str
    url: str | None = Field(description="its address for clients; null if it is not set")
    node: str = Field(description="the name of its machine")
    model: str
    sessions: int = Field(description="open now")
    room: int = Field(description="how many more it can open")
    draining: bool = Field(description="whether it is about to stop")
    streams: int = Field(description="pulled streams that it has")
    lasts: float = Field(description="seconds until it counts as gone unless it reports again")
    is_this: bool = Field(description="whether it is the one that answers")


class LeaseBody(BaseModel):
    """Which server has a pulled stream."""

    name: str
    state: Literal["held", "elsewhere", "free"] = Field(
        description="whether the server that answers has it, another, or none"
    )
    server: str | None = Field(description="the server that has the stream, or had it last")
    url: str | None = Field(description="that server's address, if it is another's")
    lasts: float | None = Field(
        description="seconds until its lease ends; null if it is free, or if no other server could "
        "take it"
    )


class ChangeBody(BaseModel):
    """A change that the server has seen."""

    at: float = Field(description="seconds since 1970")
    kind: Literal["server", "stream"]
    name: str
    now: str = Field(
        description="a server is alive, draining or gone; a stream held, free or removed"
    )
    server: str | None = Field(description="the server that has the stream")


class ClusterBody(BaseModel):
    """The servers that are alive, the streams that the caller may watch, both by name, and the last
    changes that this server saw since its start, the oldest first."""

    servers: list[ServerBody]
    streams: list[LeaseBody]
    changes: list[ChangeBody]


def cluster_router(
    membership: Callable[[], Membership], whereabouts: Callable[[], Whereabouts]
) -> APIRouter:
    """Return the route; both arguments raise NoCapacity until they are known."""
    router = APIRouter(prefix="/v1", tags=["server"], responses=PROBLEMS)

    @router.get("/cluster")
    async def get_cluster(request: Request) -> ClusterBody:
        """Return the servers on this database that reported in the last seconds, which of them has
        which pulled stream, and recent changes."""
        known, streams, caller = membership(), whereabouts(), caller_of(request)
        places = streams.places
        counts = Counter(one.server for one in places if streams.state(one) != "free")
        shown = [one for one in places if caller.watches(one.name, one.key)]
        changes = (*known.history.changes, *streams.history.changes)
        return ClusterBody(
            servers=[_body(one, counts[one.name], one.name == known.name) for one in known.servers],
            streams=[
                _lease(one, streams.state(one), known.url_of(one.server))
                for one in sorted(shown, key=lambda one: one.name)
            ],
            changes=[
                _change(one)
                for one in sorted(changes, key=lambda one: one.at)
                if may_see(caller, one, shown)
            ],
        )

    return router


def _lease(
    one: StreamPlace, state: Literal["held", "elsewhere", "free"], url: str | None
) -> LeaseBody:
    lasts = None if one.is_free else round(one.lasts, 1)
    return LeaseBody(name=one.name, state=state, server=one.server, url=url, lasts=lasts)


def _change(one: Change) -> ChangeBody:
    now = one.now_is
    return ChangeBody(at=one.at, kind=one.kind, name=one.name, now=now.what, server=now.server)


def may_see(caller: Caller, change: Change, shown: Iterable[StreamPlace]) -> bool:
    """Return whether a change concerns a server, or a stream that the caller may watch; for a
    removed stream only its name can decide that."""
    if change.kind == "server" or caller.role is Role.ADMIN:
        return True
    return change.name in caller.streams or any(one.name == change.name for one in shown)


def _body(one: Owner, streams: int, is_this: bool) -> ServerBody:
    found = one.presence
    return ServerBody(
        name=one.name,
        url=found.url,
        node=found.node,
        model=found.model,
        sessions=found.sessions,
        room=found.room,
        draining=found.draining,
        streams=streams,
        lasts=round(one.lasts, 1),
        is_this=is_this,
    )
