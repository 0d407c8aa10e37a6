"""The places of the files of uploaded videos, and which of them a video's state keeps.

``<video>/upload`` is kept until the video has ended, and afterwards too if it has succeeded and
uploads are kept; ``<video>/pieces/<piece>`` until it has ended and nobody reads them, which servers
that share the folder learn from ``<video>/pieces/viewed``; ``<video>/<results>/<artefact>`` once it
has succeeded. The server that joins the pieces writes ``results`` under a name with its epoch, and
the video's row names the valid ones. So a server that was believed dead cannot damage valid files,
not even when it removes those of an older attempt.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from server.database.video_record import VideoState
from server.videos.growing import empty_overlays
from server.videos.viewers import Viewers

RESULTS = "results"
"""The beginning of the name of every folder with results."""

VIEWED = "viewed"
"""The file next to the pieces whose time says when somebody last read them."""

_log = logging.getLogger(__name__)


class Places:
    """The folders of videos in one folder. Synchronous; used by one thread at a time."""

    def __init__(self, folder: Path, *, keep_uploads: bool) -> None:
        self.folder = folder
        self.viewers = Viewers()
        self._keep_uploads = keep_uploads

    def upload(self, video: str) -> Path:
        return self.folder / video / "upload"

    def pieces(self, video: str) -> Path:
        return self.folder / video / "pieces"

    def results(self, video: str, name: str) -> Path:
        return self.folder / video / name

    def keeps_upload(self, state: VideoState) -> bool:
        """Return whether the file of a video in this state is kept."""
        return not state.ended or (state is VideoState.SUCCEEDED and self._keep_uploads)

    def bytes_kept(self, video: str, results: str) -> int:
        """Return how many bytes the files hold that a video keeps when it has succeeded with these
        results."""
        kept = [*self.results(video, results).glob("*")]
        kept += [self.upload(video)] if self.keeps_upload(VideoState.SUCCEEDED) else []
        return sum(file.stat().st_size for file in kept if file.is_file())

    def was_segmented(self, video: str) -> bool:
        """Return whether there are pieces or results of a video."""
        return self.pieces(video).exists() or any(self.folder.glob(f"{video}/{RESULTS}*"))

    def changed(self, video: str) -> float:
        """Return when the folder of a video or its upload was last changed, in seconds since the
        epoch; 0 if there is neither."""
        paths = (self.folder / video, self.upload(video))
        return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)

    def remove_results_before(self, video: str, name: str) -> None:
        """Remove the results of a video that was not joined to its end before those of this
        ``name``."""
        for folder in self.folder.glob(f"{video}/{RESULTS}*"):
            if results_epoch(folder.name) < results_epoch(name):
                shutil.rmtree(folder, ignore_errors=True)

    def clear(self, video: str) -> None:
        """Remove all files of a video; their space is free at once, also if a viewer still has an
        overlay open."""
        empty_overlays(self.folder / video)
        shutil.rmtree(self.folder / video, ignore_errors=True)

    def settle(self, video: str, state: VideoState | None, results: str = RESULTS) -> None:
        """Remove the files that a video in this state does not keep; None is an unknown video, and
        ``results`` names the valid ones if it has succeeded.

        Files that cannot be removed are left for the next start.
        """
        if state is VideoState.SUCCEEDED:
            self.settle_pieces(video)
            for folder in self.folder.glob(f"{video}/{RESULTS}*"):
                if folder.name != results:
                    shutil.rmtree(folder, ignore_errors=True)
            if not self.keeps_upload(state):
                _remove(self.upload(video))
        elif state is None or state.ended:
            shutil.rmtree(self.folder / video, ignore_errors=True)

    def note_viewers(self, now: float) -> None:
        """Let other servers know which videos are read here ``now``, in seconds since the epoch."""
        for video in self.viewers.watched():
            with suppress(OSError):  # there are no pieces any more, or none yet
                self._viewed(video).touch()
                os.utime(self._viewed(video), (now, now))

    def last_viewed(self, video: str) -> float | None:
        """Return when the pieces of a video were last read on any server; None if never."""
        try:
            return self._viewed(video).stat().st_mtime
        except OSError:
            return None

    def _viewed(self, video: str) -> Path:
        return self.pieces(video) / VIEWED

    def settle_pieces(self, video: str) -> None:
        """Remove the pieces of a video that has succeeded, once nobody reads them here."""
        remove = partial(shutil.rmtree, self.pieces(video), ignore_errors=True)
        self.viewers.after_last(video, remove)


def results_name(epoch: int) -> str:
    """Return the name of the folder for the results of joining the pieces under an epoch."""
    return f"{RESULTS}.e{epoch}"


def results_epoch(name: str) -> int:
    """Return the epoch in the name of a folder with results; 0 for those of versions without
    epochs."""
    return int(name.rpartition(".e")[2]) if ".e" in name else 0


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        _log.exception("%s cannot be removed", file)
