"""Uploads that arrive in parts: the operations of /v1/uploads.

An upload has the id and the file of the video that it becomes, so completing it moves no bytes. Its
offset is the size of that file, which survives the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from models.spec import ClassLabel
from server.database.uploads import UploadRecord
from server.database.video_record import new_id
from server.errors import BadInput, Conflict, NotFound, of_problem
from server.settings import VideoSettings
from server.threads import ThreadRunner
from server.videos.files import VideoFiles
from server.videos.jobs import Jobs
from server.videos.request import VideoRequest
from server.videos.upload_turns import Turn, UploadTurns

_log = logging.getLogger(__name__)


NO_UPLOAD = "There is no such upload: it has expired, or its id is wrong."


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload and its progress: ``offset`` of its bytes are durable.

    ``expires`` is when it is removed unless more bytes arrive, in seconds since the epoch.
    """

    record: UploadRecord
    offset: int
    expires: float

    @property
    def complete(self) -> bool:
        return self.offset == self.record.length


class Uploads:
    """Unfinished uploads, from their creation to the videos that they become.

    At most ``settings.max_uploads`` are unfinished at once, with at most
    ``settings.unfinished_bytes`` together; each is removed ``settings.upload_seconds`` after its
    last byte. Mutable state: the turns of requests.
    """

    def __init__(
        self,
        jobs: Jobs,
        files: VideoFiles,
        disk: ThreadRunner,
        settings: VideoSettings,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._jobs = jobs
        self._files = files
        self._rows = files.uploads
        self._disk = disk
        self._clock = clock
        self._turns = UploadTurns()

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """Return the classes that the model distinguishes."""
        return self._jobs.classes

    async def create(self, request: VideoRequest, length: int) -> Upload:
        """Return a new upload, or the one that was created earlier with the request's key.

        Raises NoCapacity if there is no room for it, and Conflict if the key was used for another
        upload.
        """
        before = await self._before(request, length)
        if before is not None:
            return before
        size = length + await self._disk(self._promised)
        await self._jobs.arrivals.check_capacity(size, request.key, request.owner)
        now = self._clock()
        record = UploadRecord(new_id(now), length, request.to_dict(), request.key, now)
        await self._disk(self._add, record)
        return Upload(record, 0, now + self.settings.upload_seconds)

    async def find(self, upload: str) -> Upload:
        """Return an upload, even if it is on another server. Raises NotFound if there is none with
        this id."""
        found = await self._disk(self._find, upload)
        if found is None or found.expires < self._clock():
            raise NotFound(NO_UPLOAD)
        return found

    async def sync(self, upload: str) -> None:
        """Make the bytes that have arrived durable, in this request's turn."""
        await asyncio.to_thread(_sync, self.path(upload))

    def turn(self, upload: str) -> AbstractAsyncContextManager[Turn]:
        """Give an upload to one request; the one that has been writing it ends first."""
        return self._turns.take(upload)

    def path(self, upload: str) -> Path:
        """Return the file of an unfinished upload."""
        return self._files.upload(upload)

    def check_room(self, size: int) -> None:
        """Raise NoCapacity if ``size`` more bytes would leave the disk nearly full."""
        self._files.check_room(size)

    async def complete(self, upload: str) -> Upload:
        """Queue the video of a complete upload, in this request's turn. Idempotent.

        Raises the error for which it is not accepted as a video, also if called again, and
        NoCapacity if the queue is full.
        """
        found = await self.find(upload)
        if found.record.problem is not None:
            raise of_problem(found.record.problem)
        if found.record.video is None:
            await self._disk(self._rows.end, upload, self._clock(), await self._queue(found))
            await self._disk(self._files.discard_unless_added, upload)
        return await self.find(upload)

    async def remove(self, upload: str) -> None:
        """Remove an upload with its bytes, in this request's turn; a video that it has become
        stays. Raises NotFound if there is none with this id."""
        await self.find(upload)
        await self._disk(self._remove, upload)

    async def expire(self) -> None:
        """Remove the uploads whose time is up."""
        for upload in await self._disk(self._expired):
            async with self.turn(upload):
                if upload in await self._disk(self._expired):
                    _log.info("upload %s has expired", upload)
                    await self._disk(self._remove, upload)
        await self._disk(self._rows.remove_ended, self._clock() - self.settings.upload_seconds)

    def drain(self) -> None:
        """End all requests that write uploads. Idempotent."""
        self._turns.drain()

    async def _before(self, request: VideoRequest, length: int) -> Upload | None:
        """Return the upload created with the same key; a refused upload may be sent again."""
        key = request.key
        record = None if key is None else await self._disk(self._rows.by_key, key)
        if record is None:
            return None
        if record.problem is not None:
            await self._disk(self._remove, record.id)
            return None
        if record.length != length or VideoRequest.from_dict(record.request) != request:
            raise Conflict("This Idempotency-Key was used for another upload: choose a new one.")
        return await self.find(record.id)

    async def _queue(self, upload: Upload) -> str:
        """Queue the video of a complete upload; return its id."""
        record = upload.record
        path = self.path(record.id)
        try:
            digest = await asyncio.to_thread(_sha256, path)
            request = VideoRequest.from_dict(record.request)
            video = await self._jobs.arrivals.accept(
                record.id, path, request, record.length, digest
            )
        except BadInput as error:
            await self._disk(self._rows.end, record.id, self._clock(), None, error.problem())
            await self._disk(self._files.discard_unless_added, record.id)
            raise
        return video.record.id

    def _add(self, record: UploadRecord) -> None:
        settings = self.settings
        self._rows.add(record, settings.max_uploads, settings.unfinished_bytes)
        self._files.place(record.id).touch()

    def _find(self, upload: str) -> Upload | None:
        record = self._rows.get(upload)
        if record is not None and record.server != self._files.store.server:
            return Upload(record, 0, self._clock() + self.settings.upload_seconds)
        if record is not None and record.ended is None and self._files.store.get(upload):
            # The process died after it had queued the video.
            self._rows.end(upload, self._clock(), upload)
            record = self._rows.get(upload)
        return None if record is None else self._measured(record)

    def _measured(self, record: UploadRecord) -> Upload:
        """Return the progress of an upload; it has expired if its file is lost."""
        keep = self.settings.upload_seconds
        if record.ended is not None:
            return Upload(record, record.length, record.ended + keep)
        arrived = _arrived(self.path(record.id))
        if arrived is None:
            return Upload(record, 0, 0.0)
        offset, changed = arrived
        return Upload(record, offset, changed + keep)

    def _unfinished(self) -> list[Upload]:
        found = [self._find(record.id) for record in self._rows.unfinished()]
        return [one for one in found if one is not None and one.record.ended is None]

    def _promised(self) -> int:
        """Return how many bytes of the unfinished uploads have yet to arrive."""
        return sum(one.record.length - one.offset for one in self._unfinished())

    def _expired(self) -> list[str]:
        now = self._clock()
        return [one.record.id for one in self._unfinished() if one.expires < now]

    def _remove(self, upload: str) -> None:
        self._rows.remove(upload)
        self._files.discard_unless_added(upload)


def _arrived(path: Path) -> tuple[int, float] | None:
    """Return how many bytes of an upload have arrived, and when the last of them did; None if its
    file is lost."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime


def _sync(path: Path) -> None:
    """Make the bytes of an upload that have arrived durable, if there are any."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
