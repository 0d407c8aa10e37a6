"""Uploaded videos: their limits, their files and the callbacks at their end."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, model_validator

from server.settings.group import Folder, Group


class VideoSettings(Group):
    """Limits of uploaded videos, and the places of their files."""

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
        "gain in the engine's batch, measured when the engine is warmed up",
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
    folder: Folder | None = Field(
        None,
        description="a folder for the files of all videos that the servers on one database share: "
        "then each of them works on every video; absent: each has its own, in MASTREAM_FOLDER",
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

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        """Raise ValueError unless the place of results is unambiguous."""
        if self.folder is not None and self.storage is not None:
            raise ValueError(
                "folder and storage cannot be combined: with a shared folder, results stay in it"
            )
        return self
