"""A prober's child that misbehaves as the video's name says; run as a module by the tests."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from server.sources.open_file import OpenFile
from server.sources.probe_child import run
from server.sources.surveys import Answer, answers


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _misbehave(what: str) -> None:
    match what:
        case "open":
            Path("/etc/hostname").read_bytes()
        case "write":
            Path("/tmp/prober-was-here").write_bytes(b"")
        case "connect":
            socket.socket().connect(("127.0.0.1", 9))
        case "exec":
            os.execv(sys.executable, [sys.executable, "-c", ""])
        case "fork":
            os.fork()
        case "kill":
            os.kill(os.getppid(), signal.SIGTERM)
        case "overhear":
            os.read(next(filter(_is_socket, range(100)), -1), 1)
        case "hang":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            time.sleep(3600)


def hostile(order: Answer, file: Path | OpenFile) -> Iterator[Answer]:
    assert isinstance(file, OpenFile)
    try:
        _misbehave(Path(file.open().name).stem)
    except OSError as error:
        yield {"error": "source_fault", "detail": f"{type(error).__name__}."}
    else:
        yield from answers(order, file)


if __name__ == "__main__":
    run(hostile)
