"""Browser sessions: a signed cookie that names a key until it expires. Nothing is stored."""

from __future__ import annotations

import hashlib
import hmac

from server.security.keys import Key

COOKIE = "mastream_session"


def session_of(key: Key, ends: float, pepper: bytes) -> str:
    """Return the cookie for a key's session, valid until ``ends``, in seconds since the epoch."""
    return f"{key.id}.{int(ends)}.{_signature(key, int(ends), pepper)}"


def key_id_in(cookie: str) -> str:
    """Return the id of the key that a cookie names; it is still to be verified."""
    return cookie.partition(".")[0]


def verify(cookie: str, key: Key, now: float, pepper: bytes) -> bool:
    """Return whether a cookie is the valid session of a key. It ends when the key is rotated."""
    _, _, rest = cookie.partition(".")
    ends, _, signature = rest.partition(".")
    if not (ends.isascii() and ends.isdigit() and len(ends) < 20) or int(ends) <= now:
        return False
    expected = _signature(key, int(ends), pepper)
    return key.revoked is None and hmac.compare_digest(expected.encode(), signature.encode())


def _signature(key: Key, ends: int, pepper: bytes) -> str:
    signed = f"session.{key.id}.{ends}.{key.digests[0]}"
    return hmac.new(pepper, signed.encode(), hashlib.sha256).hexdigest()
