"""The process side: the socket and the line that says where it is."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from server.app import create_app
from server.commands import serve
from server.commands.serve import bind, check_folder, ready_line, shown_address
from server.engines.fake import FakeEngine
from server.errors import Fault
from server.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((256, 4096), (4096, 4096)),
        ((256, 10**6), (65_536, 10**6)),
        ((10**5, 10**6), (10**5, 10**6)),
    ],
)
def test_as_many_files_may_be_open_as_the_machine_allows(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int]
) -> None:
    limits = {resource.RLIMIT_NOFILE: before}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    serve.allow_open_files()
    assert limits == {resource.RLIMIT_NOFILE: after}


def test_port_0_takes_a_free_one() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_an_address_in_use_is_a_fault_with_a_sentence() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(Fault, match="address already in use"):
        bind("127.0.0.1", taken.getsockname()[1])


def test_a_folder_of_another_user_is_a_fault_that_names_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serve, "TemporaryFile", refuse)
    with pytest.raises(Fault, match=rf"permission denied; give it .*\(uid {os.geteuid()}\)"):
        check_folder(tmp_path)


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


@pytest.mark.parametrize(
    ("published", "shown"),
    [
        (None, "127.0.0.1:8000"),
        ("127.0.0.1", "127.0.0.1:8000"),
        ("0.0.0.0:8001", "127.0.0.1:8001"),
        ("192.168.1.5:8001", "192.168.1.5:8001"),
        ("[::1]:8001", "[::1]:8001"),
    ],
)
def test_a_container_shows_the_address_at_which_it_is_published(
    published: str | None, shown: str
) -> None:
    assert shown_address("0.0.0.0", 8000, published) == shown
