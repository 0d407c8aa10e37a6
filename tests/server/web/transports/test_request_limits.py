"""The sizes and times of a request, without a socket and without a clock."""

from __future__ import annotations

import pytest

from server.errors import HeadTooLarge, UrlTooLong
from server.web.transports.request_limits import (
    Awaiting,
    RequestClock,
    check_head,
    check_headers,
    check_url,
)


def clock() -> RequestClock:
    """Ten seconds for a head, thirty for a body that stalls."""
    return RequestClock(10, 30, deadline=10)


def test_a_head_has_its_time_from_the_beginning_and_not_from_its_first_byte() -> None:
    watch = clock()
    assert watch.verdict() is None
    watch.begun()
    assert (watch.awaiting, watch.deadline) == (Awaiting.HEAD, 10)
    error = watch.verdict()
    assert error and error.status == 408 and "head" in str(error)


def test_a_body_buys_time_by_its_bytes_and_saves_up_no_more_than_its_seconds() -> None:
    watch = clock()
    watch.begun()
    watch.head_came(2)
    assert watch.deadline == 32
    watch.body_came(500, 12)
    assert watch.deadline == 33
    watch.body_came(10**6, 13)
    assert watch.deadline == 43
    error = watch.verdict()
    assert error and error.status == 408 and "body" in str(error)


def test_a_drip_of_a_byte_a_second_ends() -> None:
    watch = clock()
    watch.head_came(0)
    now = 0
    while watch.deadline is not None and now < watch.deadline:
        now += 1
        watch.body_came(1, now)
    assert now == 31


def test_while_the_server_answers_there_is_no_deadline() -> None:
    watch = clock()
    watch.begun()
    watch.head_came(1)
    watch.request_came(2)
    assert (watch.awaiting, watch.deadline) == (Awaiting.NOTHING, None)
    watch.not_read(50)
    assert watch.deadline is None
    watch.answered(100)
    assert (watch.awaiting, watch.deadline) == (Awaiting.START, 110)
    assert watch.verdict() is None


def test_an_answer_before_the_end_of_the_body_leaves_the_bodys_deadline() -> None:
    watch = clock()
    watch.head_came(0)
    watch.answered(5)
    assert (watch.awaiting, watch.deadline) == (Awaiting.REST, 30)
    assert watch.verdict() is None
    watch.request_came(8)
    assert (watch.awaiting, watch.deadline) == (Awaiting.START, 18)


def test_what_the_server_does_not_read_is_not_the_clients_fault() -> None:
    watch = clock()
    watch.head_came(0)
    watch.not_read(29)
    assert watch.deadline == 39
    watch.not_read(29)
    assert watch.deadline == 39


def test_sizes() -> None:
    check_url(b"/" * 8000)
    with pytest.raises(UrlTooLong):
        check_url(b"/" * 8001)
    check_headers([(b"a", b"b")] * 127)
    with pytest.raises(HeadTooLarge, match="127"):
        check_headers([(b"a", b"b")] * 128)
    check_headers([(b"cookie", b"b" * 7994)])
    with pytest.raises(HeadTooLarge, match="8000"):
        check_headers([(b"cookie", b"b" * 7995)])
    check_head(65536)
    with pytest.raises(HeadTooLarge):
        check_head(65537)


def test_the_rest_of_a_body_ends_however_fast_it_comes() -> None:
    clock = RequestClock(10.0, 30.0, 10.0)
    clock.begun()
    clock.head_came(0.0)
    clock.answered(1.0)
    for now in range(2, 30):
        clock.body_came(10**9, float(now))
        clock.not_read(float(now))
    assert (clock.awaiting, clock.deadline, clock.verdict()) == (Awaiting.REST, 30.0, None)
    clock.request_came(30.0)
    assert (clock.awaiting, clock.deadline) == (Awaiting.START, 40.0)
