"""Streams that the server pulls itself, and the addresses it may open."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from server.settings.group import Group


class LiveSettings(Group):
    """Streams that the server pulls itself."""

    max_streams: PositiveInt = 64
    schemes: tuple[str, ...] = Field(
        ("rtsp", "rtsps", "http", "https"),
        description="schemes of the addresses that may be opened",
    )
    files: Path | None = Field(
        None, description="folder whose files may be played as file:///NAME; none if absent"
    )
    networks: tuple[str, ...] | None = Field(
        None,
        description="networks that may be opened in addition to public addresses, such as "
        "192.168.0.0/16. If absent: loopback and private networks while only this machine can use "
        "the server, otherwise none. Link-local addresses must always be listed",
    )
    hosts: tuple[str, ...] = Field(
        (), description="the only hosts that may be opened, such as *.example.org; all if empty"
    )
    connect_seconds: PositiveFloat = Field(
        10.0, description="seconds until a stream's first picture"
    )
    stall_seconds: PositiveFloat = Field(
        3.0, description="seconds without a picture after which a stream is stalled"
    )
    give_up_seconds: PositiveFloat = Field(
        7.0, description="seconds after which a stalled stream is opened again"
    )
    backoff_seconds: PositiveFloat = Field(
        1.0, description="shortest wait before a retry, in seconds"
    )
    longest_backoff_seconds: PositiveFloat = 30.0
    refused_seconds: PositiveFloat = Field(
        60.0, description="seconds before a retry after a refusal (wrong password, no such path)"
    )

    @field_validator("networks")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Raise ValueError unless all are networks."""
        for network in networks or ():
            ip_network(network)
        return networks
