"""Attacks that hostile code in a sandboxed child may try against the rest of the machine."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

WRITTEN = Path("/tmp/sandbox-was-here")

TRICKS: dict[str, Callable[[], object]] = {
    "open": Path("/etc/hostname").read_bytes,
    "write": lambda: WRITTEN.write_bytes(b""),
    "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "exec": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "fork": os.fork,
    "kill": lambda: os.kill(os.getppid(), signal.SIGTERM),
}
"""The tricks by the name of the video that tries them."""
