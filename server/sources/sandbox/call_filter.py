"""The filter of system calls as a program for the kernel (BPF), assembled here since it is just a
list of numbers. Pure.

Opening a file fails as if the process had no permission, because libraries look for files that
they can do without, such as glibc for the character set of a television programme's name. Any
other call that is not allowed, such as to connect or to start a program, kills the process.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from server.sources.sandbox.system_calls import ALLOWED, CONNECTED, DENIED, DIALLING, Architecture

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""The instructions of which the filter consists."""

KILL, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
"""The actions of the kernel for a call; an error number is added to the last one."""

PROT_EXEC, CLONE_THREAD, PR_SET_NAME = 4, 0x10000, 15

_NUMBER, _ARCH, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32
"""Their offsets in the kernel's ``struct seccomp_data``; for arguments that of the lower half, on
machines that store it first."""


def program(on: Architecture, *, connected: bool = False) -> bytes:
    """Return the filter for an architecture, which kills on any other, for a process that may use a
    connection if it is ``connected``."""
    allowed = (*ALLOWED, *CONNECTED) if connected else ALLOWED
    denied = (*DENIED, *DIALLING) if connected else DENIED
    numbers = on.numbers
    return b"".join((
        _step(LOAD, _ARCH), _step(EQUAL, on.audit, 1, 0), _step(RETURN, KILL),
        _step(LOAD, _NUMBER),
        _none_from(on.first_alien),
        _answer(ALLOW, on.of(allowed)),
        _answer(ERRNO | errno.EACCES, on.of(denied)),
        # glibc then uses clone, whose flags can be checked.
        _answer(ERRNO | errno.ENOSYS, on.of(["clone3"])),
        *(_unless(numbers[name], _THIRD_ARGUMENT, PROT_EXEC) for name in ("mmap", "mprotect")),
        # FFmpeg names its threads.
        _step(EQUAL, numbers["prctl"], 0, 4), _step(LOAD, _FIRST_ARGUMENT),
        _step(EQUAL, PR_SET_NAME, 0, 1), _step(RETURN, ALLOW), _step(RETURN, KILL),
        _step(EQUAL, numbers["clone"], 0, 3), _step(LOAD, _FIRST_ARGUMENT),
        _step(ANY_BIT, CLONE_THREAD, 0, 1), _step(RETURN, ALLOW),
        _step(RETURN, KILL),
    ))  # fmt: skip


def _none_from(first: int | None) -> bytes:
    """Kill at any number from ``first`` on."""
    return b"" if first is None else _step(AT_LEAST, first, 0, 1) + _step(RETURN, KILL)


def _answer(answer: int, numbers: Iterable[int]) -> bytes:
    return b"".join(_step(EQUAL, number, 0, 1) + _step(RETURN, answer) for number in numbers)


def _unless(number: int, argument: int, bits: int) -> bytes:
    """Allow a call unless its argument has one of the bits."""
    return b"".join((
        _step(EQUAL, number, 0, 4), _step(LOAD, argument), _step(ANY_BIT, bits, 0, 1),
        _step(RETURN, KILL), _step(RETURN, ALLOW),
    ))  # fmt: skip


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    """Return one instruction; ``true`` and ``false`` are the number of instructions that a
    comparison skips."""
    return struct.pack("=HBBI", code, true, false, value)
