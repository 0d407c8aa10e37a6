"""Reading a child's answer: in lines, within bounds, and within a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from io import FileIO

import pytest

from server.sources.sandbox import probe_answer
from server.sources.sandbox.pipe import pipe, write_all
from server.sources.sandbox.probe_answer import Child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it needs pidfd")


def child(*pieces: bytes) -> Child:
    """A child that writes these pieces and ends; what is too much for a pipe waits in a thread."""
    reader, writer = pipe()

    def write() -> None:
        with writer:
            for piece in pieces:
                write_all(writer, piece)

    threading.Thread(target=write).start()
    return Child(reader)


def test_lines_come_however_they_were_written() -> None:
    answer = child(b"one\ntw", b"o\n", b"three\n")
    assert list(answer.lines(10.0)) == [b"one", b"two", b"three"]
    answer.close()


@pytest.mark.parametrize("pieces", [(b"one\ntw",), (b"x",)])
def test_an_answer_that_breaks_off_is_none(pieces: tuple[bytes, ...]) -> None:
    answer = child(*pieces)
    with pytest.raises(ValueError, match="without an end"):
        list(answer.lines(10.0))
    answer.close()


def test_too_long_a_line_is_not_kept() -> None:
    answer = child(b"1" * (2 * probe_answer.LINE_BYTES))
    with pytest.raises(ValueError, match="too long"):
        list(answer.lines(10.0))
    answer.close()


def test_too_many_lines_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_answer, "ANSWER_BYTES", 1000)
    answer = child(b"1\n" * 1000)
    with pytest.raises(ValueError, match="too long"):
        list(answer.lines(10.0))
    answer.close()


def test_a_silent_child_is_waited_for_until_its_time_is_up_and_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe_answer, "GRACE_SECONDS", 0.0)
    with subprocess.Popen(["sleep", "3600"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = Child(FileIO(os.dup(process.stdout.fileno())))
        answer.handle = os.pidfd_open(process.pid)
        with pytest.raises(ValueError, match="in time"):
            list(answer.lines(0.05))
        answer.close()
        assert process.wait(10.0) == -9


def test_a_child_that_has_ended_is_left_alone() -> None:
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = Child(FileIO(os.dup(process.stdout.fileno())))
        answer.handle = os.pidfd_open(process.pid)
        assert list(answer.lines(None)) == []
        process.wait()
    answer.close()
