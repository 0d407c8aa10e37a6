"""The fields of summary.json, for the OpenAPI schema; the sink writes the file itself.

Fields may be added: readers must ignore those that they do not know.
"""

from __future__ import annotations

from pydantic import BaseModel, Field


class SummaryVideo(BaseModel):
    """The video; the size is as displayed."""

    width: int
    height: int
    pixel_aspect: str = Field(description="a pixel's width divided by its height, a fraction")
    duration: float | None = Field(description="seconds, including the last picture")
    rate: str = Field(description="frames per second, a fraction")
    time_base: str = Field(description="seconds per tick, a fraction")
    rotation: int = Field(description="degrees clockwise, already applied")
    hdr: str | None = Field(description="pq or hlg, which is tone-mapped to BT.709; else null")
    codec: str


class SummaryClass(BaseModel):
    """One class of the model."""

    name: str
    colour: list[int] = Field(description="RGB", min_length=3, max_length=3)


class SummaryFrame(BaseModel):
    """One frame and the share of each class in its mask."""

    frame: int
    pts: str = Field(description="seconds, an exact fraction")
    time: float = Field(description="seconds")
    memory: int = Field(description="number of frames that the memory held")
    areas: dict[str, float] = Field(description="share of each class present, 0 to 1")
    damaged: bool = Field(False, description="whether parts of the picture are concealed")


class LossesBody(BaseModel):
    """The parts of a video that could not be decoded; all 0 if it is intact."""

    undecodable: int = Field(description="packets that the decoder refused")
    damaged: int = Field(description="pictures that are partly concealed; they have masks")
    missing: int = Field(description="packets for which the decoder returned no picture")


class SummaryTotals(BaseModel):
    """Totals over all frames."""

    frames: int
    areas: dict[str, float] = Field(description="mean share of each class")
    seen: dict[str, int] = Field(description="number of frames in which each class is present")
    decoders: dict[str, int] = Field(description="number of frames that each decoder decoded")
    losses: LossesBody


class SummaryReset(BaseModel):
    """A frame before which the memory was emptied."""

    frame: int
    cause: str


class SummaryTiming(BaseModel):
    """How long one stage took."""

    mean_ms: float
    max_ms: float


class SummaryBody(BaseModel):
    """Which classes are present at which time, as numbers."""

    model: dict[str, object] = Field(description="the model's self-description")
    video: SummaryVideo
    classes: list[SummaryClass]
    frames: list[SummaryFrame]
    totals: SummaryTotals
    resets: list[SummaryReset]
    timing: dict[str, SummaryTiming] = Field(description="by stage")
