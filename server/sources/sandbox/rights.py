"""The rights that a child process gives up before it reads the first byte of an untrusted file."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import av

from server.sources.sandbox import seccomp

_KEPT = ("PATH", "LANG", "TZ", "VIRTUAL_ENV")
_KEPT_GROUPS = ("PYTHON", "LD_", "LC_")
"""The variables of the environment that are kept; others may contain passwords."""

_PR_SET_PDEATHSIG = 1


def child_environment() -> dict[str, str]:
    """Return the environment of such a process."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_GROUPS)
    }
    # A process with NumPy's threads cannot be forked safely.
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def import_all() -> None:
    """Import what PyAV would import only when it opens a file."""
    for module in walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; end it if that is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def limit_memory(memory: int) -> None:
    """Limit this process to this many more bytes than it has, if the kernel enforces that."""
    if sys.platform == "linux":
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def give_up_rights(*, connected: bool = False) -> None:
    """Give up all rights except the open descriptors and the system calls that computing needs.

    A ``connected`` process may wait for its socket; if FFmpeg requests another one, it is only
    refused, while any other process is killed. Descriptor 0 must be in use then.
    """
    # The kernel polls no more descriptors than the limit; a new one would have to be below it.
    most = 1 if connected else 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    seccomp.install(connected=connected)
