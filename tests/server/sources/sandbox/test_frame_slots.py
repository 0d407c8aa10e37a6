"""Pictures in shared memory."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from server.sources.sandbox.frame_slots import FrameSlots

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd needs Linux")


def test_another_process_sees_what_was_written() -> None:
    ours = FrameSlots.create(2, 100)
    theirs = FrameSlots(os.dup(ours.descriptor), 2, 100)
    first, second = np.full((2, 3, 3), 7, np.uint8), np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    theirs.write(1, [first, second])
    theirs.close()
    found = ours.read(1, [first.shape, second.shape])  # type: ignore[list-item]
    assert np.array_equal(found[0], first) and np.array_equal(found[1], second)
    ours.write(1, [np.zeros((2, 3, 3), np.uint8)])
    assert found[0].max() == 7  # a copy
    ours.close()


@pytest.mark.parametrize(
    ("slot", "shape"),
    [(2, (1, 1, 3)), (-1, (1, 1, 3)), (0, (10, 10, 3)), (0, (0, 1, 3)), (0, (-1, -1, 3))],
)
def test_what_no_slot_can_hold(slot: int, shape: tuple[int, int, int]) -> None:
    slots = FrameSlots.create(2, 100)
    with pytest.raises(ValueError, match="no slot can hold"):
        slots.read(slot, [shape])
    slots.close()


def test_nobody_can_make_it_smaller() -> None:
    slots = FrameSlots.create(2, 5000)
    with pytest.raises(PermissionError):
        os.ftruncate(slots.descriptor, 0)
    slots.close()
