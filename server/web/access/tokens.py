"""Verifies the tokens of an identity provider, by PyJWT (the extra ``oidc``)."""

from __future__ import annotations

from typing import Any

import jwt

from server.errors import Unauthorized
from server.security.callers import Caller
from server.security.token_callers import MAX_TOKEN, caller_from
from server.settings import OidcSettings
from server.web.access.issuer import IssuerKeys, Jwk

LEEWAY_SECONDS = 10
"""By how much the clocks of the provider and this server may differ."""

ALGORITHMS = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
"""Only signatures that this server cannot make itself."""

_WRONG = "The token is not valid: sign in to your identity provider again."
_EXPIRED = "The token has expired: ask your identity provider for a new one."
_FOREIGN = "The token is not for this server: ask your identity provider for one that is."
_UNKNOWN_KEY = "The token is signed with a key that its issuer does not have: ask for a new one."


class Tokens:
    """Verifies the tokens of the issuer in the settings."""

    def __init__(self, settings: OidcSettings, keys: IssuerKeys) -> None:
        self._settings = settings
        self._keys = keys

    async def verify(self, token: str) -> Caller:
        """Return the caller with a token. Raises Unauthorized, Forbidden or Unavailable."""
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise Unauthorized(_UNKNOWN_KEY)
        return caller_from(self._claims(token, key), self._settings)

    async def close(self) -> None:
        """Wait for a running fetch of keys. Idempotent."""
        await self._keys.close()

    def _claims(self, token: str, key: Jwk) -> dict[str, Any]:
        """Return the claims of a token that is valid now. Raises Unauthorized."""
        try:
            found = jwt.PyJWK(dict(key))
            claims: dict[str, Any] = jwt.decode(
                token,
                found,
                algorithms=sorted(ALGORITHMS & {found.algorithm_name}),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized(_EXPIRED) from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise Unauthorized(_FOREIGN) from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthorized(_WRONG) from None
        return claims


def _key_id(token: str) -> str:
    """Return which key a token names, before anything in it is verified; without a ``kid``, it is
    the issuer's key without one. Raises Unauthorized."""
    if len(token) > MAX_TOKEN:
        raise Unauthorized(_WRONG)
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthorized(_WRONG) from None
    if header.get("alg") not in ALGORITHMS:
        raise Unauthorized(_WRONG)
    return str(header.get("kid", ""))
