"""Warming up: which steps are made and which are timed."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import pytest

from server.engines.fake import FakeEngine, fake_spec
from server.engines.warming import buckets, warm_up
from server.errors import EngineFault
from server.frame import AnyPixels


def recording(most: int, slow: Collection[int] = ()) -> tuple[FakeEngine, list[int]]:
    """Return an engine and the sizes of its steps; those with the numbers ``slow``, from 1, take
    longer."""
    sizes: list[int] = []

    def on_step(frames: Sequence[AnyPixels]) -> None:
        sizes.append(len(frames))
        if len(sizes) in slow:
            time.sleep(0.2)

    return FakeEngine(fake_spec(16, 32), max_batch=most, on_step=on_step), sizes


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_buckets_are_the_powers_of_two_and_the_largest_batch(most: int, sizes: list[int]) -> None:
    assert buckets(most) == sizes


def test_every_size_is_warmed_up_and_the_buckets_are_timed() -> None:
    engine, sizes = recording(most=4)
    timed = warm_up(engine, range(1, 5))
    assert sizes == [1, 2, 3, 4, 1, 2, 4, 1, 2], "the small ones twice"
    assert list(timed) == [1, 2, 4] and all(seconds > 0 for seconds in timed.values())


def test_the_first_step_of_a_size_is_not_what_is_reported() -> None:
    engine, _ = recording(most=2, slow=(1, 2))
    assert max(warm_up(engine, [1, 2]).values()) < 0.2


@pytest.mark.parametrize("slow", [5, 6, 8, 9])
def test_one_slow_step_of_a_small_batch_is_not_what_is_reported(slow: int) -> None:
    engine, sizes = recording(most=4, slow=[slow])
    timed = warm_up(engine, range(1, 5))
    assert sizes[slow - 1] <= 2 and max(timed.values()) < 0.2


def test_only_sizes_that_were_warmed_up_are_timed() -> None:
    engine, sizes = recording(most=4)
    assert list(warm_up(engine, [1])) == [1]
    assert sizes == [1, 1, 1]


def test_a_step_that_fails_fails_the_warm_up() -> None:
    def fail(_: Sequence[AnyPixels]) -> None:
        raise EngineFault("The device is out of memory.")

    with pytest.raises(EngineFault, match="out of memory"):
        warm_up(FakeEngine(fake_spec(16, 32), on_step=fail), [1])
