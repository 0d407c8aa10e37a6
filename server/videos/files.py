"""Rows and files of uploaded videos, kept consistent.

A video's state determines its files, as :mod:`server.videos.places` describes. An upload that
arrives in parts has the same file before there is a video.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.admission import Limit
from server.database.callbacks import CallbackRows
from server.database.pieces import PieceRows
from server.database.uploads import UploadRows
from server.database.video_record import VideoRecord, VideoState
from server.database.videos import VideoRows
from server.errors import Fault, NoCapacity, Unavailable
from server.frame import Losses
from server.settings import VideoSettings
from server.sinks.recorder import PARTIAL
from server.videos.disk_space import free_bytes
from server.videos.growing import Part, PartOf
from server.videos.ledger import newest_attempt
from server.videos.places import Places
from server.videos.quota import Quota, expired, fits, surplus
from server.videos.removed_marks import RemovedMarks

MAX_ATTEMPTS = 3
_log = logging.getLogger(__name__)


class VideoFiles:
    """One folder and one row per video. Synchronous; used by one thread at a time.

    Every change of state is made in the store first; if the store refuses it, no file is touched.
    """

    def __init__(
        self,
        store: VideoRows,
        folder: Path,
        settings: VideoSettings,
        most_of_one: int | None = None,
    ) -> None:
        self.store = store
        self.uploads = UploadRows(store.database, store.seal, store.server)
        self.piece_rows = PieceRows(store.database)
        self.owner = f"{socket.gethostname()}:{folder.resolve()}"[:255]
        """Whose pieces are those of this server: only one at a time uses the folder."""
        self.places = Places(folder, keep_uploads=settings.keep_uploads)
        self.folder = self._folder = folder
        self._settings = settings
        self._limit = Limit("videos that wait or run", most_of_one)
        self.removed = RemovedMarks(folder.with_name(f"{folder.name}.removed"))
        self._quota = Quota(
            settings.max_videos,
            settings.max_total_bytes,
            settings.ttl_seconds,
            oldest_first=settings.when_full == "oldest",
        )

    def upload(self, video: str) -> Path:
        return self.places.upload(video)

    def pieces(self, video: str) -> Path:
        return self.places.pieces(video)

    def results(self, video: str) -> Path:
        return self.places.results(video)

    def parts(self, video: str, name: str) -> PartOf:
        """Return where the parts of an artefact are while the video runs."""
        planned: int | None = None

        def part_of(number: int) -> Part | None:
            nonlocal planned
            with suppress(Unavailable):  # the number of pieces that was known before holds
                record = self.store.get(video)
                planned = 0 if record is None else record.pieces
            if planned is not None and number >= planned:
                return None
            folder = newest_attempt(self.pieces(video), number)
            return Part(folder / name, folder / (name + PARTIAL))

        return part_of

    def keeps_upload(self, state: VideoState) -> bool:
        """Return whether the file of a video in this state is kept."""
        return self.places.keeps_upload(state)

    def expires(self, record: VideoRecord) -> float | None:
        """Return when a video is removed, in seconds since the epoch; None if that is unknown."""
        ttl = self._settings.ttl_seconds
        return None if ttl is None or record.ended is None else record.ended + ttl

    def recover(self, now: float) -> int:
        """Queue the videos that a dead process left running and remove stale files.

        Return how many videos are queued.
        """
        gave_up = Fault(
            f"The server died {MAX_ATTEMPTS} times while it opened or joined this video: check its "
            "log."
        )
        self.store.recover(now, MAX_ATTEMPTS, gave_up.problem())
        self.uploads.adopt()
        self.uploads.seal_all()
        CallbackRows(self.store.database, self.store.seal).seal_all()
        self._measure_results()
        self.piece_rows.free_all(self.owner)
        self._folder.mkdir(parents=True, exist_ok=True)
        states = self.store.states()
        arriving = {record.id for record in self.uploads.unfinished()} - states.keys()
        known = bool(states or arriving)
        for folder in list(self._folder.iterdir()):
            if folder.name in arriving:
                continue
            if folder.name not in states and self._may_be_anothers(folder.name, known=known):
                _log.warning("%s belongs to no video in this database: it is kept", folder)
            else:
                self.places.settle(folder.name, states.get(folder.name))
        return self.store.count(VideoState.QUEUED)

    def _measure_results(self) -> None:
        """Store how many bytes the results hold that an older version has made."""
        for one in self.store.kept():
            if one.ended is not None and not one.nbytes and self.results(one.id).exists():
                self.store.set_stored(one.id, self.places.bytes_kept(one.id))

    def _may_be_anothers(self, video: str, *, known: bool) -> bool:
        """Return whether a folder without a row may belong to another database: an interrupted
        upload leaves no results or pieces, and a database that knows none proves nothing."""
        return not known or self.results(video).exists() or self.pieces(video).exists()

    def check_room(self, size: int) -> None:
        """Raise NoCapacity if ``size`` more bytes would leave the disk nearly full."""
        if free_bytes(self._folder) - size < self._settings.min_free_bytes:
            raise NoCapacity("The server's disk is nearly full: remove videos, or try again later.")

    def check_capacity(self, size: int, key: str | None, owner: str = "") -> None:
        """Raise TooMany if the owner has enough videos that wait or run, and NoCapacity if there is
        no room for an upload on the disk, in the queue or in the quota.

        An upload that was queued before with the same key needs no room in the queue, and none
        among the videos.
        """
        self.check_room(size)
        if key is not None and self.store.by_key(key) is not None:
            return
        if not fits(self.store.kept(), self._quota, size):
            raise NoCapacity("The server keeps no more videos: remove some, or try again later.")
        self._check_owner(owner)
        if self.store.count(VideoState.QUEUED) >= self._settings.max_jobs:
            raise NoCapacity(
                f"{self._settings.max_jobs} videos are queued already: try again later."
            )

    def place(self, video: str) -> Path:
        """Make a new video's folder; return the path for its bytes."""
        self.upload(video).parent.mkdir()
        return self.upload(video)

    def add(self, record: VideoRecord, callback_url: str | None = None) -> None:
        """Queue a video whose bytes are in its file, and remove the videos in whose place it comes.

        Raises as :meth:`VideoRows.add`, and TooMany if its owner has enough that wait or run.
        """
        self._check_owner(record.owner)
        self.store.add(record, self._settings.max_jobs, callback_url)
        self._remove_surplus(record.id)

    def _check_owner(self, owner: str) -> None:
        if owner and self._limit.each is not None:
            self._limit.check(self.store.count_of(owner), 0)

    def discard_unless_added(self, video: str) -> None:
        if self.store.get(video) is None:
            self.places.settle(video, None)

    def put_back(self, video: str) -> None:
        """Queue a running video again, to be segmented from its first frame."""
        if self.store.release(video):
            self.places.settle(video, VideoState.QUEUED)

    def end(
        self,
        video: str,
        state: VideoState,
        now: float,
        frames: int,
        problem: Mapping[str, Any] | None = None,
        losses: Losses | None = None,
    ) -> None:
        """Mark a running video as succeeded or failed, unless it was cancelled meanwhile.

        If it has already ended, its files become those of its state: a store that fails may have
        made the change before.
        """
        stored = self.places.bytes_kept(video) if state is VideoState.SUCCEEDED else 0
        if self.store.finish(video, state, now, frames, problem, losses, stored):
            self.places.settle(video, state)
            self._remove_surplus(video)
        else:
            stored_as = self.store.get(video)
            self.places.settle(video, None if stored_as is None else stored_as.state)

    def clear(self, video: str) -> None:
        """Remove the files of a video that was cancelled; their space is free at once, also if a
        viewer still has an overlay open."""
        self.places.clear(video)

    def expire(self, now: float) -> list[str]:
        """Remove the videos whose time is up; return their ids."""
        removed = expired(self.store.kept(), self._quota, now) if self._quota.ttl else []
        for video in removed:
            _log.info("video %s has expired", video)
            self.remove(video)
        return removed

    def remove(self, video: str) -> None:
        """Remove a video that has ended, with its row and files."""
        if self._settings.storage:
            self.removed.note(video)
        if self.store.remove(video):
            self.places.settle(video, None)

    def _remove_surplus(self, spared: str) -> None:
        for video in surplus(self.store.kept(), self._quota, spared):
            _log.info("video %s makes room for %s", video, spared)
            self.remove(video)
