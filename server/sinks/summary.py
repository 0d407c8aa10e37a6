"""summary.json: which classes are present when, as numbers."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.spec import ModelSpec
from protocol import STAGES, StageTimes
from server.frame import Losses, VideoInfo
from server.sinks.areas import areas
from server.sinks.artefacts import Artefact, Segmented


class Summary(Artefact):
    """One JSON object, written row by row, so that memory does not grow with the video.

    ``model``, ``video`` and ``classes`` describe the input. ``frames`` has for each frame its
    number, ``pts`` (exact seconds, a fraction as text), ``time`` (seconds), how many frames the
    memory held, ``areas`` (class: share of the model's mask), and ``damaged`` if it is. ``totals``
    has the number of frames, mean areas, the number of frames in which each class is present, the
    number of frames per decoder, and ``losses``, what could not be decoded. ``resets`` lists before
    which frames the memory was emptied, and why; ``timing`` has the mean and largest milliseconds
    of each stage.
    """

    def __init__(self, path: Path, spec: ModelSpec, info: VideoInfo) -> None:
        self._names = [label.name for label in spec.classes]
        self._totals = Totals()
        self._file = path.open("w", encoding="utf-8")
        head = json.dumps(_head(spec, info), indent=1)
        self._file.write(head.removesuffix("\n}") + ',\n "frames": [')

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
        self._file.write(("," if self._totals.frames else "") + "\n  " + json.dumps(row))
        self._totals.add(segmented, shares)

    def note(self, losses: Losses) -> None:
        self._totals.losses = losses

    def finish(self) -> None:
        tail = json.dumps(self._totals.to_dict(), indent=1)
        self._file.write("\n ],\n" + tail.removeprefix("{\n") + "\n")
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()


class Totals:
    """The part of the summary that is known only at the end."""

    def __init__(self) -> None:
        self.frames = 0
        self.losses = Losses()
        self._areas: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._decoders: Counter[str] = Counter()
        self._resets: list[dict[str, Any]] = []
        self._sums: dict[str, float] = {}
        self._largest: dict[str, float] = {}

    def add(self, segmented: Segmented, shares: dict[str, float]) -> None:
        mask = segmented.mask
        self.frames += 1
        self._areas.update(shares)
        self._seen.update(shares.keys())
        self._decoders[mask.frame.decoder] += 1
        if mask.reset is not None:
            self._resets.append({"frame": mask.frame.seq, "cause": mask.reset.value})
        self._time(mask.times)

    def to_dict(self) -> dict[str, Any]:
        count = max(1, self.frames)
        return {
            "totals": {
                "frames": self.frames,
                "areas": {name: round(area / count, 6) for name, area in self._areas.items()},
                "seen": dict(self._seen),
                "decoders": dict(self._decoders),
                "losses": asdict(self.losses),
            },
            "resets": self._resets,
            "timing": {
                stage: {
                    "mean_ms": round(self._sums[stage] / count, 3),
                    "max_ms": largest,
                }
                for stage, largest in self._largest.items()
            },
        }

    def _time(self, times: StageTimes) -> None:
        for stage in STAGES[: STAGES.index("encode")]:  # a video's masks are not encoded singly
            milliseconds: float = getattr(times, stage)
            self._sums[stage] = self._sums.get(stage, 0.0) + milliseconds
            self._largest[stage] = max(milliseconds, self._largest.get(stage, 0.0))


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
