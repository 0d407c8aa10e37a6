"""What is being served when a key is revoked ends soon, whatever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from server.errors import Unavailable
from server.security.callers import Caller
from server.security.exposure import Access
from server.security.keys import Role
from server.settings import SecuritySettings
from server.web.access import auth
from server.web.access.keyring import Keyring

App = Callable[[Any, Any, Any], Awaitable[None]]

START = {"type": "http.response.start", "status": 200, "headers": []}


class Revocable:
    """A keyring with one key, which is revoked after it was checked so many times; None: never."""

    def __init__(self, checks: int | None, fails: bool = False) -> None:
        self.left = checks
        self._fails = fails

    async def by_key(self, _: str) -> Caller:
        return Caller("one", Role.ADMIN)

    async def is_valid(self, _: Caller) -> bool:
        if self._fails:
            raise Unavailable("The database does not answer.")
        if self.left is not None:
            self.left -= 1
        return self.left is None or self.left > 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "RECHECK_SECONDS", 0.01)


def served(app: App, keyring: Revocable, kind: str = "http") -> list[Any]:
    """Let a caller with the key be served; return what was sent."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": kind,
        "method": "POST",
        "path": "/v1/videos",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer x")],
    }
    gate = auth.Gate(app, Access.KEYS, SecuritySettings(), cast("Keyring", keyring), lambda _: None)
    asyncio.run(asyncio.wait_for(gate(scope, receive, send), 20.0))
    return sent


def test_an_upload_is_answered() -> None:
    removed: list[str] = []

    async def upload(_: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
        finally:
            removed.append("file")
        await send(START)

    first, body = served(upload, Revocable(3))
    assert (first["status"], removed) == (401, ["file"])
    assert b"revoked" in body["body"]


def test_a_preview_ends() -> None:
    async def preview(_: Any, __: Any, send: Any) -> None:
        await send(START)
        while True:
            await send({"type": "http.response.body", "body": b"picture", "more_body": True})
            await asyncio.sleep(0.001)

    first, *pictures, last = served(preview, Revocable(3))
    assert first["status"] == 200 and len(pictures) > 1
    assert last == {"type": "http.response.body"}


def test_a_socket_is_closed() -> None:
    async def socket(_: Any, receive: Any, __: Any) -> None:
        await receive()

    (last,) = served(socket, Revocable(3), "websocket")
    assert (last["type"], last["code"]) == ("websocket.close", 4401)


@pytest.mark.parametrize("keyring", [Revocable(None), Revocable(None, fails=True)])
def test_what_is_served_to_a_valid_key_continues(keyring: Revocable) -> None:
    async def slow(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(0.1)
        await send(START)

    assert served(slow, keyring) == [START]


def test_an_applications_own_timeout_is_its_own() -> None:
    async def late(_: Any, __: Any, ___: Any) -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        served(late, Revocable(None))


def test_nothing_is_left_running() -> None:
    async def scenario() -> set[str]:
        async def quick(_: Any, __: Any, send: Any) -> None:
            await send(START)

        gate = auth.Gate(
            quick,
            Access.KEYS,
            SecuritySettings(),
            cast("Keyring", Revocable(None)),
            lambda _: None,
        )
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/models",
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer x")],
        }

        async def send(_: Any) -> None: ...

        await gate(scope, cast("Any", None), send)
        await asyncio.sleep(0)
        return {task.get_name() for task in asyncio.all_tasks()} - {
            asyncio.current_task().get_name()  # type: ignore[union-attr]
        }

    assert asyncio.run(scenario()) == set()
