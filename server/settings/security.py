"""Who may use the server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, SecretStr

from server.settings.group import Group
from server.settings.oidc import OidcSettings


class SecuritySettings(Group):
    """Who may use the server, and how they connect."""

    keys: Literal["auto", "required"] = Field(
        "auto", description="auto: keys are required unless only this machine can connect"
    )
    open: bool = Field(False, description="whether everybody who can connect may do everything")
    published: str | None = Field(
        None,
        description="the address, or address:port, at which a container's port is published, if "
        "not that of `host`; it decides whether others can connect, and is shown at the start",
    )
    secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="hashes keys and signs sessions; the file `secret` in the folder if absent. "
        "Servers that share a database need the same one",
    )
    hosts: tuple[str, ...] = Field(
        (), description="names of this server that requests may use while no key is required"
    )
    origins: tuple[str, ...] = Field(
        (), description="sites whose pages may use this server, such as https://example.org"
    )
    session_seconds: PositiveFloat = Field(
        12 * 3600.0, description="how long a browser stays signed in"
    )
    certificate: Path | None = Field(None, description="PEM file of a certificate; enables TLS")
    private_key: Path | None = Field(None, description="PEM file of the certificate's key")
    proxies: str = Field(
        "127.0.0.1",
        description="addresses, comma-separated, of proxies whose X-Forwarded-For and -Proto are "
        "believed; * for all",
    )
    oidc: OidcSettings = OidcSettings()
