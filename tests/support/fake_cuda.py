"""A CUDA device without a GPU: the host's memory, and a stream that is as lazy as a real one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from server.engines.cuda import ALIGNMENT, Device, Launch
from server.errors import EngineDead, EngineFault


class FakeCuda(Device):
    """Work on its stream is done when it is waited for, not before: a result read too early, or a
    buffer written too early, is as wrong here as on a GPU.

    Copies outside allocated memory are our own mistake and fail at once. ``memory`` is how many
    bytes there are; :attr:`lost` makes every later call fail as on a GPU that fell off the bus.
    """

    name = "fake GPU"
    capability = "0.0"
    stream = 7

    def __init__(self, ordinal: int = 0, memory: int = 2**40) -> None:
        self.ordinal = ordinal
        self.memory = memory
        self.lost = False
        self.recorded = 0
        """How many graphs were recorded."""
        self._blocks: dict[int, NDArray[np.uint8]] = {}
        self._queue: list[Callable[[], object]] = []
        self._recording: list[Callable[[], object]] | None = None

    @property
    def allocated(self) -> int:
        """Bytes of the device in use."""
        return sum(block.nbytes for block in self._blocks.values())

    def activate(self) -> None:
        self._check()

    def allocate(self, nbytes: int) -> int:
        self._check()
        if self.allocated + nbytes > self.memory:
            raise EngineFault(f"the memory of GPU {self.ordinal} is full")
        block = aligned(nbytes)
        # Real memory holds what was there before: nobody may count on zeros.
        block.fill(0xFF)
        self._blocks[address(block)] = block
        return address(block)

    def free(self, pointer: int) -> None:
        self.synchronise()
        del self._blocks[pointer]

    def pin(self, nbytes: int) -> NDArray[np.uint8]:
        return aligned(nbytes)

    def copy(self, to: int, source: int, nbytes: int) -> None:
        self._check_inside(to, nbytes)
        self._check_inside(source, nbytes)
        self.enqueue(partial(ctypes.memmove, to, source, nbytes))

    def clear(self, pointer: int, nbytes: int) -> None:
        self._check_inside(pointer, nbytes)
        self.enqueue(partial(ctypes.memset, pointer, 0, nbytes))

    def synchronise(self) -> None:
        self._check()
        while self._queue:
            self._queue.pop(0)()

    def record(self, launch: Launch) -> Launch:
        self._recording = []
        try:
            launch()
            work = self._recording
        finally:
            self._recording = None
        self.recorded += 1
        return lambda: self._queue.extend(work)

    def close(self) -> None:
        self._queue.clear()
        self._blocks.clear()

    def enqueue(self, work: Callable[[], object]) -> None:
        """Put work on the stream, as a kernel would be."""
        self._check()
        queue = self._queue if self._recording is None else self._recording
        queue.append(work)

    def _check(self) -> None:
        if self.lost:
            raise EngineDead(f"GPU {self.ordinal} failed: it was lost")

    def _check_inside(self, pointer: int, nbytes: int) -> None:
        """Check that a range that begins in a block of the device ends there."""
        for start, block in self._blocks.items():
            if start <= pointer < start + block.nbytes:
                assert pointer + nbytes <= start + block.nbytes, "a copy beyond its block"


def aligned(nbytes: int) -> NDArray[np.uint8]:
    """Host memory that begins where CUDA's would."""
    room = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -address(room) % ALIGNMENT
    return room[start : start + nbytes]


def address(array: NDArray[np.uint8]) -> int:
    return int(array.ctypes.data)
