"""summary.json: which classes are present at which time, as numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.spec import ModelSpec
from server.frame import Losses, VideoInfo
from server.sinks.areas import areas
from server.sinks.artefacts import Segmented, TextArtefact
from server.sinks.style import Style
from server.sinks.totals import Totals

_TOTALS = '{"totals": '
"""The beginning of a part's last line; the other lines are rows."""


class Summary(TextArtefact):
    """One JSON object, written row by row, so that memory does not grow with the video.

    ``model``, ``video`` and ``classes`` describe the input. ``frames`` has for each frame its
    number, ``pts`` (exact seconds, a fraction as text), ``time`` (seconds), how many frames the
    memory held, ``areas`` (class: share of the model's mask), and ``damaged`` if it is. ``totals``
    has the number of frames, mean areas, the number of frames in which each class is present, the
    number of frames per decoder, and ``losses``, the parts that could not be decoded. ``resets``
    lists the frames before which the memory was emptied, and why; ``timing`` has the mean and
    largest milliseconds of each stage.

    A part has one JSON object per line: the rows, then the sums over them.
    """

    def __init__(self, path: Path, spec: ModelSpec, _info: VideoInfo, _style: Style) -> None:
        self._names = [label.name for label in spec.classes]
        self._totals = Totals()
        self._file = path.open("w", encoding="utf-8")

    def add(self, segmented: Segmented) -> None:
        mask = segmented.mask
        shares = {name: share for name, share in areas(mask.labels, self._names).items() if share}
        row = {
            "frame": mask.frame.seq,
            "pts": str(segmented.pts),
            "time": round(float(segmented.pts), 6),
            "memory": mask.filled,
            "areas": shares,
        }
        if mask.frame.damaged:
            row["damaged"] = True
        self._file.write(json.dumps(row) + "\n")
        self._totals.add(mask, shares)

    def note(self, losses: Losses) -> None:
        self._totals.note(losses)

    def finish(self) -> None:
        self._file.write(_TOTALS + json.dumps(self._totals.to_part()) + "}\n")
        super().finish()

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, spec: ModelSpec, info: VideoInfo, _style: Style
    ) -> None:
        totals = Totals()
        head = json.dumps(_head(spec, info), indent=1)
        with path.open("w", encoding="utf-8") as file:
            file.write(head.removesuffix("\n}") + ',\n "frames": [')
            for number, row in enumerate(_rows(parts, totals)):
                file.write(("," if number else "") + "\n  " + row)
            tail = json.dumps(totals.to_dict(), indent=1)
            file.write("\n ],\n" + tail.removeprefix("{\n") + "\n")


def _rows(parts: Sequence[Path], totals: Totals) -> Iterator[str]:
    """Yield the rows of all parts, as text; add the parts' sums to ``totals``."""
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith(_TOTALS):
                    totals.merge(json.loads(line)["totals"])
                else:
                    yield line.rstrip("\n")


def _head(spec: ModelSpec, info: VideoInfo) -> dict[str, Any]:
    model = ("name", "head", "backbone", "preset", "dataset", "licence", "fingerprint")
    return {
        "model": {key: getattr(spec, key) for key in model},
        "video": {
            "width": info.width,
            "height": info.height,
            "pixel_aspect": str(info.pixel_aspect),
            "duration": info.duration,
            "rate": str(info.rate),
            "time_base": str(info.time_base),
            "rotation": info.rotation,
            "hdr": info.hdr,
            "codec": info.codec,
        },
        "classes": [asdict(label) for label in spec.classes],
    }
