"""The process side: the socket and the line that says where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.app import create_app
from server.commands.serve import bind, ready_line
from server.engines.fake import FakeEngine
from server.errors import Fault
from server.settings import Settings

pytestmark = pytest.mark.anyio


def test_port_0_takes_a_free_one() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_an_address_in_use_is_a_fault_with_a_sentence() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(Fault, match="address already in use"):
        bind("127.0.0.1", taken.getsockname()[1])


def test_a_host_that_is_not_ours_is_a_fault() -> None:
    with pytest.raises(Fault, match=r"Cannot listen on 203\.0\.113\.1:0"):
        bind("203.0.113.1", 0)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
async def test_the_ready_line_says_where_it_really_is(
    tmp_path: Path, host: str, shown: str
) -> None:
    service = create_app(Settings(folder=tmp_path), FakeEngine).state.service
    service.begin()
    try:
        await service.loaded()
        with bind(host, 0) as listener:
            port = listener.getsockname()[1]
            told = ready_line(listener, service)
    finally:
        await service.end()
    assert told == f"mastream is ready at http://{shown}:{port} (model fake, engine fake)"
