"""masks.zip: one palette PNG per frame."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from models.spec import ModelSpec
from protocol.masks import encode_mask
from server.frame import VideoInfo
from server.sinks.artefacts import Artefact, Segmented
from server.sinks.overlay import palette
from server.sinks.style import Style


class MaskArchive(Artefact):
    """Palette PNGs in class colours, with exact labels, named by frame number: 000000.png, ..."""

    def __init__(self, path: Path, spec: ModelSpec, _info: VideoInfo, _style: Style) -> None:
        self._palette = palette(spec.classes)
        # PNG is already compressed, and stored members allow random access.
        self._file = path.open("wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)

    def add(self, segmented: Segmented) -> None:
        name = zipfile.ZipInfo(f"{segmented.mask.frame.seq:06d}.png")
        self._zip.writestr(name, encode_mask(segmented.labels, "png", self._palette))

    def finish(self) -> None:
        self._zip.close()
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError, ValueError):  # a full disk; a file closed by finish
            self._zip.close()
        with suppress(OSError):
            self._file.close()

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, _spec: ModelSpec, _info: VideoInfo, _style: Style
    ) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as joined:
            for part in parts:
                with zipfile.ZipFile(part) as members:
                    for member in members.infolist():
                        joined.writestr(zipfile.ZipInfo(member.filename), members.read(member))
