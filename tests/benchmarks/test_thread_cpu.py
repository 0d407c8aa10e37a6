"""The CPU time of threads: counted by name, in ms per frame."""

from __future__ import annotations

import os
import threading
import time

from benchmarks.thread_cpu import Spent, spent_by_process, spent_by_thread, table


def burn(seconds: float, done: threading.Event) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    done.wait()


def test_threads_of_one_kind_are_counted_together() -> None:
    before, done = spent_by_thread(), threading.Event()
    threads = [
        threading.Thread(target=burn, args=(0.05, done), name=f"burner-{number}")
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 30
        while (now := spent_by_thread())["burner"].ran < 0.1:
            assert time.monotonic() < deadline, now
            time.sleep(0.01)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert "burner" in table(before, now, frames=10)
    assert spent_by_process(os.getpid()).ran > 0


def test_a_table_is_per_frame() -> None:
    shown = table({"source": Spent(1.0, 2.0)}, {"source": Spent(1.1, 2.4)}, frames=100)
    assert shown.split()[-3:] == ["source", "1.00", "4.00"]
