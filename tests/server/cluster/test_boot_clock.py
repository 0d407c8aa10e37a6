"""The clock of leases continues while the machine sleeps, if the system has such a clock."""

from __future__ import annotations

import time

import pytest

from server.cluster.boot_clock import boot_seconds


def test_it_is_the_boot_clock() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boot_seconds() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_without_one_it_is_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    before = time.monotonic()
    assert before <= boot_seconds() <= time.monotonic()
