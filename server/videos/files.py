"""Rows and files of uploaded videos, kept consistent.

A video's state determines its files, as :mod:`server.videos.places` describes. An upload that
arrives in parts has the same file before there is a video.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.admission import Limit
from server.database.piece_statements import WHOLE, Held
from server.database.pieces import PieceRows
from server.database.uploads import UploadRows
from server.database.video_record import Kept, VideoRecord, VideoState
from server.database.videos import VideoRows
from server.errors import NoCapacity, Unavailable
from server.frame import Losses
from server.settings import VideoSettings
from server.sinks.recorder import PARTIAL
from server.videos.disk_space import free_bytes
from server.videos.growing import Part, PartOf
from server.videos.ledger import ALONE, SHARED, newest_attempt
from server.videos.places import RESULTS, Places
from server.videos.quota import Quota, expired, fits, lingering, lingers, surplus
from server.videos.removed_marks import RemovedMarks

_log = logging.getLogger(__name__)


class VideoFiles:
    """One folder and one row per video. Synchronous; used by one thread at a time.

    Every change of state is made in the store first; if the store refuses it, no file is touched.
    If servers share the folder, nothing is removed that another one may still need. Mutable state:
    the videos that have succeeded and whose pieces are still read.
    """

    def __init__(
        self,
        store: VideoRows,
        folder: Path,
        settings: VideoSettings,
        most_of_one: int | None = None,
    ) -> None:
        """Use ``folder``; other servers use it, too, if ``settings.folder`` is set."""
        self.store = store
        self.is_shared = settings.folder is not None
        self.uploads = UploadRows(store.database, store.seal, store.server)
        self.piece_rows = PieceRows(store.database)
        self.owner = store.server or f"{socket.gethostname()}:{folder.resolve()}"[:255]
        """The owner's name for the pieces of this server."""
        self.terms = SHARED if self.is_shared else ALONE
        self.places = Places(folder, keep_uploads=settings.keep_uploads)
        self.folder = self._folder = folder
        self.settings = settings
        self._limit = Limit("videos that wait or run", most_of_one)
        self._lingering: set[str] = set()
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

    def results(self, video: str, name: str) -> Path:
        return self.places.results(video, name)

    def parts(self, video: str, name: str) -> PartOf:
        """Return the parts of an artefact while the video runs; none before it is planned."""
        planned = 0

        def part_of(number: int) -> Part | None:
            nonlocal planned
            with suppress(Unavailable):  # the number of pieces that was known before is still valid
                record = self.store.get(video)
                planned = 0 if record is None else record.pieces or 0
            if number >= planned:
                return None
            folder = newest_attempt(self.pieces(video), number)
            return Part(folder / name, folder / (name + PARTIAL))

        return part_of

    def keeps_upload(self, state: VideoState) -> bool:
        """Return whether the file of a video in this state is kept."""
        return self.places.keeps_upload(state)

    def expires(self, record: VideoRecord) -> float | None:
        """Return when a video is removed, in seconds since the epoch; None if that is unknown."""
        ttl = self.settings.ttl_seconds
        return None if ttl is None or record.ended is None else record.ended + ttl

    def check_room(self, size: int) -> None:
        """Raise NoCapacity if ``size`` more bytes would leave the disk nearly full."""
        if free_bytes(self._folder) - size < self.settings.min_free_bytes:
            raise NoCapacity("The server's disk is nearly full: remove videos, or try again later.")

    def check_capacity(self, size: int, key: str | None, owner: str = "") -> None:
        """Raise TooMany if the owner has the maximum number of videos that wait or run, and
        NoCapacity if there is no room for an upload on the disk, in the queue or in the quota.

        An upload that was queued before with the same key needs no room in the queue, and none
        among the videos.
        """
        self.check_room(size)
        if key is not None and self.store.by_key(key) is not None:
            return
        if not fits(self.store.kept(), self._quota, size):
            raise NoCapacity("The server cannot keep more videos: remove some, or try again later.")
        self._check_owner(owner)
        if self.store.count(VideoState.QUEUED) >= self.settings.max_jobs:
            raise NoCapacity(
                f"{self.settings.max_jobs} videos are queued already: try again later."
            )

    def place(self, video: str) -> Path:
        """Make a new video's folder; return the path for its bytes."""
        self.upload(video).parent.mkdir()
        return self.upload(video)

    def add(self, record: VideoRecord, callback_url: str | None = None) -> None:
        """Queue a video whose bytes are in its file, and remove the videos that it replaces.

        Raises as :meth:`VideoRows.add`, and TooMany if its owner has the maximum that wait or run.
        """
        self._check_owner(record.owner)
        self.store.add(record, self.settings.max_jobs, callback_url)
        self._remove_surplus(record.id)

    def _check_owner(self, owner: str) -> None:
        if owner and self._limit.each is not None:
            self._limit.check(self.store.count_of(owner), 0)

    def discard_unless_added(self, video: str) -> None:
        if self.store.get(video) is None:
            self.places.settle(video, None)

    def put_back(self, video: str, running: Collection[str] = ()) -> None:
        """Release all rows that this server holds, except of the videos that are ``running`` here,
        and queue a running video again unless other servers work on it."""
        self.give_back(running)
        self.store.release(video)

    def give_back(self, running: Collection[str]) -> None:
        """Release all rows that this server holds, except of the videos that are ``running``
        here."""
        self.piece_rows.free(self.owner, running, died=False)

    def end(
        self,
        by: Held,
        state: VideoState,
        now: float,
        frames: int,
        problem: Mapping[str, Any] | None = None,
        losses: Losses | None = None,
        results: str = RESULTS,
    ) -> bool:
        """Mark a running video as succeeded or failed, unless it was cancelled meanwhile or the row
        held ``by`` this server was lost; return whether it was marked.

        Its files become those of the stored state: a failing store may have made the change before.
        """
        video, succeeded = by.video, state is VideoState.SUCCEEDED
        stored = self.places.bytes_kept(video, results) if succeeded else 0
        ended = self.store.finish(by, state, now, frames, problem, losses, stored, results)
        self.leave(video, now)
        if ended:
            self._remove_surplus(video)
        return ended

    def leave(self, video: str, now: float) -> None:
        """Remove the files that a video does not keep and on which this server has worked."""
        record = self.store.get(video)
        if record is None:
            self.places.settle(video, None)
        elif not (self.is_shared and lingers(record, self.places.last_viewed(video), now)):
            self.places.settle(video, record.state, record.results)

    def clear(self, video: str) -> None:
        """Remove the files of a video that was cancelled; their space is free at once, also if a
        viewer still has an overlay open."""
        self.places.clear(video)

    def others_work(self, whole: Held) -> bool:
        """Return whether others work on a video that this server has taken as a whole. Ask after it
        was taken: they may have begun before."""
        return any(one.held for one in self.store.standings(whole.video))

    def take_whole(self, video: str) -> Held | None:
        """Take the work on a whole video; return None if others have it."""
        row = self.piece_rows.take_whole(video, self.owner, self.terms.lease)
        return None if row is None else Held(video, WHOLE, row.epoch)

    def pieces_held(self) -> int:
        """Return how many pieces this server segments at present."""
        return self.piece_rows.count_held(self.owner)

    def expire(self, now: float) -> list[str]:
        """Remove the videos whose time is up, and the pieces that have lingered; return the ids of
        the former."""
        if not self._quota.ttl and not self.is_shared:
            return []
        kept = self.store.kept()
        removed = expired(kept, self._quota, now)
        for video in removed:
            _log.info("video %s has expired", video)
            self.remove(video)
        if self.is_shared:
            self._end_lingering(kept, now)
        return removed

    def _end_lingering(self, kept: Sequence[Kept], now: float) -> None:
        """Remove the pieces that nobody reads any more, and keep in mind those that somebody
        does."""
        self.places.note_viewers(now)
        candidates = {*lingering(kept, now), *self._lingering}
        for video in candidates:
            self.leave(video, now)
        self._lingering = {video for video in candidates if self.pieces(video).exists()}

    def remove(self, video: str) -> None:
        """Remove a video that has ended, with its row and files."""
        if self.settings.storage:
            self.removed.note(video)
        if self.store.remove(video):
            self.places.settle(video, None)

    def _remove_surplus(self, spared: str) -> None:
        for video in surplus(self.store.kept(), self._quota, spared):
            _log.info("video %s makes room for %s", video, spared)
            self.remove(video)
