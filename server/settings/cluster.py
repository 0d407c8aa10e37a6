"""Several servers on one database."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, model_validator

from server.settings.group import Group


class ClusterSettings(Group):
    """How clients and other servers on the same database reach this one."""

    advertise: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
        description="this server's own address for clients, such as https://a.example:8443; "
        "without it, no other server sends clients here",
    )
    node: str | None = Field(
        None, max_length=255, description="name of the machine; default: its host name"
    )
    report_seconds: PositiveFloat = Field(
        1.0, description="how often this server reports itself and reads the others"
    )
    alive_seconds: PositiveFloat = Field(
        4.0, description="how long the others count on this server after its last report"
    )
    lease_seconds: PositiveFloat = Field(
        3.0, description="how long a stream stays with this server after its last renewal"
    )
    renew_seconds: PositiveFloat = Field(1.0, description="how often leases are renewed")
    margin_seconds: PositiveFloat = Field(
        0.5, description="by how much this server stops before its lease could be over"
    )

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if 2 * self.report_seconds > self.alive_seconds:
            raise ValueError(
                "alive_seconds must be at least twice report_seconds: one late report would make "
                "the others believe that this server is dead"
            )
        if 2 * self.renew_seconds + self.margin_seconds > self.lease_seconds:
            raise ValueError(
                "lease_seconds must be at least twice renew_seconds, and margin_seconds: one late "
                "renewal would lose all streams"
            )
        return self
