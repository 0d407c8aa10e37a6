"""What summary.json holds, for the OpenAPI; the file itself is written by the sink.

More fields may come: readers ignore those that they do not know.
"""

from __future__ import annotations

from pydantic import BaseModel, Field


class SummaryVideo(BaseModel):
    """The video; the size is as displayed."""

    width: int
    height: int
    pixel_aspect: str = Field(description="width of a pixel by its height, a fraction")
    duration: float | None = Field(description="seconds shown, the last picture included")
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
    """One frame and the class shares of its mask."""

    frame: int
    pts: str = Field(description="seconds, an exact fraction")
    time: float = Field(description="seconds")
    memory: int = Field(description="frames that the memory held")
    areas: dict[str, float] = Field(description="share of each class that is seen, 0 to 1")
    damaged: bool = Field(False, description="whether the picture is partly guessed")


class LossesBody(BaseModel):
    """What could not be decoded of a video; all 0 if it is whole."""

    undecodable: int = Field(description="packets that the decoder refused")
    damaged: int = Field(description="pictures that are partly guessed; they have masks")
    missing: int = Field(description="pictures that never came, though their packets are there")


class SummaryTotals(BaseModel):
    """All frames together."""

    frames: int
    areas: dict[str, float] = Field(description="mean share of each class")
    seen: dict[str, int] = Field(description="frames in which each class is seen")
    decoders: dict[str, int] = Field(description="frames that each decoder decoded")
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
    """What was seen when, as numbers."""

    model: dict[str, object] = Field(description="what the model's artefact says of itself")
    video: SummaryVideo
    classes: list[SummaryClass]
    frames: list[SummaryFrame]
    totals: SummaryTotals
    resets: list[SummaryReset]
    timing: dict[str, SummaryTiming] = Field(description="by stage")
