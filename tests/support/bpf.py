"""A machine that runs filters of system calls as the kernel does, for architectures that are not
at hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def answer(program: bytes, audit: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Return what a filter answers to a call of one architecture (``struct seccomp_data``)."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, audit, 0, *padded)
    steps = list(struct.iter_unpack("<HBBI", program))
    assert len(steps) <= 4096, "the kernel takes no longer program"
    taken, place = 0, 0
    while True:
        code, true, false, value = steps[place]
        place += 1
        match code:
            case 0x20:
                assert value % 4 == 0 and value < len(data), "the kernel refuses such a load"
                (taken,) = struct.unpack_from("<I", data, value)
            case 0x15:
                place += true if taken == value else false
            case 0x35:
                place += true if taken >= value else false
            case 0x45:
                place += true if taken & value else false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"no instruction {code:#x}")
