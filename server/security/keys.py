"""API keys: what a key may do, its secret, and the digest of the secret that is stored.

A secret has 256 random bits, so a keyed hash protects it as well as a slow one would: nobody can
try them all. The hash is keyed with the server's secret, which is not in the database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from enum import StrEnum

PREFIX = "mas"
SECRET_BYTES = 32


class Role(StrEnum):
    """What a key may do. Each role may do what those before it may."""

    WATCH = "watch"
    SEGMENT = "segment"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Return whether this role may do all that ``other`` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Key:
    """One API key as it is stored.

    ``id`` may appear in logs. ``streams`` are the pulled streams that a key with the role ``watch``
    may see. ``digests`` belong to its secrets: the current one, and after a rotation the previous
    one, which is accepted until ``overlap_ends`` (seconds since the epoch).
    """

    id: str
    name: str
    role: Role
    digests: tuple[str, ...]
    created: float
    streams: tuple[str, ...] = ()
    revoked: float | None = None
    overlap_ends: float = 0.0

    def accepts(self, digest: str, now: float) -> bool:
        """Return whether this is the digest of a secret that is valid at ``now``."""
        if self.revoked is not None:
            return False
        valid = self.digests if now < self.overlap_ends else self.digests[:1]
        return any(hmac.compare_digest(digest, one) for one in valid)


def new_key(
    name: str, role: Role, streams: tuple[str, ...], now: float, pepper: bytes
) -> tuple[Key, str]:
    """Return a new key and the text that its owner keeps, which is not stored."""
    secret = secrets.token_bytes(SECRET_BYTES)
    key = Key(secrets.token_hex(6), name, role, (digest_of(secret, pepper),), now, streams)
    return key, shown(key.id, secret)


def rotated(key: Key, now: float, overlap: float, pepper: bytes) -> tuple[Key, str]:
    """Return a key with a new secret, and its text; the old one stays valid for ``overlap``
    seconds."""
    secret = secrets.token_bytes(SECRET_BYTES)
    digests = (digest_of(secret, pepper), key.digests[0])
    return replace(key, digests=digests, overlap_ends=now + overlap), shown(key.id, secret)


def digest_of(secret: bytes, pepper: bytes) -> str:
    """Return the keyed hash that is stored instead of a secret."""
    return hmac.new(pepper, secret, hashlib.sha256).hexdigest()


def shown(key_id: str, secret: bytes) -> str:
    """Return a key's text: a fixed prefix, so that scanners recognise it, its id and its secret."""
    return f"{PREFIX}_{key_id}_{base64.urlsafe_b64encode(secret).rstrip(b'=').decode()}"


def parse_key(text: str) -> tuple[str, bytes] | None:
    """Return the id and the secret in a key's text, or None if it is not one."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not key_id or not secret.isascii():
        return None
    try:
        return key_id, base64.b64decode(
            secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True
        )
    except ValueError:
        return None
