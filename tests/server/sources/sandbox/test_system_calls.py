"""The numbers of system calls, against the kernel's own headers and against a copy of them."""

from __future__ import annotations

import platform
import re
import struct
import sys
from pathlib import Path

import pytest

from server.sources.sandbox.system_calls import (
    ALLOWED,
    ARCHITECTURES,
    CONNECTED,
    DENIED,
    DIALLING,
    LIMITED,
    X86_64,
    architecture,
)

COPIES = Path(__file__).parent / "system_calls"
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
"""Debian's package ``linux-libc-dev`` has both."""


def numbers_of(header: str) -> dict[str, int]:
    """The numbers that a header defines for 64 bits, of some calls by way of another macro."""
    wide = dict(re.findall(r"#define __NR3264_(\w+)\s+(\d+)", header))
    found = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", header))
    of_64_bits, _, _ = header.partition("#define __NR_fcntl64")
    for name, macro in re.findall(r"#define __NR_(\w+)\s+__NR3264_(\w+)", of_64_bits):
        if macro in wide:
            found[name] = wide[macro]
    return {name: int(number) for name, number in found.items()}


def copy_of(machine: str) -> dict[str, int]:
    lines = (COPIES / f"{machine}.txt").read_text().splitlines()
    return {name: int(number) for name, number in (line.split() for line in lines)}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    kernels = copy_of(machine)
    table = ARCHITECTURES[machine].numbers
    assert table == {name: kernels[name] for name in table}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_copies_are_those_of_the_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]} here")
    header = numbers_of(HEADERS[machine].read_text())
    copied = copy_of(machine)
    assert copied == {name: header[name] for name in copied}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_a_call_is_missing_only_if_the_architecture_has_none(machine: str) -> None:
    table, kernels = ARCHITECTURES[machine].numbers, copy_of(machine)
    wanted = {*ALLOWED, *DENIED, *CONNECTED, *DIALLING, *LIMITED, "seccomp"}
    assert {name for name in wanted if name not in table} == wanted - set(kernels)


def test_no_call_is_in_two_lists() -> None:
    names = [*ALLOWED, *DENIED, *CONNECTED, *DIALLING, *LIMITED]
    assert len(names) == len(set(names))


def test_this_machines_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert architecture() is X86_64
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert architecture() is None
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(struct, "calcsize", lambda _: 4)
    assert architecture() is None
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert architecture() is None
