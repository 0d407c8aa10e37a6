"""The system calls that a process without rights may still make, by architecture.

The numbers are those of Linux 6.1, which never change: ``arch/x86/entry/syscalls/syscall_64.tbl``
for x86-64, and ``include/uapi/asm-generic/unistd.h``, which aarch64 uses as it is. A call that an
architecture does not have is missing from its table.
"""

from __future__ import annotations

import platform
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ALLOWED = (
    "read", "write", "close", "fstat", "poll", "ppoll", "lseek", "munmap", "brk", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "pread64", "sched_yield", "mremap", "madvise", "nanosleep",
    "getpid", "sendto", "recvfrom", "exit", "gettimeofday", "sigaltstack", "gettid", "time",
    "futex", "sched_getaffinity", "clock_gettime", "clock_nanosleep", "exit_group",
    "set_robust_list", "getrandom", "membarrier", "rseq",
)  # fmt: skip
"""The calls that decoding needs, found by trying all formats of the tests. ``sendto`` and
``recvfrom`` reach only existing sockets, since no new one can be made."""

DENIED = (
    "open", "stat", "lstat", "access", "getcwd", "readlink", "openat", "newfstatat", "readlinkat",
    "faccessat", "statx", "openat2", "faccessat2",
)  # fmt: skip
"""Calls that look for files."""

CONNECTED = ("getsockopt", "getsockname")
"""What a process with a connection is allowed in addition; neither changes anything."""

DIALLING = ("socket", "uname")
"""What fails in such a process instead of killing it: FFmpeg may try to connect again, and asks for
the machine's name."""

LIMITED = ("mmap", "mprotect", "clone", "clone3", "prctl")
"""Calls that are allowed only with some arguments."""

X32_BIT = 0x40000000
"""Set in the numbers of the x32 calls of x86-64, which would bypass the list."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """``audit`` is the AUDIT_ARCH_* by which the kernel names it, and ``first_alien`` the first
    number that belongs to another interface of the same kernel, if there is one."""

    audit: int
    numbers: Mapping[str, int] = field(repr=False)
    first_alien: int | None = None

    def of(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of those calls that exist."""
        return [self.numbers[name] for name in names if name in self.numbers]


X86_64 = Architecture(
    audit=0xC000003E,
    numbers={
        "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7,
        "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "access": 21, "sched_yield": 24,
        "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "socket": 41, "sendto": 44,
        "recvfrom": 45, "getsockname": 51, "getsockopt": 55, "clone": 56, "exit": 60, "uname": 63,
        "getcwd": 79, "readlink": 89, "gettimeofday": 96, "sigaltstack": 131, "prctl": 157,
        "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "clock_gettime": 228,
        "clock_nanosleep": 230, "exit_group": 231, "openat": 257, "newfstatat": 262,
        "readlinkat": 267, "faccessat": 269, "ppoll": 271, "set_robust_list": 273, "seccomp": 317,
        "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334, "clone3": 435,
        "openat2": 437, "faccessat2": 439,
    },
    first_alien=X32_BIT,
)  # fmt: skip

AARCH64 = Architecture(
    audit=0xC00000B7,
    numbers={
        "getcwd": 17, "faccessat": 48, "openat": 56, "close": 57, "lseek": 62, "read": 63,
        "write": 64, "pread64": 67, "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80,
        "exit": 93, "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101,
        "clock_gettime": 113, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
        "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
        "uname": 160, "prctl": 167, "gettimeofday": 169, "getpid": 172, "gettid": 178,
        "socket": 198, "getsockname": 204, "sendto": 206, "recvfrom": 207, "getsockopt": 209,
        "brk": 214, "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222, "mprotect": 226,
        "madvise": 233, "seccomp": 277, "getrandom": 278, "membarrier": 283, "statx": 291,
        "rseq": 293, "clone3": 435, "openat2": 437, "faccessat2": 439,
    },
)  # fmt: skip

ARCHITECTURES = {"x86_64": X86_64, "aarch64": AARCH64}
"""The architectures by the kernel's name for the machine."""


def architecture() -> Architecture | None:
    """Return this process's architecture, None if there is no table for it."""
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        return None  # a process of 32 bits makes other calls on the same machine
    return ARCHITECTURES.get(platform.machine())
