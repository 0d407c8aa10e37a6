"""Settings: small frozen values, checked when made, read from the environment at the edge.

Every field is set by ``MASTREAM_<FIELD>``, nested ones by ``MASTREAM_<GROUP>__<FIELD>``:
``MASTREAM_PORT=9000``, ``MASTREAM_VIDEOS__MAX_BYTES=1000000``. Nothing reads them globally: the
entry point makes one Settings and hands each part the group it needs. A field of a group that is
none is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

LogLevel = Literal["critical", "error", "warning", "info", "debug"]

Provider = Literal["auto", "tensorrt", "cuda", "cpu"]

PlanPrecision = Literal["fp16", "fp32", "off"]

STREAM_BYTES = 64 * 2**20
TOTAL_BYTES = 2**30


class EngineSettings(BaseModel):
    """Which engine runs the model, and how wide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("onnx_rt", description="a row of server.engines.ENGINES")
    model: Path | None = Field(None, description="artefact; the shipped one where absent")
    provider: Provider = Field(
        "auto",
        description="what computes; auto takes the first of the others that works here. One that "
        "is named and does not work is an error",
    )
    devices: str = Field(
        "auto",
        pattern=r"^(auto|\d+(,\d+)*)$",
        description="CUDA's numbers of the GPUs that serve, such as 0,1, one engine each; all "
        "there are where auto. Naming them asks for a GPU: the CPU does not stand in",
    )
    cache: Path | None = Field(
        None, description="folder of built TensorRT engines; beside the model where absent"
    )
    plan: PlanPrecision = Field(
        "fp16",
        description="of the TensorRT plan that onnx_rt with provider auto goes over to while it "
        "serves; it is built where there is none, except for `segment`. A model quantised (Q/DQ) "
        "for TensorRT keeps its int8 or fp8; the uint8 levels of one for ONNX Runtime, such as "
        "the shipped one, are dropped. off: none is looked for",
    )
    max_batch: PositiveInt = Field(4, description="streams in one step")
    threads: PositiveInt | None = Field(None, description="compute threads; all cores if absent")
    step_deadline: PositiveFloat | None = Field(
        None,
        description="seconds after which a step that has not come back is given up; ten times "
        "the slowest so far, 2 s at least, where absent",
    )
    fake_step_ms: float = Field(0.0, ge=0, description="how long the fake engine's step takes")
    fake_height: PositiveInt = Field(352, description="of the fake engine's frames")
    fake_width: PositiveInt = Field(480, description="of the fake engine's frames")

    @property
    def needs_gpu(self) -> bool:
        """Whether a GPU was asked for, so that none is an error."""
        return self.provider in ("tensorrt", "cuda") or self.devices != "auto"

    @property
    def device(self) -> int:
        """The GPU of one engine: the first of ``devices``."""
        return 0 if self.devices == "auto" else int(self.devices.split(",")[0])


class StreamSettings(BaseModel):
    """Limits of one stream socket, and of all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sessions: PositiveInt = 64
    window: PositiveInt = Field(8, description="frames of one stream that may be unanswered")
    outbox: PositiveInt = Field(8, description="masks that wait for a client that reads slowly")
    stream_bytes: PositiveInt = Field(
        STREAM_BYTES, description="that the pictures and masks of one stream may hold"
    )
    total_bytes: PositiveInt = Field(
        TOTAL_BYTES,
        description="that messages, pictures and masks of all streams may hold; from there on a "
        "stream is read again when nothing of its own is on the way",
    )
    max_message_bytes: PositiveInt = 32 * 2**20
    max_pixels: PositiveInt = Field(4096 * 4096, description="of one pushed picture")
    idle_seconds: PositiveFloat = Field(60.0, description="without a message; then close 4408")
    slow_seconds: PositiveFloat = Field(10.0, description="without reading; then close 4408")
    open_seconds: PositiveFloat = Field(
        1.0, description="that a client may take to send `open` before defaults are assumed"
    )


class VideoSettings(BaseModel):
    """Limits of uploaded videos and where they are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: PositiveInt = 2 * 2**30
    max_seconds: PositiveFloat = 4 * 3600.0
    max_frames: PositiveInt = 1_000_000
    max_pixels: PositiveInt = 4096 * 4096
    probe_bytes: PositiveInt = Field(
        2**30, description="of memory that opening an upload may take; then it is refused"
    )
    probe_seconds: PositiveFloat = Field(
        60.0,
        description="that reading through an upload may take, half of them computing; then it is "
        "refused",
    )
    max_jobs: PositiveInt = Field(100, description="videos that may be queued at once")
    running: PositiveInt = Field(1, description="videos segmented side by side")
    min_free_bytes: NonNegativeInt = Field(
        2**30, description="disk space that uploads leave free; then they are refused"
    )
    database: str | None = Field(
        None, description="a SQLAlchemy URL; a file of SQLite beside the videos where absent"
    )


class DecodeSettings(BaseModel):
    """Where videos are decoded. What really decoded a frame is in the metrics and the summary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "gpu", "cpu"] = Field(
        "auto",
        description="auto: on the GPU where one can, else on the CPU; gpu: refuse what it cannot",
    )
    ordinal: NonNegativeInt = Field(0, description="CUDA's number of the GPU that decodes")


class Settings(BaseSettings):
    """Everything the service can be told."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="MASTREAM_", env_nested_delimiter="__", extra="forbid"
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one and prints it")
    folder: Path = Field(Path("data"), description="uploads, results and the database")
    log_level: LogLevel = "info"
    drain_seconds: PositiveFloat = Field(20.0, description="time that SIGTERM leaves to finish")
    engine: EngineSettings = EngineSettings()
    streams: StreamSettings = StreamSettings()
    videos: VideoSettings = VideoSettings()
    decode: DecodeSettings = DecodeSettings()
