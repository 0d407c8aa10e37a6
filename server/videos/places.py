"""Where the files of uploaded videos are, and which of them a video's state keeps.

``<video>/upload`` is kept until the video has ended, and afterwards too if it has succeeded and
uploads are kept; ``<video>/pieces/<piece>`` until it has ended and nobody reads them;
``<video>/results/<artefact>`` once it has succeeded.
"""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path

from server.database.video_record import VideoState
from server.videos.growing import empty_overlays
from server.videos.viewers import Viewers

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

    def results(self, video: str) -> Path:
        return self.folder / video / "results"

    def keeps_upload(self, state: VideoState) -> bool:
        """Return whether the file of a video in this state is kept."""
        return not state.ended or (state is VideoState.SUCCEEDED and self._keep_uploads)

    def bytes_kept(self, video: str) -> int:
        """Return how many bytes the files hold that a video keeps when it has succeeded."""
        kept = [*self.results(video).glob("*")]
        kept += [self.upload(video)] if self.keeps_upload(VideoState.SUCCEEDED) else []
        return sum(file.stat().st_size for file in kept if file.is_file())

    def clear(self, video: str) -> None:
        """Remove all files of a video; their space is free at once, also if a viewer still has an
        overlay open."""
        empty_overlays(self.folder / video)
        shutil.rmtree(self.folder / video, ignore_errors=True)

    def settle(self, video: str, state: VideoState | None) -> None:
        """Remove the files that a video in this state does not keep; None is an unknown video.

        Files that cannot be removed are left for the next start.
        """
        if state in (VideoState.QUEUED, VideoState.RUNNING):
            shutil.rmtree(self.results(video), ignore_errors=True)
        elif state is VideoState.SUCCEEDED:
            self.viewers.after_last(
                video, partial(shutil.rmtree, self.pieces(video), ignore_errors=True)
            )
            if not self.keeps_upload(state):
                _remove(self.upload(video))
        else:
            shutil.rmtree(self.folder / video, ignore_errors=True)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        _log.exception("%s cannot be removed", file)
