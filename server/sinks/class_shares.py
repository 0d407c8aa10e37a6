"""classes.csv: the share of each class over time, for a spreadsheet or a plot."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from models.spec import ModelSpec
from server.frame import VideoInfo
from server.sinks.areas import areas
from server.sinks.artefacts import Segmented, TextArtefact
from server.sinks.style import Style


class ClassShares(TextArtefact):
    """One row per frame: its number, its time in seconds, and the share of the model's mask, 0 to
    1, of each class that ``style`` shows. The parts have no header."""

    def __init__(self, path: Path, spec: ModelSpec, _info: VideoInfo, style: Style) -> None:
        self._all = [label.name for label in spec.classes]
        self._shown = [self._all[index] for index in style.shown(spec.classes)]
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")

    def add(self, segmented: Segmented) -> None:
        mask = segmented.mask
        shares = areas(mask.labels, self._all)
        row = (f"{shares[name]:.6f}" for name in self._shown)
        self._rows.writerow([mask.frame.seq, f"{float(segmented.pts):.6f}", *row])

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, spec: ModelSpec, _info: VideoInfo, style: Style
    ) -> None:
        names = [spec.classes[index].name for index in style.shown(spec.classes)]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(["frame", "time", *names])
            for part in parts:
                with part.open(encoding="utf-8", newline="") as rows:
                    shutil.copyfileobj(rows, file)
