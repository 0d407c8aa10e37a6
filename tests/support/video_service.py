"""The whole service with the fake engine, and what tests of its REST API do with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Pixels
from server.settings import DecodeSettings, Settings, VideoSettings

OnStep = Callable[[Sequence[Pixels]], None]
MakeClip = Callable[..., Path]


@contextmanager
def serving(
    folder: Path,
    on_step: OnStep | None = None,
    *,
    decode: DecodeSettings | None = None,
    **videos: Any,
) -> Iterator[TestClient]:
    """The whole service on a folder, with the fake engine."""
    settings = Settings(
        folder=folder / "data",
        videos=VideoSettings(min_free_bytes=0, **videos),
        decode=decode or DecodeSettings(),
    )
    app = create_app(settings, lambda: FakeEngine(fake_spec(48, 64), on_step=on_step))
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.portal is not None
        client.portal.call(app.state.service.loaded)
        yield client


def post(client: TestClient, content: bytes, **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    answer = client.post("/v1/videos", content=content, headers=named)
    assert answer.status_code == 202, answer.text
    video: dict[str, Any] = answer.json()
    assert answer.headers["location"] == video["links"]["self"] == f"/v1/videos/{video['id']}"
    return video


def events(client: TestClient, video: dict[str, Any], seen: str | None = None) -> list[Any]:
    """All events of a video to its end, each (id, data)."""
    headers = {"Last-Event-ID": seen} if seen else {}
    answer = client.get(video["links"]["events"], headers=headers)
    if answer.status_code == 204:
        return []
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] not in ":")
        if lines:
            found.append((lines["id"], json.loads(lines["data"])))
    return found


def ended(client: TestClient, video: dict[str, Any]) -> dict[str, Any]:
    events(client, video)
    now: dict[str, Any] = client.get(video["links"]["self"]).json()
    return now


def uploads(folder: Path) -> list[Path]:
    return list((folder / "data" / "videos").iterdir())


def refused(answer: Any, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    return str(answer.json()["detail"])
