from __future__ import annotations

import json
from typing import Any

import pytest

from clients.python.errors import Unreachable
from clients.python.load import Plan, camera, run_load
from protocol import DropCause, Dropped, DropPolicy, End

pytestmark = pytest.mark.anyio


def plan(url: str, **changes: Any) -> Plan:
    given = {"streams": 2, "rate": 200.0, "seconds": 0.02, "pictures": [b"a", b"b"]} | changes
    return Plan(url, **given)


async def test_every_stream_is_fed_and_measured(obliging: Any) -> None:
    result = await run_load(plan(obliging.url, policy=DropPolicy.EVERY))
    assert len(result.streams) == 2
    assert result.passed
    outcome = result.outcome
    assert outcome.masks == outcome.sent > 0
    assert outcome.sent + result.held == 8
    told = json.loads(json.dumps(result.to_dict()))
    assert told["frames"]["answered_once"] is True
    assert told["ms"]["round_trip"]["p99"] > 0
    assert all(str(talk.heard[0].policy) == "every" for talk in obliging.talks)


async def test_losses_and_breaches_are_reported(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.say(Dropped((0,), DropCause.OVERLOAD))
        await talk.say(Dropped((0,), DropCause.OVERLOAD))
        while await talk.frame() is not None:
            pass
        await talk.say(End())

    url = small_server(handler).url
    result = await run_load(plan(url, streams=1, rate=1000.0, seconds=0.003))
    assert result.outcome.dropped == {"overload": 1}
    assert result.outcome.doubled == 1
    assert not result.passed


async def test_a_stream_that_ends_early_does_not_end_the_others(small_server: Any) -> None:
    turns = iter([True, False])

    async def handler(talk: Any) -> None:
        await talk.greet()
        if next(turns):
            await talk.socket.close(1011, "engine_fault")
        else:
            await talk.answer_all()

    result = await run_load(plan(small_server(handler).url))
    assert len(result.errors) == 1
    assert "engine_fault" in result.errors[0]
    assert result.outcome.masks > 0
    assert not result.passed


async def test_no_server_is_an_error() -> None:
    with pytest.raises(Unreachable):
        await run_load(plan("http://127.0.0.1:1"))


async def test_a_camera_waits_for_nobody() -> None:
    now = [10.0]
    asked = plan("http://h", streams=1, rate=8.0, seconds=1.0)

    taken = []
    async for frame in camera(asked, 10.0, lambda: now[0]):
        taken.append((frame.pts, frame.picture))
        now[0] += 0.375
    assert [pts for pts, _ in taken] == [0.0, 0.375, 0.75]
    assert [picture for _, picture in taken] == [b"a", b"b", b"a"]
