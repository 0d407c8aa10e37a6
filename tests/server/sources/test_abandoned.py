"""Threads that are left behind are counted for as long as they run."""

from __future__ import annotations

from threading import Event, Thread

from server.sources.abandoned import AbandonedThreads


def test_the_count_goes_down_when_one_ends_after_all() -> None:
    abandoned, ends = AbandonedThreads(), [Event(), Event()]
    threads = [Thread(target=end.wait, daemon=True) for end in ends]
    for thread in threads:
        thread.start()
        abandoned.add(thread)
        abandoned.add(thread)
    assert abandoned.count() == 2
    for left, (end, thread) in zip((1, 0), zip(ends, threads, strict=True), strict=True):
        end.set()
        thread.join()
        assert abandoned.count() == left
