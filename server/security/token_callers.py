"""Callers with a token of an identity provider: what its claims grant, and their sessions.

Nothing is stored: a browser's cookie contains the caller, signed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from server.errors import Forbidden, Unauthorized
from server.security.callers import Caller
from server.security.keys import Role
from server.settings import OidcSettings

MAX_TOKEN = 8000
"""In characters; a header has no room for more."""

MAX_COOKIE = 3800
"""In characters; browsers keep 4096 including name and attributes."""

ID_PREFIX = "oidc:"
"""Begins the id of such a caller, so that it never equals a key's."""

_PLAIN_SUBJECT = re.compile(r"[A-Za-z0-9@._|-]{1,59}")
_SESSION_PREFIX = "token."


def is_token(text: str) -> bool:
    """Return whether a text looks like a signed token (JWS) and not like a key."""
    return text.count(".") == 2


def caller_from(claims: Mapping[str, Any], settings: OidcSettings) -> Caller:
    """Return the caller that verified claims describe.

    Raises Forbidden if they grant no role, and Unauthorized if they name nobody.
    """
    role = _role(_names(_claim(claims, settings.role_claim)), settings.roles)
    if role is None:
        raise Forbidden(
            f"Your token grants no role here: let its claim {settings.role_claim!r} name one."
        )
    streams = _names(_claim(claims, settings.streams_claim))
    return Caller(id_of(claims.get("sub")), role, frozenset(streams), float(claims["exp"]))


def id_of(subject: object) -> str:
    """Return the id of a caller, which may appear in logs; a long or odd subject becomes a hash, so
    that no two callers have the same id. Raises Unauthorized if there is no subject."""
    if not isinstance(subject, str) or not subject:
        raise Unauthorized("The token names no user: it needs the claim `sub`.")
    if _PLAIN_SUBJECT.fullmatch(subject):
        return ID_PREFIX + subject
    return f"{ID_PREFIX}sha256:{hashlib.sha256(subject.encode()).hexdigest()[:48]}"


def token_session(caller: Caller, pepper: bytes) -> str:
    """Return the cookie of a caller, valid until the caller ends. Raises Forbidden if its streams
    do not fit into one."""
    content = [caller.id, caller.role, caller.ends, sorted(caller.streams)]
    text = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    if len(text) > MAX_COOKIE:
        raise Forbidden(
            "Your token names too many streams for a browser's session: name fewer, or send the "
            "token with each request."
        )
    return f"{_SESSION_PREFIX}{text}.{_signature(text, pepper)}"


def is_token_session(cookie: str) -> bool:
    """Return whether a cookie is one of :func:`token_session`; it is still to be verified."""
    return cookie.startswith(_SESSION_PREFIX)


def verify_token_session(cookie: str, now: float, pepper: bytes) -> Caller | None:
    """Return the caller in a cookie, or None if it is not valid."""
    text, _, signature = cookie.removeprefix(_SESSION_PREFIX).partition(".")
    if not hmac.compare_digest(_signature(text, pepper).encode(), signature.encode()):
        return None
    name, role, ends, streams = json.loads(base64.urlsafe_b64decode(text))
    return Caller(name, Role(role), frozenset(streams), ends) if now < ends else None


def _signature(text: str, pepper: bytes) -> str:
    return hmac.new(pepper, f"token session.{text}".encode(), hashlib.sha256).hexdigest()


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """Return a claim: the one whose whole name is ``path``, otherwise the nested one."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _names(claim: object) -> tuple[str, ...]:
    """Return the names in a claim: a list, or a text in which spaces separate them."""
    names = claim.split() if isinstance(claim, str) else claim
    return tuple(one for one in names if isinstance(one, str)) if isinstance(names, list) else ()


def _role(names: tuple[str, ...], known: Mapping[str, str]) -> Role | None:
    """Return the highest role among names."""
    roles = known or {str(role): str(role) for role in Role}
    order = list(Role)
    granted = [Role(roles[name]) for name in names if name in roles]
    return max(granted, key=order.index, default=None)
