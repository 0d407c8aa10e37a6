"""Callers: who sends a request, and what they may see."""

from __future__ import annotations

from dataclasses import dataclass

from server.errors import Forbidden, Unauthorized
from server.security.keys import Key, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. ``id`` is the key's; it is empty if none was required.

    A caller with a token of an identity provider is valid until ``ends``, in seconds since the
    epoch; the validity of a key is known only from its row.
    """

    id: str
    role: Role
    streams: frozenset[str] = frozenset()
    ends: float | None = None

    def require(self, role: Role) -> None:
        """Raise Forbidden unless the caller may do all that ``role`` may, or Unauthorized if the
        caller is unknown."""
        if not self.id and self.role is not Role.ADMIN:
            raise Unauthorized(f"This request needs an API key with the role {role}: send one.")
        if not self.role.includes(role):
            raise Forbidden(
                f"This key has the role {self.role}, but the request needs {role}: use another key."
            )

    def owns(self, owner: str) -> bool:
        """Return whether the caller may see and change objects of the key ``owner``."""
        return self.role is Role.ADMIN or (self.id != "" and self.id == owner)

    def watches(self, name: str, owner: str) -> bool:
        """Return whether the caller may watch the pulled stream ``name``."""
        return self.owns(owner) or name in self.streams

    @property
    def only_own(self) -> str | None:
        """Return the owner to which lists are limited, or None for an admin. Raises Unauthorized
        if the caller is unknown."""
        if self.role is Role.ADMIN:
            return None
        if not self.id:
            raise Unauthorized("Only the objects of an API key can be listed: send a key.")
        return self.id


ANYONE = Caller("", Role.ADMIN)
"""Everybody, if the server requires no key."""

NOBODY = Caller("", Role.WATCH)
"""A caller without a key on a server that requires keys, which may see only public objects. Nothing
belongs to it, not even objects that were added while no key was required."""


def caller_of(key: Key) -> Caller:
    """Return the caller that a key identifies."""
    return Caller(key.id, key.role, frozenset(key.streams))
