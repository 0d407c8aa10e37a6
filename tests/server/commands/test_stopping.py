"""Signals that end a command, in this process."""

from __future__ import annotations

import asyncio
import signal

import pytest

from server.commands.stopping import STOP_SIGNALS, stoppable, undisturbed


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_each_does_what_ctrl_c_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert stop.exit_code == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_running_loop_is_cancelled_and_may_tidy_up(number: signal.Signals) -> None:
    tidied = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            tidied.append(True)
            raise

    with stoppable() as stop, pytest.raises(KeyboardInterrupt):
        asyncio.run(work())
    assert tidied == [True]
    assert stop.exit_code == 128 + number


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_nothing_interrupts_what_must_not_be(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stoppable():
        with undisturbed():
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
