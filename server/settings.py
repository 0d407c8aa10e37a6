"""Settings: small frozen values, validated on creation, read from the environment by the commands.

Every field is set by ``MASTREAM_<FIELD>``, nested ones by ``MASTREAM_<GROUP>__<FIELD>``:
``MASTREAM_PORT=9000``, ``MASTREAM_VIDEOS__MAX_BYTES=1000000``. Nothing reads them globally: the
entry point makes one Settings and passes each part the group that it needs. Unknown fields of a
group are errors.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

LogFormat = Literal["console", "json"]

LogLevel = Literal["critical", "error", "warning", "info", "debug"]

Provider = Literal["auto", "tensorrt", "cuda", "cpu"]

PlanPrecision = Literal["fp16", "fp32", "off"]

STREAM_BYTES = 64 * 2**20
TOTAL_BYTES = 2**30


class EngineSettings(BaseModel):
    """Which engine runs the model, and with how many streams, devices and threads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("onnx_rt", description="a row of server.engines.ENGINES")
    model: Path | None = Field(None, description="artefact; the shipped model if absent")
    provider: Provider = Field(
        "auto",
        description="what computes; auto takes the first of the others that works here. A provider "
        "that is named and does not work is an error",
    )
    devices: str = Field(
        "auto",
        pattern=r"^(auto|\d+(,\d+)*)$",
        description="CUDA's numbers of the GPUs that serve, such as 0,1, with one engine each; "
        "auto uses all of them. If devices are named, there is no fallback to the CPU",
    )
    cache: Path | None = Field(
        None, description="folder of built TensorRT plans; the model's folder if absent"
    )
    plan: PlanPrecision = Field(
        "fp16",
        description="precision of the TensorRT plan that onnx_rt with provider auto switches to "
        "while it serves; it is built if there is none, except for `segment`. A model quantised "
        "(Q/DQ) for TensorRT keeps its int8 or fp8; the uint8 levels of a model for ONNX Runtime, "
        "such as the shipped one, are dropped. off: no plan is used",
    )
    max_batch: PositiveInt = Field(4, description="most streams in one step")
    threads: PositiveInt | None = Field(None, description="compute threads; all cores if absent")
    step_deadline: PositiveFloat | None = Field(
        None,
        description="seconds after which the engine of an unfinished step counts as dead; if "
        "absent, ten times the slowest step so far, and at least 2 s",
    )
    fake_step_ms: float = Field(0.0, ge=0, description="duration of the fake engine's step")
    fake_height: PositiveInt = Field(352, description="height of the fake engine's frames")
    fake_width: PositiveInt = Field(480, description="width of the fake engine's frames")

    @property
    def needs_gpu(self) -> bool:
        """Return whether a GPU was requested, so that having none is an error."""
        return self.provider in ("tensorrt", "cuda") or self.devices != "auto"

    @property
    def device(self) -> int:
        """Return the GPU of one engine: the first of ``devices``."""
        return 0 if self.devices == "auto" else int(self.devices.split(",")[0])


class StreamSettings(BaseModel):
    """Limits of one stream socket, and of all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sessions: PositiveInt = 64
    window: PositiveInt = Field(8, description="frames of one stream that may be unanswered")
    outbox: PositiveInt = Field(8, description="masks that wait for a client that reads slowly")
    stream_bytes: PositiveInt = Field(
        STREAM_BYTES, description="bytes that the pictures and masks of one stream may hold"
    )
    total_bytes: PositiveInt = Field(
        TOTAL_BYTES,
        description="bytes that messages, pictures and masks of all streams may hold; beyond that, "
        "a stream is read only while nothing of its own is on the way",
    )
    max_message_bytes: PositiveInt = 32 * 2**20
    max_pixels: PositiveInt = Field(4096 * 4096, description="pixels of one pushed picture")
    idle_seconds: PositiveFloat = Field(
        60.0, description="seconds without a message after which a stream is closed with 4408"
    )
    slow_seconds: PositiveFloat = Field(
        10.0, description="seconds without reading after which a stream is closed with 4408"
    )
    open_seconds: PositiveFloat = Field(
        1.0, description="seconds to wait for `open` before the defaults are assumed"
    )
    record: bool = Field(
        False, description="whether streams may be recorded; a recording holds their pictures"
    )
    record_bytes: PositiveInt = Field(256 * 2**20, description="bytes of one recording")
    record_seconds: PositiveFloat = Field(300.0, description="seconds of one recording")
    record_total_bytes: PositiveInt = Field(
        2**30, description="bytes of all recordings; the oldest are removed to stay within it"
    )
    resume_seconds: NonNegativeFloat = Field(
        30.0,
        description="seconds that the session of a lost socket waits to be resumed; 0: it is "
        "closed at once. What waits holds at most a quarter of total_bytes, and so do the answers "
        "that are kept to be sent again",
    )


class VideoSettings(BaseModel):
    """Limits of uploaded videos and where they are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: PositiveInt = 2 * 2**30
    max_seconds: PositiveFloat = 4 * 3600.0
    max_frames: PositiveInt = 1_000_000
    max_pixels: PositiveInt = 4096 * 4096
    probe_bytes: PositiveInt = Field(
        2**30, description="bytes of memory that opening an upload may take before it is refused"
    )
    probe_seconds: PositiveFloat = Field(
        60.0,
        description="seconds that reading an upload may take before it is refused; at most half "
        "of them may be CPU time",
    )
    max_jobs: PositiveInt = Field(100, description="videos that may be queued at once")
    max_uploads: PositiveInt = Field(
        100, description="uploads in parts that may be unfinished at once"
    )
    unfinished_bytes: PositiveInt = Field(
        16 * 2**30, description="bytes of all unfinished uploads, when they are complete"
    )
    upload_seconds: PositiveFloat = Field(
        24 * 3600.0, description="seconds after its last byte until an unfinished upload is removed"
    )
    running: PositiveInt = Field(1, description="videos segmented at the same time")
    piece_frames: PositiveInt = Field(
        250,
        description="frames that a piece of a video has at least; after a crash, only the pieces "
        "that were not finished are segmented again",
    )
    lanes: PositiveInt | None = Field(
        None,
        description="pieces of one video segmented at the same time; if absent, as many as bring a "
        "gain in the engine's batch, measured with the first video of several pieces",
    )
    share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the engine's steps that videos get at least while live streams need "
        "all of them",
    )
    min_free_bytes: NonNegativeInt = Field(
        2**30, description="free disk space below which uploads are refused"
    )
    ttl_seconds: PositiveFloat | None = Field(
        None, description="seconds after its end until a video is removed; never if absent"
    )
    max_videos: PositiveInt | None = Field(
        None, description="videos that are kept, those that have not ended included"
    )
    max_total_bytes: PositiveInt | None = Field(
        None, description="bytes that the uploads and results of all videos may hold"
    )
    when_full: Literal["refuse", "oldest"] = Field(
        "refuse",
        description="what happens at max_videos and max_total_bytes: another upload is refused, or "
        "the videos that ended first are removed",
    )
    callback_hosts: tuple[str, ...] = Field(
        (), description="hosts, or host:port, that a callback_url may name"
    )
    callback_secret: SecretStr | None = Field(
        None,
        description="signs callbacks: whsec_ and 24 to 64 random bytes in Base64; needed if "
        "callback_hosts has any",
    )
    keep_uploads: bool = Field(
        True, description="keep the uploaded file of a video that has succeeded, for its player"
    )
    pause_free_bytes: NonNegativeInt = Field(
        256 * 2**20,
        description="free disk space below which videos pause; they continue once twice as much is "
        "free",
    )
    storage: str | None = Field(
        None,
        description="a URL for fsspec, such as s3://bucket/folder, to which the files of videos "
        "that have succeeded are moved; absent: they stay where they are",
    )
    database: str | None = Field(
        None, description="a SQLAlchemy URL; an SQLite file next to the videos if absent"
    )

    @model_validator(mode="after")
    def _check_callbacks(self) -> Self:
        """Raise ValueError unless callbacks can be signed."""
        given = self.callback_secret
        secret = None if given is None else given.get_secret_value()
        if secret is not None and not re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,88}={0,2}", secret):
            raise ValueError(
                "callback_secret must be whsec_ and 24 to 64 random bytes in Base64: "
                "make one with `echo whsec_$(openssl rand -base64 32)`"
            )
        if self.callback_hosts and secret is None:
            raise ValueError("callback_hosts needs a callback_secret, which signs the calls")
        return self


class LiveSettings(BaseModel):
    """Streams that the server pulls itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_streams: PositiveInt = 64
    schemes: tuple[str, ...] = Field(
        ("rtsp", "rtsps", "http", "https"), description="of the addresses that may be opened"
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
    connect_seconds: PositiveFloat = Field(10.0, description="until a stream's first picture")
    stall_seconds: PositiveFloat = Field(3.0, description="without a picture; then it is stalled")
    give_up_seconds: PositiveFloat = Field(7.0, description="stalled; then it is opened again")
    backoff_seconds: PositiveFloat = Field(1.0, description="the shortest wait before a retry")
    longest_backoff_seconds: PositiveFloat = 30.0
    refused_seconds: PositiveFloat = Field(
        60.0, description="before a retry after a refusal (wrong password, no such path)"
    )

    @field_validator("networks")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Raise ValueError unless each is a network."""
        for network in networks or ():
            ip_network(network)
        return networks


class SecuritySettings(BaseModel):
    """Who may use the server, and how they connect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    certificate: Path | None = Field(None, description="PEM file; the server then speaks TLS")
    private_key: Path | None = Field(None, description="PEM file of the certificate's key")
    proxies: str = Field(
        "127.0.0.1",
        description="addresses, comma-separated, of proxies whose X-Forwarded-For and -Proto are "
        "believed; * for all",
    )


class LimitSettings(BaseModel):
    """What one client, and all together, may have at once; further totals are in other groups.

    A client is an API key or, for pushed streams where none is required, an address. If absent, a
    client may have all that there is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class ClusterSettings(BaseModel):
    """How clients and other servers on the same database reach this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    advertise: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
        description="this server's own address for clients, such as https://a.example:8443; "
        "without it, no client is sent here by another server",
    )
    node: str | None = Field(
        None, max_length=255, description="name of the machine; its host name if absent"
    )


class DecodeSettings(BaseModel):
    """Where videos are decoded; metrics and summary show what actually decoded each frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "gpu", "cpu"] = Field(
        "auto",
        description="auto: on the GPU if it can decode the video, otherwise on the CPU; gpu: "
        "refuse videos that the GPU cannot decode",
    )
    ordinal: NonNegativeInt = Field(0, description="CUDA's number of the GPU that decodes")


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="MASTREAM_", env_nested_delimiter="__", extra="forbid"
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 chooses a free port and prints it")
    folder: Path = Field(Path("data"), description="uploads, results and the database")
    log_level: LogLevel = "info"
    log_format: LogFormat = Field(
        "console", description="of the log's lines: for people, or one JSON object per line"
    )
    drain_seconds: PositiveFloat = Field(20.0, description="seconds to finish after SIGTERM")
    engine: EngineSettings = EngineSettings()
    streams: StreamSettings = StreamSettings()
    videos: VideoSettings = VideoSettings()
    live: LiveSettings = LiveSettings()
    decode: DecodeSettings = DecodeSettings()
    security: SecuritySettings = SecuritySettings()
    limits: LimitSettings = LimitSettings()
    cluster: ClusterSettings = ClusterSettings()
