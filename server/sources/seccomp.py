"""A filter of system calls that leaves a process nothing but computing, memory and the descriptors
that it has; Linux on x86-64 only.

Opening a file fails as if the process had no permission, because libraries look for files that
they can do without, such as glibc for the character set of a television programme's name. Any
other call, such as to connect or to start a program, kills the process. The filter is assembled
here, since it is only a list of numbers.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Iterable

X86_64 = 0xC000003E
"""AUDIT_ARCH_X86_64."""

X32_BIT = 0x40000000
"""Set in the numbers of the x32 calls, which would go around the list."""

ALLOWED = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45,
    "exit": 60, "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202,
    "sched_getaffinity": 204, "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231,
    "set_robust_list": 273, "getrandom": 318, "membarrier": 324, "rseq": 334,
}  # fmt: skip
"""What decoding needs, found by trying all formats of the tests. ``sendto`` and ``recvfrom`` reach
only sockets that are there, since no new one can be made."""

DENIED = {
    "open": 2, "stat": 4, "lstat": 6, "access": 21, "getcwd": 79, "readlink": 89, "openat": 257,
    "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "statx": 332, "openat2": 437,
    "faccessat2": 439,
}  # fmt: skip
"""What looks for files."""

MMAP, MPROTECT, CLONE, PRCTL, CLONE3 = 9, 10, 56, 157, 435
PROT_EXEC, CLONE_THREAD, PR_SET_NAME = 4, 0x10000, 15

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_PR_GET_SECCOMP = 21


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def missing() -> str | None:
    """Return why this machine has no filter, None if it has one."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"system calls are filtered on Linux on x86-64 only, not on {platform.platform()}"
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return "the kernel was built without seccomp"
    return None


def install() -> None:
    """Give up new privileges and filter the calls of this process. Raises OSError if the kernel
    refuses."""
    code = program()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    filtered = _Program(len(code) // 8, code)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filtered))


def program() -> bytes:
    """Return the filter in BPF."""
    return b"".join((
        _step(_LOAD, _ARCH), _step(_EQUAL, X86_64, 1, 0), _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER), _step(_AT_LEAST, X32_BIT, 0, 1), _step(_RETURN, _KILL),
        _answer(_ALLOW, ALLOWED.values()),
        _answer(_ERRNO | errno.EACCES, DENIED.values()),
        # glibc then takes clone, whose flags can be seen.
        _answer(_ERRNO | errno.ENOSYS, [CLONE3]),
        _unless(MMAP, _THIRD_ARGUMENT, PROT_EXEC), _unless(MPROTECT, _THIRD_ARGUMENT, PROT_EXEC),
        # FFmpeg names its threads.
        _step(_EQUAL, PRCTL, 0, 4), _step(_LOAD, _FIRST_ARGUMENT),
        _step(_EQUAL, PR_SET_NAME, 0, 1), _step(_RETURN, _ALLOW), _step(_RETURN, _KILL),
        _step(_EQUAL, CLONE, 0, 3), _step(_LOAD, _FIRST_ARGUMENT),
        _step(_ANY_BIT, CLONE_THREAD, 0, 1), _step(_RETURN, _ALLOW),
        _step(_RETURN, _KILL),
    ))  # fmt: skip


def _answer(answer: int, numbers: Iterable[int]) -> bytes:
    return b"".join(_step(_EQUAL, number, 0, 1) + _step(_RETURN, answer) for number in numbers)


def _unless(number: int, argument: int, bits: int) -> bytes:
    """Allow a call unless its argument has one of the bits."""
    return b"".join((
        _step(_EQUAL, number, 0, 4), _step(_LOAD, argument), _step(_ANY_BIT, bits, 0, 1),
        _step(_RETURN, _KILL), _step(_RETURN, _ALLOW),
    ))  # fmt: skip


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    """Return one instruction; ``true`` and ``false`` are how many a comparison skips."""
    return struct.pack("=HBBI", code, true, false, value)


def _prctl(option: int, *given: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [a if not isinstance(a, int) else ctypes.c_ulong(a) for a in (*given, 0, 0, 0)[:4]]
    if library.prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")
