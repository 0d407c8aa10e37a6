"""/v1/keys, /v1/tickets and /v1/session: create and revoke API keys; sign browsers in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.errors import BadRequest
from server.security.callers import Caller
from server.security.exposure import Access
from server.security.keys import Key, Role
from server.security.sessions import COOKIE
from server.security.tickets import TICKET_SECONDS
from server.security.token_callers import MAX_TOKEN
from server.web.access.auth import caller_of
from server.web.access.keyring import Keyring
from server.web.live.body import NAME
from server.web.problems import PROBLEMS

KeyId = Annotated[str, Path(max_length=64, pattern=r"^[0-9a-f]+$")]
StreamName = Annotated[str, Field(pattern=NAME)]


class KeyRequest(BaseModel):
    """A key to create."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, description="who or what will use it")
    role: Role = Field(
        description="watch: see the streams named; segment: push frames, upload videos and pull "
        "streams, its own only; admin: everything"
    )
    streams: list[StreamName] = Field(
        default=[], max_length=1000, description="pulled streams that a key of role watch may see"
    )


class KeyBody(BaseModel):
    """One key, without its secret."""

    id: str
    name: str
    role: Role
    streams: list[str]
    created: datetime
    revoked: datetime | None


class NewKey(KeyBody):
    """A key with its text, which is shown only once."""

    key: str = Field(description="send it as `Authorization: Bearer KEY`")


class KeyPage(BaseModel):
    """All keys, the oldest first."""

    keys: list[KeyBody]


class TicketBody(BaseModel):
    """A ticket: valid for one request, as the field `ticket` of its query."""

    ticket: str
    seconds: float = Field(TICKET_SECONDS, description="seconds for which it is valid")


class SignIn(BaseModel):
    """The key or token that a browser's user enters once."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(
        max_length=MAX_TOKEN, description="an API key, or an identity provider's token"
    )


class SessionBody(BaseModel):
    """Who the caller is."""

    access: Access = Field(description="local and open: no key is required")
    key: str = Field(description="the id of the key or user; empty if no key is required")
    role: Role


def keys_router(keyring: Keyring, who: Access) -> APIRouter:
    """Return the routes; ``who`` may use the server."""
    router = APIRouter(prefix="/v1", tags=["keys"], responses=PROBLEMS)

    @router.post("/keys", status_code=201)
    async def add_key(asked: KeyRequest) -> NewKey:
        """Create a key. Its text is in the answer and cannot be shown again."""
        key, text = await keyring.add(asked.name, asked.role, tuple(asked.streams))
        return NewKey(**_body(key).model_dump(), key=text)

    @router.get("/keys")
    async def list_keys() -> KeyPage:
        """List all keys, including revoked ones."""
        return KeyPage(keys=[_body(one) for one in await keyring.all()])

    @router.post("/keys/{id}/rotate")
    async def rotate_key(
        id: KeyId,  # noqa: A002  the path's name for it
        overlap: Annotated[
            float, Query(ge=0, le=30 * 86400, description="seconds that the old text stays valid")
        ] = 0.0,
    ) -> NewKey:
        """Give a key a new text; it keeps its videos and streams."""
        key, text = await keyring.rotate(id, overlap)
        return NewKey(**_body(key).model_dump(), key=text)

    @router.delete("/keys/{id}", status_code=204)
    async def revoke_key(id: KeyId) -> None:  # noqa: A002  as above
        """Revoke a key for good; its open sockets are closed within seconds."""
        await keyring.revoke(id)

    @router.post("/tickets", status_code=201)
    async def issue_ticket(request: Request) -> TicketBody:
        """Issue a ticket for a socket or a picture, whose headers a browser cannot set."""
        return TicketBody(ticket=keyring.ticket(caller_of(request)))

    @router.get("/session")
    async def get_session(request: Request) -> SessionBody:
        """Return who the caller is."""
        return _session(caller_of(request), who)

    @router.post("/session")
    async def sign_in(request: Request, response: Response, asked: SignIn) -> SessionBody:
        """Sign a browser in with a key or token; the answer sets a cookie."""
        if who is not Access.KEYS:
            raise BadRequest("This server requires no key: there is nothing to sign in to.")
        caller = await keyring.by_key(asked.key.strip())
        response.set_cookie(
            COOKIE,
            await keyring.session(caller),
            max_age=keyring.seconds_signed_in(caller),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return _session(caller, who)

    @router.delete("/session", status_code=204)
    async def sign_out(response: Response) -> None:
        """Sign a browser out. Idempotent."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    return router


def _session(caller: Caller, who: Access) -> SessionBody:
    return SessionBody(access=who, key=caller.id, role=caller.role)


def _body(key: Key) -> KeyBody:
    return KeyBody(
        id=key.id,
        name=key.name,
        role=key.role,
        streams=list(key.streams),
        created=datetime.fromtimestamp(key.created, UTC),
        revoked=None if key.revoked is None else datetime.fromtimestamp(key.revoked, UTC),
    )
