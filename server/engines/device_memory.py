"""Memories that stay on the device: one block per stream, from a pool."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import prod
from weakref import finalize

import numpy as np
from numpy.typing import DTypeLike

from models.spec import ModelSpec
from server.engines.cuda import ALIGNMENT, Device
from server.engines.host_memory import tensor_shapes


@dataclass(frozen=True, slots=True)
class Placed:
    """One tensor (T, tokens, width) of a stream's block, ``offset`` bytes after its start."""

    name: str
    shape: tuple[int, int, int]
    offset: int
    nbytes: int


class Block:
    """One stream's tensors on the device; when nothing refers to it, its space returns to the
    pool."""

    __slots__ = ("__weakref__", "pointer")

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer


@dataclass(frozen=True, slots=True, eq=False)
class DeviceMemory:
    """One stream's FIFO, never changed once it is made. A block of None is all zeros."""

    count: int
    block: Block | None


class BlockPool:
    """Blocks of one size. Allocating on a device is slow and waits for it, so up to ``spare``
    unused blocks are kept.

    Blocks may be released in any thread; only the engine's thread may call the methods.
    """

    def __init__(self, device: Device, nbytes: int, spare: int) -> None:
        self._device = device
        self._nbytes = nbytes
        self._limit = spare
        self._spare: deque[int] = deque()

    def take(self) -> Block | None:
        """Return a block for one stream; None if the model has no memory. Raises EngineFault if
        the device is full."""
        if not self._nbytes:
            return None
        pointer = self._spare.pop() if self._spare else self._device.allocate(self._nbytes)
        block = Block(pointer)
        finalize(block, self._spare.append, pointer).atexit = False
        return block

    def trim(self) -> None:
        """Free one block if too many are unused; freeing many at once would delay a step."""
        if len(self._spare) > self._limit:
            self._device.free(self._spare.pop())


def place(spec: ModelSpec, dtype: DTypeLike) -> tuple[Placed, ...]:
    """Return the place of each tensor of :func:`tensor_shapes` in a block, aligned to ALIGNMENT."""
    placed: list[Placed] = []
    offset = 0
    for name, shape in tensor_shapes(spec):
        nbytes = prod(shape) * np.dtype(dtype).itemsize
        placed.append(Placed(name, shape, offset, nbytes))
        offset += -(-nbytes // ALIGNMENT) * ALIGNMENT
    return tuple(placed)


def block_bytes(placed: tuple[Placed, ...]) -> int:
    """Return the bytes of one stream's block."""
    return max((tensor.offset + tensor.nbytes for tensor in placed), default=0)
