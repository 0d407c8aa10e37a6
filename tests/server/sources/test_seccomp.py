"""The filter of system calls, tried by processes that install it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from server.sources.seccomp import ALLOWED, DENIED, missing, program

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no filter here: {missing()}")


def outcome(code: str) -> tuple[int, str]:
    """Run code in a filtered process; return its exit status and output."""
    before = "import ctypes, mmap, os, socket, threading; from server.sources import seccomp\n"
    whole = f"{before}seccomp.install()\n{code}\nprint('went on', flush=True)\nos._exit(0)"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, check=False)
    return done.returncode, done.stdout.decode().strip()


def test_computing_goes_on() -> None:
    code = "data = bytearray(2**24)\nthreading.Thread(target=print, args=('thread',)).start()"
    status, said = outcome(code)
    assert status == 0 and said.endswith("went on")


@pytest.mark.parametrize(
    "code",
    [
        "socket.socket()",
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.kill(os.getpid(), 0)",
        "os.unlink('nothing')",
        "os.pipe()",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        "ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
        "ctypes.CDLL(None).syscall(0x40000000 + 2, b'/etc/hostname', 0)",
    ],
)
def test_what_kills(code: str) -> None:
    assert outcome(code) == (-signal.SIGSYS, "")


def test_files_seem_to_be_forbidden() -> None:
    code = "try: os.open('/etc/hostname', 0)\nexcept PermissionError: print('forbidden')"
    assert outcome(code) == (0, "forbidden\nwent on")


def test_the_program_is_whole_instructions_and_the_lists_are_apart() -> None:
    assert len(program()) % 8 == 0
    assert not set(ALLOWED.values()) & set(DENIED.values())
