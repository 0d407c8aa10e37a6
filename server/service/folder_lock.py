"""A lock that lets only one server at a time use a folder.

A second one would take the first one's name, streams and running videos, and remove its unfinished
uploads; so the lock is taken before anything else.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from filelock import FileLock, Timeout

from server.errors import Fault

_log = logging.getLogger(__name__)


class FolderLock:
    """A lock held from :meth:`take` to :meth:`release`, or until the process ends in any way."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "server.lock"
        # One thread may take it and another release it. The library's own lock for a file system
        # without locks would outlive a crash, and its warning does not say what not to do.
        self._lock = FileLock(self._file, timeout=0, thread_local=False, fallback_to_soft=False)

    def take(self) -> None:
        """Lock the folder. Raises Fault if another process holds the lock, or may hold it because
        its file belongs to another user.

        On a file system without locks, log a warning and continue.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise Fault(
                f"Another server uses {self._file.parent}: stop it, or use another folder."
            ) from error
        except (NotImplementedError, OSError) as error:
            if self._file.exists() and not os.access(self._file, os.R_OK | os.W_OK):
                raise Fault(
                    f"{self._file} belongs to another user, whose server may use the folder: give "
                    f"it to the user that runs this server (uid {os.geteuid()}), or use another "
                    "folder."
                ) from error
            _log.warning(
                "%s cannot be locked (%s): do not start a second server on it", self._file, error
            )

    def release(self) -> None:
        """Unlock the folder. Idempotent."""
        self._lock.release()
