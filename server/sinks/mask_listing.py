"""masks.json: a COCO data set of a video's masks, for pycocotools and the tools built on it.

In the document all images precede all annotations, so it is made when all frames are known, from
parts that have one line per frame. Memory does not grow with the video.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from models.spec import ModelSpec
from server.frame import VideoInfo
from server.sinks.artefacts import Segmented, TextArtefact
from server.sinks.coco_rle import Region, regions
from server.sinks.style import Style

LABELS = 256
"""Annotation ids count in steps of this: the id of frame f and class c is 256 f + c + 1."""


class MaskListing(TextArtefact):
    """A part has one line per frame: its image, a tab, and its annotations, as JSON with commas
    between them. So joining parses nothing.

    Regions are at the video's size; classes that ``style`` does not show have none. A category's id
    is the class's index, which is its value in masks.mkv; an image's id is the frame's number, and
    its ``file_name`` the member of masks.zip.
    """

    def __init__(self, path: Path, spec: ModelSpec, info: VideoInfo, style: Style) -> None:
        self._size = (info.height, info.width)
        self._shown = frozenset(style.shown(spec.classes))
        self._file = path.open("w", encoding="utf-8")

    def add(self, segmented: Segmented) -> None:
        seq = segmented.mask.frame.seq
        annotations = (
            _text(_annotation(seq, region, self._size))
            for region in regions(segmented.labels)
            if region.label in self._shown
        )
        image = _text(self._image(seq, segmented))
        self._file.write(image + "\t" + ",".join(annotations) + "\n")

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, spec: ModelSpec, _info: VideoInfo, style: Style
    ) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.write('{"info":' + json.dumps({"description": f"Masks by {spec.name}"}))
            file.write(',\n"categories":' + json.dumps(_categories(spec, style)))
            file.write(',\n"images":[')
            _write_lines(file, (image for image, _ in _frames(parts)))
            file.write('],\n"annotations":[')
            _write_lines(file, (annotations for _, annotations in _frames(parts) if annotations))
            file.write("]}\n")

    def _image(self, seq: int, segmented: Segmented) -> dict[str, Any]:
        height, width = self._size
        return {
            "id": seq,
            "file_name": f"{seq:06d}.png",
            "width": width,
            "height": height,
            "pts": str(segmented.pts),
            "time": round(float(segmented.pts), 6),
        }


def _annotation(seq: int, region: Region, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": seq * LABELS + region.label + 1,
        "image_id": seq,
        "category_id": region.label,
        "segmentation": {"size": list(size), "counts": region.counts},
        "area": region.area,
        "bbox": list(region.box),
        "iscrowd": 0,
    }


def _categories(spec: ModelSpec, style: Style) -> list[dict[str, Any]]:
    return [
        {"id": index, "name": spec.classes[index].name, "colour": spec.classes[index].colour}
        for index in style.shown(spec.classes)
    ]


def _frames(parts: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the image and the annotations of each frame."""
    for part in parts:
        with part.open(encoding="utf-8") as file:
            for line in file:
                image, _, annotations = line.rstrip("\n").partition("\t")
                yield image, annotations


def _write_lines(file: TextIO, items: Iterator[str]) -> None:
    separator = "\n"
    for item in items:
        file.write(separator + item)
        separator = ",\n"


def _text(item: dict[str, Any]) -> str:
    return json.dumps(item, separators=(",", ":"))
