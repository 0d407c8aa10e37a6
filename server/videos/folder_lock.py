"""One process at a time uses a folder of videos.

A second one would queue the first one's running videos again and remove what it still receives.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from server.errors import Fault

_log = logging.getLogger(__name__)


class FolderLock:
    """Held from :meth:`take` to :meth:`release`, or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._file = folder.with_name(f"{folder.name}.lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises Fault where another process holds it. A file system that knows no locks is
        served all the same, with a line in the log."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise Fault(
                f"Another server uses {self._file.parent}: stop it, or use another folder."
            ) from error
        except OSError as error:
            _log.warning(
                "%s cannot be locked (%s): start no second server on it", self._file, error
            )
        self._descriptor = descriptor

    def release(self) -> None:
        """Twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
