"""Where pictures of videos are decoded."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from server.settings.group import Group


class DecodeSettings(Group):
    """Where videos are decoded; metrics and summary show what actually decoded each frame."""

    device: Literal["auto", "gpu", "cpu"] = Field(
        "auto",
        description="auto: on the GPU if it can decode the video, otherwise on the CPU; gpu: "
        "refuse videos that the GPU cannot decode",
    )
    ordinal: NonNegativeInt = Field(0, description="CUDA's number of the GPU that decodes")
    sandbox: bool = Field(
        False,
        description="whether each uploaded video is decoded on the CPU by a process of its own "
        "that can reach nothing but the video's bytes; Linux on x86-64 or aarch64",
    )
    sandbox_cameras: bool = Field(
        False, description="whether pulled streams are decoded in such processes, too"
    )
    sandbox_bytes: PositiveInt = Field(2**31, description="bytes of memory of such a process")
    sandbox_seconds: PositiveFloat = Field(
        60.0, description="seconds without a sign of life after which such a process is ended"
    )

    @model_validator(mode="after")
    def _decodes_in_one_place(self) -> Self:
        if self.sandbox and self.device == "gpu":
            raise ValueError(
                "A sandbox decodes on the CPU: set MASTREAM_DECODE__DEVICE to auto, or "
                "MASTREAM_DECODE__SANDBOX to false."
            )
        if self.sandbox_cameras and not self.sandbox:
            raise ValueError(
                "The sandbox of cameras is that of videos: set MASTREAM_DECODE__SANDBOX to true, "
                "or MASTREAM_DECODE__SANDBOX_CAMERAS to false."
            )
        return self
