"""Users of an identity provider (OpenID Connect)."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from server.settings.group import Group

RoleName = Literal["watch", "segment", "admin"]


class OidcSettings(Group):
    """The issuer whose tokens are accepted like keys, and the claims that grant rights to a
    user."""

    issuer: str | None = Field(
        None,
        description="address of an OpenID provider, such as https://login.example.org/realms/lab, "
        "whose tokens are accepted like API keys; needs the extra oidc. Only HTTPS, or HTTP on "
        "this machine",
    )
    audience: str | None = Field(
        None,
        min_length=1,
        description="audience that the tokens must name; required with an issuer",
    )
    role_claim: str = Field(
        "roles",
        min_length=1,
        description="claim with the user's role or roles, the highest counts; full stops lead into "
        "it, such as realm_access.roles",
    )
    roles: dict[str, RoleName] = Field(
        {},
        description="roles by their names in the claim, such as {'video-staff': 'segment'}; if "
        "empty, they are called watch, segment and admin there",
    )
    streams_claim: str = Field(
        "streams",
        min_length=1,
        description="claim with the names of the pulled streams that a user of role watch may see",
    )

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, issuer: str | None) -> str | None:
        """Raise ValueError unless the issuer's answers cannot be changed on the way."""
        if issuer is not None and not is_trustworthy(issuer):
            raise ValueError("the issuer must be an https:// address, or http:// on this machine")
        return issuer

    @model_validator(mode="after")
    def _check_audience(self) -> Self:
        """Raise ValueError if tokens for other services would be accepted."""
        if self.issuer is not None and self.audience is None:
            raise ValueError(
                "an issuer needs an audience: tokens for other services must not be accepted"
            )
        return self


def is_trustworthy(url: str) -> bool:
    """Return whether the answers of an address cannot be changed on the way."""
    try:
        parts = urlsplit(url)
        is_near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_near)
    )
