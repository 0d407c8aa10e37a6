"""The keyring: identifies the caller of a request by key, token, cookie or ticket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from server.database.keys import KeyRows
from server.errors import NotFound, NotReady, Unauthorized
from server.security.callers import Caller, caller_of
from server.security.keys import Key, Role, digest_of, new_key, parse_key, rotated
from server.security.sessions import key_id_in, session_of, verify
from server.security.tickets import Tickets
from server.security.token_callers import (
    is_token,
    is_token_session,
    token_session,
    verify_token_session,
)
from server.threads import ThreadRunner

FRESH_SECONDS = 5.0
"""For how many seconds a key that was read counts as valid; for this long a key that another
process revokes still works."""

MAX_KNOWN = 1024

_NO_TOKENS = "This server accepts no tokens of an identity provider: send an API key."
_WRONG = "The API key is not valid: check it, or ask for a new one."
_SIGNED_OUT = "The session has ended: sign in again with an API key."
_NO_TICKET = "The ticket was used already, or is older than 30 s: request a new one."


class TokenVerifier(Protocol):
    """Verifies the tokens of one identity provider."""

    async def verify(self, token: str) -> Caller:
        """Return the caller with a token. Raises Unauthorized, Forbidden or Unavailable."""

    async def close(self) -> None:
        """Release its resources. Idempotent."""


@dataclass(slots=True)
class Keyring:
    """Mutable state: the rows, once the database is open; the keys read recently, each with the
    time of reading by ``since``; the unused tickets. ``tokens`` is None if no tokens are accepted.

    ``clock`` is the time of day, which can be set back; ``since`` cannot."""

    pepper: bytes
    session_seconds: float
    clock: Callable[[], float] = time.time
    since: Callable[[], float] = time.monotonic
    tokens: TokenVerifier | None = None
    tickets: Tickets = field(default_factory=Tickets)
    _rows: KeyRows | None = None
    _known: dict[str, tuple[Key, float]] = field(default_factory=dict)
    _disk: ThreadRunner = field(default_factory=lambda: ThreadRunner("keys"))

    def use(self, rows: KeyRows) -> None:
        """Use these rows from now on."""
        self._rows = rows

    async def close(self) -> None:
        """End the keyring's threads. Idempotent."""
        await self._disk.close()
        if self.tokens:
            await self.tokens.close()

    async def by_key(self, text: str) -> Caller:
        """Return the caller with a key or a token. Raises Unauthorized, or the error with which a
        token is refused."""
        if is_token(text):
            return await self._by_token(text)
        key_id, secret = parse_key(text) or ("", b"")
        key = await self.find(key_id)
        if key is None or not key.accepts(digest_of(secret, self.pepper), self.clock()):
            raise Unauthorized(_WRONG)
        return caller_of(key)

    async def by_session(self, cookie: str) -> Caller:
        """Return the caller with a cookie. Raises Unauthorized."""
        if is_token_session(cookie):
            caller = verify_token_session(cookie, self.clock(), self.pepper)
            if caller is None or self.tokens is None:
                raise Unauthorized(_SIGNED_OUT)
            return caller
        key = await self.find(key_id_in(cookie))
        if key is None or not verify(cookie, key, self.clock(), self.pepper):
            raise Unauthorized(_SIGNED_OUT)
        return caller_of(key)

    async def by_ticket(self, ticket: str) -> Caller:
        """Return the caller with a ticket, which is thereby used up. Raises Unauthorized."""
        caller = self.tickets.redeem(ticket, self.since())
        if caller is None or not await self.is_valid(caller):
            raise Unauthorized(_NO_TICKET)
        return caller

    def ticket(self, caller: Caller) -> str:
        """Return a new ticket for a caller. Raises TooMany."""
        return self.tickets.issue(caller, self.since())

    async def session(self, caller: Caller) -> str:
        """Return a cookie for a caller. Raises Unauthorized if the key was revoked meanwhile."""
        if caller.ends is not None:
            ends = self.clock() + self.seconds_signed_in(caller)
            return token_session(replace(caller, ends=ends), self.pepper)
        key = await self.find(caller.id)
        if key is None:
            raise Unauthorized(_WRONG)
        return session_of(key, self.clock() + self.session_seconds, self.pepper)

    def seconds_signed_in(self, caller: Caller) -> int:
        """Return for how long a cookie is valid: no longer than the caller's token."""
        left = float("inf") if caller.ends is None else caller.ends - self.clock()
        return int(max(0.0, min(self.session_seconds, left)))

    async def is_valid(self, caller: Caller) -> bool:
        """Return whether a token has not expired, or a key exists and is not revoked."""
        if caller.ends is not None:
            return self.clock() < caller.ends
        key = await self.find(caller.id)
        return key is not None and key.revoked is None

    async def _by_token(self, token: str) -> Caller:
        if self.tokens is None:
            raise Unauthorized(_NO_TOKENS)
        return await self.tokens.verify(token)

    async def find(self, key_id: str) -> Key | None:
        """Return a key, as it was at most ``FRESH_SECONDS`` ago; None if there is none."""
        key, read = self._known.get(key_id, (None, float("-inf")))
        now = self.since()
        if now - read < FRESH_SECONDS:
            return key
        key = await self._disk(self._stored.get, key_id) if key_id else None
        if key is not None:
            self._known[key_id] = key, now
            while len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
        return key

    async def all(self) -> list[Key]:
        """Return every key, the oldest first."""
        return await self._disk(self._stored.all)

    async def add(self, name: str, role: Role, streams: tuple[str, ...]) -> tuple[Key, str]:
        """Store a new key; return it with its text."""
        key, text = new_key(name, role, streams, self.clock(), self.pepper)
        await self._disk(self._stored.add, key)
        return key, text

    async def rotate(self, key_id: str, overlap: float) -> tuple[Key, str]:
        """Give a key a new secret; return it with its text. Raises NotFound."""
        key = await self._disk(self._stored.get, key_id)
        if key is not None:
            key, text = rotated(key, self.clock(), overlap, self.pepper)
            if await self._disk(self._stored.rotate, key):
                self._known.pop(key_id, None)
                return key, text
        raise _missing(key_id)

    async def revoke(self, key_id: str) -> None:
        """Make a key invalid for good. Raises NotFound."""
        if not await self._disk(self._stored.revoke, key_id, self.clock()):
            raise _missing(key_id)
        self._known.pop(key_id, None)

    @property
    def _stored(self) -> KeyRows:
        if self._rows is None:
            raise NotReady("The server is starting: try again in a moment.")
        return self._rows


def _missing(key_id: str) -> NotFound:
    return NotFound(f"There is no valid key {key_id[:32]!r}: it was revoked, or never added.")
