"""Bodies that are read into memory have a limit, whoever sends them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import SecuritySettings, Settings, VideoSettings
from server.web.body_limit import BODY_BYTES, BodyLimit

CHUNK = bytes(2**16)


async def drain(_: Any, receive: Any, send: Any) -> None:
    """Read a body to its end, and answer with its size."""
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def answer_first(_: Any, receive: Any, send: Any) -> None:
    """Read a body only to learn whether the client has left, as during a preview."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["more_body"]:
        await send({"type": "http.response.body", "body": b"picture", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def sent(path: str, chunks: int) -> tuple[int, int]:
    """Send so many chunks to an application behind the limit; return its status, and how many were
    taken."""
    answers, taken = exchanged(drain, path, chunks)
    return answers[0]["status"], taken


def exchanged(app: Any, path: str, chunks: int) -> tuple[list[Any], int]:
    """Send so many chunks to an application; return its messages, and how many were taken."""
    taken, answers = 0, list[Any]()

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": CHUNK, "more_body": taken < chunks}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "path": path, "method": "POST"}
    asyncio.run(BodyLimit(app)(scope, receive, send))
    return answers, taken


def test_a_body_within_the_limit_passes() -> None:
    most = BODY_BYTES // len(CHUNK)
    assert sent("/v1/session", most) == (200, most)


def test_a_larger_body_is_refused_as_soon_as_it_has_come() -> None:
    most = BODY_BYTES // len(CHUNK)
    assert sent("/v1/session", 10**6) == (413, most + 1)


def test_a_body_that_comes_after_the_answer_has_begun_does_not_end_it() -> None:
    answers, taken = exchanged(answer_first, "/v1/streams/a/preview", 40)
    assert taken == 40 and len(answers) == 41
    assert [one["type"] for one in answers[:2]] == ["http.response.start", "http.response.body"]
    assert answers[-1] == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/uploads", "/v1/uploads/abc"])
def test_uploads_have_limits_of_their_own(path: str) -> None:
    assert sent(path, 40) == (200, 40)


@pytest.mark.parametrize("path", ["/v1/videosx", "/v1/videos/a/b", "/v1/uploads/a/b", "/"])
def test_nothing_else_has(path: str) -> None:
    assert sent(path, 40)[0] == 413


@pytest.mark.parametrize("path", ["/v1/session", "/v1/streams", "/v1/sources/test", "/v1/keys"])
def test_the_service_refuses_a_large_body(tmp_path: Path, path: str) -> None:
    settings = Settings(
        folder=tmp_path,
        security=SecuritySettings(hosts=("testserver",)),
        videos=VideoSettings(min_free_bytes=0),
    )
    with TestClient(create_app(settings, lambda: FakeEngine(fake_spec(48, 64)))) as web:
        json = {"Content-Type": "application/json"}
        refused = web.post(path, content=b'"' + bytes(BODY_BYTES), headers=json)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert "X-Request-Id" in refused.headers
        assert web.post(path, content=b'"a"', headers=json).status_code != 413
