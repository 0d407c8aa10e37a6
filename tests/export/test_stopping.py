"""A command is stopped by a signal, or by the end of the process that started it."""

from __future__ import annotations

import os
import signal

import pytest

from export.stopping import stopping

SOON = 30.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.wait(SOON)
    assert signal.getsignal(number) is before


def test_so_does_the_end_of_the_pipe_and_nothing_before_it() -> None:
    read, write = os.pipe()
    with stopping(read) as stop:
        os.write(write, b"x" * 3000)
        assert not stop.wait(0.05)
        os.close(write)
        assert stop.wait(SOON)
    os.close(read)


def test_a_pipe_that_cannot_be_read_has_ended() -> None:
    read, write = os.pipe()
    with stopping(write) as stop:
        assert stop.wait(SOON)
    os.close(read)
    os.close(write)
