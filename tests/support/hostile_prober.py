"""A prober's child that misbehaves as the video's name says; run as a module by the tests."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from server.sources.open_file import OpenFile
from server.sources.sandbox.probe_child import run
from server.sources.sandbox.surveys import Answer, answers
from tests.support.hostile_tricks import TRICKS


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _misbehave(what: str) -> None:
    match what:
        case "overhear":
            os.read(next(filter(_is_socket, range(100)), -1), 1)
        case "hang":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            time.sleep(3600)
        case _:
            TRICKS.get(what, bool)()


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
