"""Filtering the system calls of this process, which leaves it only computing, memory and its open
descriptors; Linux on x86-64 and aarch64."""

from __future__ import annotations

import ctypes
import os
import platform

from server.errors import Fault
from server.sources.sandbox.call_filter import program
from server.sources.sandbox.system_calls import ARCHITECTURES, architecture

_REMEDY = "set MASTREAM_DECODE__SANDBOX to false, or run the server on another machine."

_PR_GET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 21, 38
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def check_machine() -> None:
    """Raise Fault if this machine cannot filter system calls."""
    if architecture() is None:
        known = " or ".join(ARCHITECTURES)
        raise Fault(
            f"Decoding in a sandbox needs Linux on {known} with 64 bits, and this is "
            f"{platform.platform()}: {_REMEDY}"
        )
    if _libc().prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        raise Fault(
            f"Decoding in a sandbox needs a kernel with seccomp, which this kernel lacks: {_REMEDY}"
        )


def install(*, connected: bool = False) -> None:
    """Give up new privileges and filter the calls of all threads of this process, which may use a
    connection if it is ``connected``. Raises OSError if the kernel refuses."""
    on = architecture()
    assert on is not None, "check_machine() was not called"
    code = program(on, connected=connected)
    _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))
    filtered = _Program(len(code) // 8, code)
    _check(
        _libc().syscall(
            ctypes.c_long(on.numbers["seccomp"]),
            ctypes.c_ulong(_SET_MODE_FILTER),
            ctypes.c_ulong(_ALL_THREADS),
            ctypes.byref(filtered),
        )
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    """Raise OSError unless a call has succeeded; a positive result is a thread that could not be
    filtered."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the system calls cannot be filtered: {os.strerror(number)}")
