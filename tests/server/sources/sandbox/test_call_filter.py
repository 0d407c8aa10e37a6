"""The filter of each architecture, interpreted, so that no such machine is needed."""

from __future__ import annotations

import errno

import bpf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sources.sandbox.call_filter import (
    ALLOW,
    CLONE_THREAD,
    ERRNO,
    KILL,
    PR_SET_NAME,
    PROT_EXEC,
    program,
)
from server.sources.sandbox.system_calls import (
    AARCH64,
    ALLOWED,
    ARCHITECTURES,
    CONNECTED,
    DENIED,
    DIALLING,
    LIMITED,
    X32_BIT,
    X86_64,
    Architecture,
)

I386, ARM, RISCV64 = 0x40000003, 0x40000028, 0xC00000F3
"""AUDIT_ARCH_* of calls that the same kernels take from processes of 32 bits, and of another."""

MORE_THAN_ALL = 1024
FORBIDDEN = ("socket", "connect", "execve", "fork", "vfork", "kill", "ptrace", "unlink", "pipe2")

every = pytest.mark.parametrize("on", ARCHITECTURES.values(), ids=ARCHITECTURES)
words = st.integers(0, 2**32 - 1)
arguments = st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6)


def answer(on: Architecture, number: int, *given: int) -> int:
    return bpf.answer(program(on), on.audit, number, given)


@every
def test_every_number_has_the_answer_of_its_list(on: Architecture) -> None:
    expected = dict.fromkeys(range(MORE_THAN_ALL), KILL)
    expected |= dict.fromkeys(on.of(ALLOWED), ALLOW)
    expected |= dict.fromkeys(on.of(DENIED), ERRNO | errno.EACCES)
    expected[on.numbers["clone3"]] = ERRNO | errno.ENOSYS
    expected |= dict.fromkeys(on.of(["mmap", "mprotect"]), ALLOW)  # of no argument's bits
    found = {number: answer(on, number) for number in range(MORE_THAN_ALL)}
    assert found == expected


@every
@given(number=words, given=arguments)
def test_what_is_in_no_list_is_killed_whatever_its_arguments(
    on: Architecture, number: int, given: list[int]
) -> None:
    if number not in on.of([*ALLOWED, *DENIED, *LIMITED]):
        assert answer(on, number, *given) == KILL


@every
@given(given=arguments)
def test_what_is_allowed_is_so_with_any_arguments(on: Architecture, given: list[int]) -> None:
    for number in on.of(ALLOWED):
        assert answer(on, number, *given) == ALLOW


@every
@given(given=arguments)
def test_no_memory_becomes_executable(on: Architecture, given: list[int]) -> None:
    for number in on.of(["mmap", "mprotect"]):
        assert answer(on, number, *given) == (KILL if given[2] & PROT_EXEC else ALLOW)


@every
@given(given=arguments)
def test_only_threads_are_cloned_and_named(on: Architecture, given: list[int]) -> None:
    flags = given[0]
    clone, prctl = on.numbers["clone"], on.numbers["prctl"]
    assert answer(on, clone, *given) == (ALLOW if flags & CLONE_THREAD else KILL)
    named = given[0] & 0xFFFFFFFF == PR_SET_NAME
    assert answer(on, prctl, *given) == (ALLOW if named else KILL)
    assert answer(on, prctl, PR_SET_NAME) == ALLOW


@every
@given(number=words, audit=st.one_of(st.sampled_from([I386, ARM, RISCV64]), words))
def test_calls_of_another_architecture_are_killed(
    on: Architecture, number: int, audit: int
) -> None:
    if audit != on.audit:
        assert bpf.answer(program(on), audit, number) == KILL


@every
def test_a_process_that_is_connected_is_refused_another_socket(on: Architecture) -> None:
    filtered = program(on, connected=True)
    expected = {number: answer(on, number) for number in range(MORE_THAN_ALL)}
    assert {expected[number] for number in on.of([*CONNECTED, *DIALLING])} == {KILL}
    expected |= dict.fromkeys(on.of(CONNECTED), ALLOW)
    expected |= dict.fromkeys(on.of(DIALLING), ERRNO | errno.EACCES)
    found = {number: bpf.answer(filtered, on.audit, number) for number in expected}
    assert found == expected


def test_each_architecture_refuses_the_calls_of_the_other() -> None:
    for number in range(MORE_THAN_ALL):
        assert bpf.answer(program(X86_64), AARCH64.audit, number) == KILL
        assert bpf.answer(program(AARCH64), X86_64.audit, number) == KILL


def test_the_x32_calls_are_killed_before_the_lists_are_read() -> None:
    for name in ALLOWED:
        if name in X86_64.numbers:
            assert answer(X86_64, X32_BIT + X86_64.numbers[name]) == KILL
    steps = program(X86_64)
    assert steps.index(X32_BIT.to_bytes(4, "little")) < 8 * 6
