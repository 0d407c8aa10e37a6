"""Traces."""

from __future__ import annotations

from pydantic import Field

from server.settings.group import Group


class TelemetrySettings(Group):
    """Where traces are sent, and how many frames are traced."""

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="URL to which traces are sent by OTLP/HTTP, such as "
        "http://localhost:4318/v1/traces; without it, nothing is traced",
    )
    frame_ratio: float = Field(
        0.01, ge=0, le=1, description="share of the frames of pushed streams that are traced"
    )
