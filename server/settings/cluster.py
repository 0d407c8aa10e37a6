"""Several servers on one database."""

from __future__ import annotations

from pydantic import Field

from server.settings.group import Group


class ClusterSettings(Group):
    """How clients and other servers on the same database reach this one."""

    advertise: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
        description="this server's own address for clients, such as https://a.example:8443; "
        "without it, no client is sent here by another server",
    )
    node: str | None = Field(
        None, max_length=255, description="name of the machine; its host name if absent"
    )
