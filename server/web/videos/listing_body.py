"""The fields of masks.json, for the OpenAPI schema; the sink writes the file itself."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ListingInfo(BaseModel):
    """The model and the program that made the masks."""

    description: str


class ListingCategory(BaseModel):
    """One class."""

    id: int = Field(description="its value in masks.mkv")
    name: str
    colour: list[int] = Field(description="RGB", min_length=3, max_length=3)


class ListingImage(BaseModel):
    """One frame."""

    id: int = Field(description="the frame's number")
    file_name: str = Field(description="its member of masks.zip")
    width: int
    height: int
    pts: str = Field(description="seconds, an exact fraction")
    time: float = Field(description="seconds")


class ListingSegmentation(BaseModel):
    """A mask in COCO's compressed run-length encoding."""

    size: list[int] = Field(description="height and width", min_length=2, max_length=2)
    counts: str


class ListingAnnotation(BaseModel):
    """The pixels of one class in one frame."""

    id: int
    image_id: int
    category_id: int
    segmentation: ListingSegmentation
    area: int = Field(description="pixels")
    bbox: list[int] = Field(description="left, top, width, height", min_length=4, max_length=4)
    iscrowd: int


class ListingBody(BaseModel):
    """A COCO data set of a video's masks."""

    info: ListingInfo
    categories: list[ListingCategory]
    images: list[ListingImage]
    annotations: list[ListingAnnotation]
