"""The contract of an artefact: a file made from a video's masks, written in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TextIO

from models.spec import ModelSpec
from server.frame import Labels, Losses, Mask, VideoInfo
from server.sinks.style import Style


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """One segmented picture: ``labels`` at the video's size, ``pts`` in seconds.

    ``duration`` is how long it is shown if no other picture follows, in seconds; None if unknown.
    """

    mask: Mask
    labels: Labels
    pts: Fraction
    duration: Fraction | None = None


class Artefact(ABC):
    """One part of an artefact: a file that grows with the masks of one piece of a video.

    :meth:`join` makes the artefact from the parts of all pieces. A part may have another format
    than the artefact. Its bytes depend only on the arguments, the pictures and the losses, so that
    a part written again, on another lane or after a crash, is the same. Errors of the file or
    encoder are not translated.
    """

    @abstractmethod
    def __init__(self, path: Path, spec: ModelSpec, info: VideoInfo, style: Style) -> None:
        """Create the file ``path`` for labels of the model's classes and a video's pictures, with
        the classes that ``style`` shows. Raises BadRequest if the model lacks one of them."""

    @abstractmethod
    def add(self, segmented: Segmented) -> None:
        """Append one picture; pictures come in display order."""

    def note(self, losses: Losses) -> None:  # noqa: B027  most have no place for it
        """Record the piece's losses; called once, before :meth:`finish`."""

    @abstractmethod
    def finish(self) -> None:
        """Complete and close the file."""

    @abstractmethod
    def discard(self) -> None:
        """Close the file without completing it. Does nothing after :meth:`finish`."""

    @classmethod
    @abstractmethod
    def join(
        cls, parts: Sequence[Path], path: Path, spec: ModelSpec, info: VideoInfo, style: Style
    ) -> None:
        """Write the artefact ``path`` from finished parts, in order, encoding nothing again.

        The parts are not changed. ``path`` is a new file in the same file system.
        """


class TextArtefact(Artefact):
    """An artefact whose parts are text in UTF-8, which a subclass writes to ``_file``."""

    _file: TextIO

    def finish(self) -> None:
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()


class Replacing:
    """A block that atomically replaces a file: entering it returns the path to write to; at the
    end, that file replaces ``path``, or is removed after an error.

    Not a generator: its frame and the error would refer to each other, which keeps the pictures in
    the frames below alive until the garbage collector runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(path.name + ".new")

    def __enter__(self) -> Path:
        return self._fresh

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._fresh.replace(self._path)
        finally:
            self._fresh.unlink(missing_ok=True)
