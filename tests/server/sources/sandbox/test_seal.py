"""A camera's bytes are held back until the process that reads them has given up its rights."""

from __future__ import annotations

from threading import Thread

import pytest

from server.sources.sandbox.seal import Seal


def test_it_holds_until_the_process_is_sealed() -> None:
    seal, asked = Seal(), list[str]()
    seal.ask = lambda: asked.append("seal")
    holding = Thread(target=seal.hold)
    holding.start()
    while not asked:
        holding.join(0.001)
    assert holding.is_alive()
    seal.sealed()
    holding.join()
    assert asked == ["seal"]


def test_a_process_that_is_not_sealed_in_time_gets_nothing() -> None:
    seal = Seal(seconds=0.01)
    seal.ask = lambda: None
    with pytest.raises(TimeoutError, match="did not give up its rights"):
        seal.hold()


def test_it_has_one_connection() -> None:
    seal = Seal()
    seal.ask = seal.sealed
    seal.hold()
    with pytest.raises(ConnectionRefusedError):
        seal.hold()


def test_nothing_passes_before_there_is_a_process() -> None:
    with pytest.raises(ConnectionRefusedError):
        Seal().hold()
