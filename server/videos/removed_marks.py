"""Marks of removed videos whose files are still to be removed from the storage."""

from __future__ import annotations

from pathlib import Path


class RemovedMarks:
    """An empty file for each such video, so that none is forgotten when the process ends.

    Synchronous; used by one thread at a time. A mark is made before the video's row is removed; a
    mark whose row still exists is ignored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, video: str) -> None:
        """Mark a video that is about to be removed."""
        self._folder.mkdir(exist_ok=True)
        (self._folder / video).touch()

    def all(self) -> list[str]:
        """Return the marked videos."""
        return [mark.name for mark in self._folder.glob("*")]

    def forget(self, video: str) -> None:
        """Remove the mark of a video."""
        (self._folder / video).unlink(missing_ok=True)
