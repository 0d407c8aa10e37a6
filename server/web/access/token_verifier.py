"""Chooses the verifier of tokens: none without an issuer, PyJWT with one."""

from __future__ import annotations

from server.errors import BadRequest
from server.settings import OidcSettings
from server.web.access.issuer import IssuerKeys
from server.web.access.keyring import TokenVerifier


def token_verifier(settings: OidcSettings) -> TokenVerifier | None:
    """Return the verifier of the tokens of the issuer in the settings; None if there is no issuer.

    Raises BadRequest if the extra ``oidc`` is not installed.
    """
    if settings.issuer is None:
        return None
    try:
        from server.web.access.tokens import Tokens  # noqa: PLC0415  it needs the extra
    except ModuleNotFoundError as error:
        raise BadRequest(
            "MASTREAM_SECURITY__OIDC__ISSUER needs PyJWT: install the extra `oidc`."
        ) from error
    return Tokens(settings, IssuerKeys(settings.issuer))
