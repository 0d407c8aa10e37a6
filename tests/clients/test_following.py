"""Which servers a client connects to when it is sent on, and when it returns to its entry point."""

from __future__ import annotations

from typing import Any

import pytest

from clients.python import Backoff, NoCapacity, connect
from clients.python.errors import GoneAway, Unreachable
from clients.python.following import MAX_HOPS, after, answered, entrance, may_follow, onward
from protocol import GoingAway

ENTRY = "ws://a:1/v1/stream?model=m"
JPEG = b"\xff\xd8\xff a picture"


def sent_to(url: str | None) -> GoneAway:
    return GoneAway("It stops.", "", 0.0, None, url)


def test_a_client_goes_where_it_is_sent_and_keeps_its_query() -> None:
    route = after(entrance(ENTRY), sent_to("ws://b/v1/stream"))
    assert (route.address, route.is_named) == ("ws://b/v1/stream?model=m", True)
    assert after(entrance(ENTRY), sent_to("ws://b/s?x=1")).address == "ws://b/s?x=1"


@pytest.mark.parametrize("error", [sent_to(None), Unreachable("Lost."), NoCapacity("Full.")])
def test_any_other_end_leads_back_to_the_entry(error: Any) -> None:
    route = after(after(entrance(ENTRY), sent_to("ws://b/")), error)
    assert (route.address, route.is_named) == (ENTRY, False)


def test_servers_that_send_each_other_clients_keep_none_forever() -> None:
    route, named = entrance(ENTRY), 0
    while (route := after(route, sent_to("ws://b/"))).is_named:
        named += 1
    assert (named, route) == (MAX_HOPS, entrance(ENTRY))


def test_a_client_that_is_sent_nowhere_raises_why() -> None:
    route = onward(entrance(ENTRY), sent_to("ws://b/"))
    assert route.address == "ws://b/?model=m"
    for error in (sent_to(None), sent_to("http://b/"), NoCapacity("Full.")):
        with pytest.raises(type(error)) as raised:
            onward(route, error)
        assert raised.value is error


def test_an_answer_allows_as_many_hops_again() -> None:
    route = after(entrance(ENTRY), sent_to("ws://b/"))
    assert (answered(route).hops, answered(route).address) == (0, route.address)


@pytest.mark.parametrize(
    ("entry", "url", "may"),
    [
        ("ws://a/", "ws://b/", True),
        ("ws://a/", "wss://b/", True),
        ("wss://a/", "wss://b/", True),
        ("wss://a/", "ws://b/", False),
        ("ws://a/", "http://b/", False),
        ("ws://a/", "ws://user:word@b/", False),
        ("ws://a/", "ws:///v1/stream", False),
        ("ws://a/", "ws://b:99999/", False),
        ("ws://a/", "ws://[b/", False),
        ("ws://a/", "", False),
    ],
)
def test_only_sockets_and_never_without_tls_after_tls(entry: str, url: str, may: bool) -> None:
    assert may_follow(entry, url) is may


@pytest.mark.anyio
async def test_a_full_server_sends_a_stream_to_another(small_server: Any) -> None:
    async def full(talk: Any) -> None:
        await talk.say(GoingAway(0, None, other.url.replace("http", "ws") + "/v1/stream"))
        await talk.socket.close(1012, "going_away")

    async def serves(talk: Any) -> None:
        await talk.greet()
        while (frame := await talk.frame()) is not None:
            await talk.mask(frame[0].seq)
        await talk.end()

    other, entry = small_server(serves), small_server(full)
    async with connect(entry.url, policy="every") as stream:
        assert [mask.seq async for mask in stream.segment([JPEG] * 3)] == [0, 1, 2]
    assert (len(entry.talks), len(other.talks)) == (1, 1)


@pytest.mark.anyio
async def test_a_server_that_stops_sends_its_stream_to_another(small_server: Any) -> None:
    seen: list[int] = []

    async def stops(talk: Any) -> None:
        await talk.greet(resume="token")
        await talk.frame()
        await talk.mask(0)
        await talk.say(GoingAway(0, 0, other.url.replace("http", "ws") + "/v1/stream"))
        await talk.socket.close(1012, "going_away")

    async def serves(talk: Any) -> None:
        await talk.greet()
        while (frame := await talk.frame()) is not None:
            if not frame[0].replay:
                seen.append(frame[0].seq)
                await talk.mask(frame[0].seq)
        await talk.end()

    other, entry = small_server(serves), small_server(stops)
    patient = Backoff(first=600.0, longest=600.0, give_up=900.0)
    async with connect(entry.url, policy="every", resume=patient) as stream:
        assert [mask.seq async for mask in stream.segment([JPEG] * 4)] == [0, 1, 2, 3]
    assert seen == [1, 2, 3], "at once, though the next attempt would come after 600 s"
