"""Moving the files of videos that have succeeded into the storage, and removing them there."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from server.database.video_record import VideoState
from server.errors import MastreamError
from server.threads import ThreadRunner
from server.videos.files import VideoFiles
from server.videos.storage import SOURCE, Storage

MOVE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Mover:
    """Copies the files of each video that has succeeded, and removes the local ones afterwards.

    It works at its own pace: until a video is moved, its files are served from the disk. It
    continues after a restart, since it checks which files exist. Mutable state: the videos that are
    copied; their local files are removed one pass later, when no request is about to open them any
    more.
    """

    def __init__(self, files: VideoFiles, storage: Storage, disk: ThreadRunner) -> None:
        self._files = files
        self._storage = storage
        self._disk = disk
        self._copied: set[str] = set()

    def __repr__(self) -> str:
        return f"<Mover to {self._storage!r}, copied={len(self._copied)}>"

    async def run(self) -> None:
        """Move all files that are due every ``MOVE_SECONDS``, until cancelled."""
        while True:
            await self._try(self.move)
            await asyncio.sleep(MOVE_SECONDS)

    async def move(self) -> None:
        """Remove the local files of the videos that are copied, copy those of the others, and
        remove the files of removed videos from the storage."""
        local = await self._disk(self._local)
        self._copied.intersection_update(local)
        for video in local:
            await self._try(self._move_one, video)
        for video in await self._disk(self._removed):
            await self._try(self._remove_one, video)

    async def _move_one(self, video: str) -> None:
        if video in self._copied:
            await self._disk(self._forget_local, video)
        else:
            await asyncio.to_thread(self._copy, video)
            self._copied.add(video)

    async def _remove_one(self, video: str) -> None:
        await asyncio.to_thread(self._storage.remove, video)
        await self._disk(self._files.removed.forget, video)

    async def _try(self, act: Callable[..., Awaitable[None]], *arguments: str) -> None:
        """Call ``act``; if it fails, log that and leave it to the next pass."""
        try:
            await act(*arguments)
        except MastreamError as error:
            _log.warning("%s of videos waits: %s", act.__name__.strip("_"), error)
        except Exception:
            _log.exception("%s of videos failed", act.__name__.strip("_"))

    def _local(self) -> list[str]:
        """Return the videos that have succeeded and have files on the disk."""
        states = self._files.store.states()
        names = [folder.name for folder in self._files.folder.iterdir() if folder.is_dir()]
        return [name for name in names if states.get(name) is VideoState.SUCCEEDED]

    def _removed(self) -> list[str]:
        """Return the videos that were removed here and may have files in the storage."""
        return [video for video in self._files.removed.all() if not self._files.store.get(video)]

    def _copy(self, video: str) -> None:
        for name, file in self._kept(video).items():
            self._storage.put(video, name, file)

    def _kept(self, video: str) -> dict[str, Path]:
        """Return the files that a video keeps, by their names in the storage."""
        record = self._files.store.get(video)
        found = [] if record is None else self._files.results(video, record.results).glob("*")
        kept = {file.name: file for file in sorted(found) if file.is_file()}
        upload = self._files.upload(video)
        return kept | ({SOURCE: upload} if upload.exists() else {})

    def _forget_local(self, video: str) -> None:
        folder = self._files.upload(video).parent
        remove = partial(shutil.rmtree, folder, ignore_errors=True)
        self._files.places.viewers.after_last(video, remove)
