"""Foreign bytes raise nothing but errors that say what is wrong. The long run is tests.fuzz."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fuzz.mutating import MAX_BYTES, mutated
from tests.fuzz.running import Report, fuzz, try_one
from tests.fuzz.targets import Target, targets

SECONDS = 40.0
CASES = 40_000


@pytest.fixture(scope="module")
def known() -> Iterator[dict[str, Target]]:
    with ExitStack() as stack:
        yield targets(stack)


def test_every_input_to_begin_with_is_accepted(known: dict[str, Target]) -> None:
    report = Report()
    for name, target in known.items():
        for seed in target.seeds:
            try_one(name, target, seed, report)
        assert report.accepted[name], name
    assert not report.failed


def test_nothing_but_errors_with_a_sentence_comes_out(known: dict[str, Target]) -> None:
    report = fuzz(known, CASES, seed=1, until=time.monotonic() + SECONDS)
    assert not report.failed
    assert sum(report.cases.values()) > 100


def test_what_a_parser_may_not_raise_is_found() -> None:
    def broken(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("bug")
        if not data:
            raise ValueError

    report = fuzz({"broken": Target(broken, (ValueError,), (b"ab",))}, 3000, seed=1)
    assert set(report.failed) == {
        "broken: KeyError: 'bug'",
        "broken: ValueError without a sentence",
    }


def test_the_same_seed_gives_the_same_cases() -> None:
    seeds = (b"abc" * 100, b"")
    first, second = (
        [mutated(seeds, chance) for _ in range(500)]
        for chance in (random.Random(3), random.Random(3))
    )
    assert first == second and len(set(first)) > 400
    assert all(len(one) <= MAX_BYTES for one in first)
