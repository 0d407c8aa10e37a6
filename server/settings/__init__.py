"""Settings: small frozen values, validated on creation, read from the environment by the commands.

Every field is set by ``MASTREAM_<FIELD>``, nested ones by ``MASTREAM_<GROUP>__<FIELD>``:
``MASTREAM_PORT=9000``, ``MASTREAM_VIDEOS__MAX_BYTES=1000000``. There is no global instance: the
entry point makes one Settings and passes each part the group that it needs. Unknown fields of a
group are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.settings.cluster import ClusterSettings
from server.settings.decode import DecodeSettings
from server.settings.engine import EngineSettings, PlanPrecision, Provider
from server.settings.group import Folder
from server.settings.limits import LimitSettings
from server.settings.live import LiveSettings
from server.settings.oidc import OidcSettings
from server.settings.security import SecuritySettings
from server.settings.streams import STREAM_BYTES, TOTAL_BYTES, StreamSettings
from server.settings.telemetry import TelemetrySettings
from server.settings.videos import VideoSettings

__all__ = [
    "STREAM_BYTES",
    "TOTAL_BYTES",
    "ClusterSettings",
    "DecodeSettings",
    "EngineSettings",
    "LimitSettings",
    "LiveSettings",
    "LogFormat",
    "LogLevel",
    "OidcSettings",
    "PlanPrecision",
    "Provider",
    "SecuritySettings",
    "Settings",
    "StreamSettings",
    "TelemetrySettings",
    "VideoSettings",
]

LogFormat = Literal["console", "json"]

LogLevel = Literal["critical", "error", "warning", "info", "debug"]


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="MASTREAM_", env_nested_delimiter="__", extra="forbid"
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 chooses a free port and prints it")
    folder: Folder = Field(Path("data"), description="uploads, results and the database")
    log_level: LogLevel = "info"
    log_format: LogFormat = Field(
        "console", description="form of the log's lines: for people, or one JSON object per line"
    )
    drain_seconds: PositiveFloat = Field(
        20.0, description="seconds to finish accepted work after SIGTERM"
    )
    engine: EngineSettings = EngineSettings()
    streams: StreamSettings = StreamSettings()
    videos: VideoSettings = VideoSettings()
    live: LiveSettings = LiveSettings()
    decode: DecodeSettings = DecodeSettings()
    security: SecuritySettings = SecuritySettings()
    limits: LimitSettings = LimitSettings()
    cluster: ClusterSettings = ClusterSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
