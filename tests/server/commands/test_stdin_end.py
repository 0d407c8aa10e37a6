"""The end of standard input is noticed once, by a thread, and makes a real server drain."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server.commands.stdin_end import call_at_eof

ROOT = Path(__file__).parents[3]


def test_it_calls_only_when_the_last_writer_has_closed() -> None:
    reader, writer = os.pipe()
    ended = threading.Event()
    watcher = call_at_eof(reader, ended.set)
    os.write(writer, b"ignored" * 2000)
    assert watcher.daemon and not ended.is_set()
    os.close(writer)
    assert ended.wait(10)
    watcher.join(10)
    os.close(reader)


def test_a_descriptor_that_cannot_be_read_counts_as_ended() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    os.close(reader)
    ended = threading.Event()
    call_at_eof(reader, ended.set).join(10)
    assert ended.is_set()


@pytest.mark.parametrize("flags", [["--drain-on-eof"], []])
def test_a_server_drains_at_the_end_of_its_input_if_asked(flags: list[str], tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--engine", "fake", "--port", "0", *flags],
        cwd=ROOT,
        env=os.environ | {"MASTREAM_FOLDER": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdin and server.stdout
    assert server.stdout.readline().startswith("mastream is ready at ")
    server.stdin.close()
    if not flags:
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(0.5)
        server.terminate()
    server.stdin = None  # communicate() would flush it
    _, told = server.communicate(timeout=50)
    assert server.returncode == 0
    assert "draining" in told and "stopped" in told
