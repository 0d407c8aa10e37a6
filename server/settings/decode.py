"""Where pictures of videos are decoded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from server.settings.group import Group


class DecodeSettings(Group):
    """Where videos are decoded; metrics and summary show what actually decoded each frame."""

    device: Literal["auto", "gpu", "cpu"] = Field(
        "auto",
        description="auto: on the GPU if it can decode the video, otherwise on the CPU; gpu: "
        "refuse videos that the GPU cannot decode",
    )
    ordinal: NonNegativeInt = Field(0, description="CUDA's number of the GPU that decodes")
