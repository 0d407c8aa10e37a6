"""One process at a time uses a folder of videos.

A second one would queue the first one's running videos again and remove what it still receives.
"""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock, Timeout

from server.errors import Fault

_log = logging.getLogger(__name__)


class FolderLock:
    """Held from :meth:`take` to :meth:`release`, or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._file = folder.with_name(f"{folder.name}.lock")
        # Whichever thread takes it, another may release it.
        self._lock = FileLock(self._file, timeout=0, thread_local=False)

    def take(self) -> None:
        """Lock the folder. Raises Fault if another process holds it. A file system without locks
        is used all the same, with a line in the log."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise Fault(
                f"Another server uses {self._file.parent}: stop it, or use another folder."
            ) from error
        except (NotImplementedError, OSError) as error:
            _log.warning(
                "%s cannot be locked (%s): start no second server on it", self._file, error
            )

    def release(self) -> None:
        """Unlock the folder. Idempotent."""
        self._lock.release()
