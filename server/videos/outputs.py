"""The files of a video for users: its uploaded file, its artefacts, and their parts while it
runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from server.database.video_record import VideoRecord, VideoState
from server.errors import Conflict, NotFound
from server.threads import ThreadRunner
from server.videos.files import VideoFiles
from server.videos.growing import PartOf
from server.videos.progress import Video
from server.videos.storage import SOURCE, Storage, StoredFile


class Outputs:
    """Finds files, on the disk or in the ``storage``. ``find`` returns a video or raises
    NotFound."""

    def __init__(
        self,
        files: VideoFiles,
        disk: ThreadRunner,
        storage: Storage | None,
        find: Callable[[str], Awaitable[Video]],
    ) -> None:
        self._files = files
        self._disk = disk
        self._storage = storage
        self._find = find

    async def artefact(self, video: str, name: str) -> tuple[VideoRecord, Path | StoredFile]:
        """Return the file of a video's artefact.

        Raises NotFound if there is none, and Conflict while the video has not ended.
        """
        record = (await self._find(video)).record
        if not record.state.ended:
            raise Conflict(f"The video is {record.state}: its results come when it has succeeded.")
        if record.state is not VideoState.SUCCEEDED:
            raise NotFound(f"The video has no {name}: its state is {record.state}.")
        if name not in record.artefacts:
            raise NotFound(f"The video has no {name}: it was not requested with the upload.")
        path = self._files.results(video, record.results) / name
        return record, await self._located(path, video, name)

    async def source(self, video: str) -> tuple[VideoRecord, Path | StoredFile]:
        """Return the uploaded file of a video. Raises NotFound if it is not kept."""
        found = await self._find(video)
        if not found.has_source:
            raise NotFound("The uploaded file of this video is not kept.")
        return found.record, await self._located(self._files.upload(video), video, SOURCE)

    def parts(self, video: str, name: str) -> PartOf:
        """Return the parts of an artefact while the video runs."""
        return self._files.parts(video, name)

    @asynccontextmanager
    async def viewing(self, video: str) -> AsyncIterator[None]:
        """Keep the parts of a running video during the block, unless it is cancelled, removed or
        fails."""
        viewers = self._files.places.viewers
        viewers.begin(video)
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(viewers.end, video))

    async def _located(self, path: Path, video: str, name: str) -> Path | StoredFile:
        """Return a file from its place: the disk, otherwise the storage."""
        if await self._disk(path.exists):
            return path
        if self._storage is None:
            raise NotFound("The file of this video is lost: remove the video.")
        return await asyncio.to_thread(self._storage.find, video, name)
