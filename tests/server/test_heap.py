"""Free native memory is returned to the system."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server import heap

MiB = 2**20


def resident() -> int:
    """Return this process's resident bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
def test_what_a_thread_left_in_its_arena_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]

    def fill() -> None:
        # Below the size from which glibc maps memory of its own for each block.
        blocks = [libc.malloc(100_000) for _ in range(1000)]
        for block in blocks:
            ctypes.memset(block, 1, 100_000)
        for block in blocks[:-1]:  # the last one keeps the arena's end in use
            libc.free(block)

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    before = resident()
    heap.give_back()
    assert before - resident() > 50 * MiB


FILL = """
import sys, threading
from server import heap
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "shared":
    heap.share_arenas()
barrier = threading.Barrier(24)
def fill():
    libc.malloc(100_000)
    barrier.wait()
threads = [threading.Thread(target=fill) for _ in range(24)]
for thread in threads: thread.start()
for thread in threads: thread.join()
size = next(line for line in open("/proc/self/status") if line.startswith("VmPeak"))
print(int(size.split()[1]) // 1024)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt") or (os.cpu_count() or 1) > 8,
    reason="the C library is not glibc, or there are more cores than this test has threads for",
)
def test_threads_share_arenas_which_take_64_mib_of_addresses_each() -> None:
    own, shared = (
        int(subprocess.check_output([sys.executable, "-c", FILL, how], text=True))
        for how in ("own", "shared")
    )
    saved = min(24, 8 * (os.cpu_count() or 1)) - (os.cpu_count() or 1)
    assert own - shared > 64 * saved / 2


def test_a_settled_heap_is_out_of_the_collectors_way() -> None:
    ask = "from server import heap; import gc; heap.settle(); print(gc.get_freeze_count() > 1000)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True"
