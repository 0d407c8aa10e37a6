"""The filter of system calls, tried by processes that install it."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys

import pytest

from server.errors import Fault
from server.sources.sandbox.seccomp import check_machine
from server.sources.sandbox.system_calls import architecture

filtering = pytest.mark.skipif(architecture() is None, reason="no filter for this machine")


def outcome(code: str) -> tuple[int, str]:
    """Run code in a filtered process; return its exit status and output."""
    before = (
        "import ctypes, mmap, os, socket, threading\nfrom server.sources.sandbox import seccomp\n"
    )
    whole = f"{before}seccomp.install()\n{code}\nprint('went on', flush=True)\nos._exit(0)"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, check=False)
    return done.returncode, done.stdout.decode().strip()


@filtering
def test_computing_continues() -> None:
    code = "data = bytearray(2**24)\nthreading.Thread(target=print, args=('thread',)).start()"
    status, said = outcome(code)
    assert status == 0 and said.endswith("went on")


@filtering
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
        pytest.param(
            "ctypes.CDLL(None).syscall(0x40000000 + 2, b'/etc/hostname', 0)",
            marks=pytest.mark.skipif(platform.machine() != "x86_64", reason="no x32 calls"),
        ),
    ],
)
def test_what_kills(code: str) -> None:
    assert outcome(code) == (-signal.SIGSYS, "")


@filtering
def test_a_thread_that_was_there_before_is_filtered_too() -> None:
    whole = (
        "import threading, socket; from server.sources.sandbox import seccomp\n"
        "go, done = threading.Event(), threading.Event()\n"
        "def connect(): go.wait(); socket.socket(); print('connected', flush=True); done.set()\n"
        "threading.Thread(target=connect).start()\n"
        "seccomp.install(); go.set(); done.wait()\n"
    )
    ended = subprocess.run([sys.executable, "-c", whole], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGSYS, b"")


@filtering
def test_files_seem_to_be_forbidden() -> None:
    code = "try: os.open('/etc/hostname', 0)\nexcept PermissionError: print('forbidden')"
    assert outcome(code) == (0, "forbidden\nwent on")


def test_a_machine_without_a_filter_is_named_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(Fault, match=r"x86_64 or aarch64 .*set MASTREAM_DECODE__SANDBOX to false"):
        check_machine()


def test_a_kernel_without_a_filter_is_named_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoSeccomp:
        def prctl(self, *_: int) -> int:
            return -1

    monkeypatch.setattr("server.sources.sandbox.seccomp._libc", NoSeccomp)
    monkeypatch.setattr("server.sources.sandbox.seccomp.architecture", object)
    with pytest.raises(Fault, match=r"kernel with seccomp.*set MASTREAM_DECODE__SANDBOX to false"):
        check_machine()


@filtering
def test_this_machine_has_a_filter() -> None:
    check_machine()
