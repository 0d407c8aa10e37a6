"""A folder that belongs to a server's process: a lock that the server inherits.

The kernel releases the lock when the last process that holds it has ended, however it ends. So an
agent that was restarted can see whether its predecessor's server is still draining.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FILE = "server.claim"


def claim(folder: Path) -> int | None:
    """Return a file descriptor that holds ``folder``, None if another process holds it.

    The folder is created. Pass the descriptor to the server and close it here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_free(folder: Path) -> bool:
    """Return whether no process holds ``folder``."""
    if (descriptor := claim(folder)) is None:
        return False
    os.close(descriptor)
    return True
