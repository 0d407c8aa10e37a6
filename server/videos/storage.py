"""A folder or bucket for the files of videos that have succeeded, reached through fsspec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from server.errors import BadRequest, Fault, NotFound

SOURCE = "source"
"""The name of a video's uploaded file among its artefacts."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file in the storage: its size in bytes and when it was written."""

    storage: Storage
    path: str
    nbytes: int
    modified: datetime

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from ``first`` to before ``end``. Raises as :class:`Storage`."""
        return self.storage.read(self.path, first, end)


class Storage:
    """Files as ``<root>/<video>/<name>``. Synchronous; any thread may use it.

    Raises Fault if the storage fails.
    """

    def __init__(self, url: str) -> None:
        """Open the storage at a URL such as ``s3://bucket/prefix`` or ``file:///mnt/results``.

        Raises BadRequest if the kind of storage is unknown or its driver is not installed.
        """
        if not urlsplit(url).scheme:
            raise BadRequest(
                f"MASTREAM_VIDEOS__STORAGE is {url!r}: give a URL such as file:///mnt/results."
            )
        try:
            # A bucket has no folders to create, and a missing bucket is an error.
            options = {"auto_mkdir": True} if url.startswith("file:") else {}
            self._files, self._root = fsspec.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise BadRequest(
                f"MASTREAM_VIDEOS__STORAGE is unusable ({error}): for s3:// install mastream[s3]."
            ) from error
        self._name = url.partition("://")[0]

    def __repr__(self) -> str:
        return f"<Storage {self._name} {self._root}>"

    def put(self, video: str, name: str, file: Path) -> None:
        """Copy a file into the storage; replace a file with the same name."""
        with self._faults():
            self._files.put_file(str(file), f"{self._folder(video)}/{name}")

    def find(self, video: str, name: str) -> StoredFile:
        """Return a file of a video. Raises NotFound if there is none."""
        path = f"{self._folder(video)}/{name}"
        with self._faults():
            # Another server may have written it since the folder was listed.
            self._files.invalidate_cache(self._folder(video))
            info = self._files.info(path)
            return StoredFile(self, path, info["size"], self._files.modified(path))

    def read(self, path: str, first: int, end: int) -> bytes:
        """Return the bytes of a file from ``first`` to before ``end``."""
        with self._faults():
            found: bytes = self._files.cat_file(path, start=first, end=end)
        return found

    def remove(self, video: str) -> None:
        """Remove all files of a video, if there are any."""
        with self._faults():
            self._files.invalidate_cache(self._folder(video))
            if self._files.exists(self._folder(video)):
                self._files.rm(self._folder(video), recursive=True)

    def _folder(self, video: str) -> str:
        return f"{self._root.rstrip('/')}/{video}"

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate errors of the storage, whose drivers raise errors of many libraries."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound("The file is not in the server's storage.") from error
        except Exception as error:
            raise Fault(f"The server's storage of videos failed: {_text(error)}.") from error


def _text(error: Any) -> str:
    return str(error).rstrip(".") or type(error).__name__
