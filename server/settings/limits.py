"""Limits of what clients may have at once."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from server.settings.group import Group


class LimitSettings(Group):
    """Limits of what one client, and all together, may have at once; further totals are in other
    groups.

    A client is an API key; if no key is required, it is an address, for pushed streams and viewers.
    Absent values set no limit.
    """

    viewers: PositiveInt = Field(1000, description="viewers of pulled streams")
    uploads: PositiveInt = Field(32, description="uploads received at the same time")
    pixels_per_second: PositiveInt | None = Field(
        None, description="pixels of pushed pictures per second, of all clients"
    )
    key_bytes_per_second: PositiveInt | None = Field(
        None, description="bytes per second read from all stream sockets of one client"
    )
    key_sessions: PositiveInt | None = Field(None, description="sessions of one client")
    key_streams: PositiveInt | None = Field(None, description="pulled streams of one key")
    key_viewers: PositiveInt | None = Field(None, description="viewers of one client")
    key_jobs: PositiveInt | None = Field(None, description="videos of one key that wait or run")
    key_uploads: PositiveInt | None = Field(
        None, description="uploads of one client received at the same time"
    )
    key_pixels_per_second: PositiveInt | None = Field(
        None, description="pixels of pushed pictures per second, of one client"
    )
