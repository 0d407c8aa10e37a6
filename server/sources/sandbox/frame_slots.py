"""Pictures in memory that two processes share: a fixed number of slots, and no copy in between."""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from collections.abc import Iterable, Sequence
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


class FrameSlots:
    """``count`` slots of ``room`` bytes in the memory behind a descriptor.

    Only written parts take memory. A slot belongs to one process at a time; the processes agree
    elsewhere which of them owns it.
    """

    def __init__(self, descriptor: int, count: int, room: int) -> None:
        self.descriptor = descriptor
        self.count = count
        self.room = room
        self._map = mmap.mmap(descriptor, count * room)

    @classmethod
    def create(cls, count: int, room: int) -> Self:
        """Return new slots whose size cannot be changed: reading beyond a file's end is fatal."""
        assert sys.platform == "linux"
        descriptor = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, count * room)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            return cls(descriptor, count, room)
        except BaseException:
            os.close(descriptor)
            raise

    def write(self, slot: int, pictures: Iterable[NDArray[np.uint8]]) -> None:
        """Put pictures into a slot, one after the other."""
        place = slot * self.room
        for picture in pictures:
            end = place + picture.nbytes
            assert end <= (slot + 1) * self.room
            self._map[place:end] = np.ascontiguousarray(picture).data.cast("B")
            place = end

    def read(self, slot: int, shapes: Sequence[Shape]) -> list[NDArray[np.uint8]]:
        """Return copies of a slot's pictures.

        Raises ValueError if there is no such slot, or if they cannot be in it.
        """
        sizes = [prod(shape) for shape in shapes]
        positive = all(min(shape) > 0 for shape in shapes)
        if not 0 <= slot < self.count or not positive or sum(sizes) > self.room:
            raise ValueError("pictures that no slot can hold")
        pictures, place = [], slot * self.room
        for shape, size in zip(shapes, sizes, strict=True):
            data = np.frombuffer(self._map, np.uint8, size, place)
            pictures.append(data.reshape(shape).copy())
            place += size
        return pictures

    def close(self) -> None:
        """Release the memory and the descriptor."""
        try:
            self._map.close()
        finally:  # which works even while a picture that is half copied keeps the memory
            os.close(self.descriptor)
