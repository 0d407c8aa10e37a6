"""/v1/cluster: the servers that share this one's database."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server.cluster.membership import Membership
from server.database.owners import Owner
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
    is_this: bool = Field(description="whether it is the one that answers")


class ClusterBody(BaseModel):
    """The servers that are alive, by name."""

    servers: list[ServerBody]


def cluster_router(membership: Callable[[], Membership]) -> APIRouter:
    """Return the route; ``membership`` raises NoCapacity until it is known."""
    router = APIRouter(prefix="/v1", tags=["server"], responses=PROBLEMS)

    @router.get("/cluster")
    async def get_cluster() -> ClusterBody:
        """Return the servers on this database that reported in the last seconds."""
        known = membership()
        return ClusterBody(servers=[_body(one, known.name) for one in known.servers])

    return router


def _body(one: Owner, me: str) -> ServerBody:
    found = one.presence
    return ServerBody(
        name=one.name,
        url=found.url,
        node=found.node,
        model=found.model,
        sessions=found.sessions,
        room=found.room,
        draining=found.draining,
        is_this=one.name == me,
    )
