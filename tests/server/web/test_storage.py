"""/v1/videos with a storage: files are moved there and served from there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from video_service import MakeClip, ended, post, refused, serving, uploads

from server.videos import moving
from server.videos.storage import Storage


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/storage"
    found: str = request.getfixturevalue("bucket")
    return found


@contextmanager
def stored(tmp_path: Path, url: str, clip: bytes) -> Iterator[tuple[TestClient, dict[str, Any]]]:
    """A service and a video whose files are in the storage."""
    with serving(tmp_path, storage=url) as client:
        video = ended(client, post(client, clip))
        move(client, 2)
        assert uploads(tmp_path) == []
        yield client, video


def move(client: TestClient, passes: int) -> None:
    """Move all files, as the server does every few seconds."""
    service = client.app.state.service  # type: ignore[attr-defined]
    files, disk = service.jobs.files, service.jobs.disk
    mover = moving.Mover(files, Storage(files.settings.storage), disk)
    assert client.portal is not None
    for _ in range(passes):
        client.portal.call(mover.move)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the server from moving files itself."""

    async def never(_: moving.Mover) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(moving.Mover, "run", never)


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> bytes:
    return make_clip(tmp_path / "clip.mp4").read_bytes()


def test_files_are_the_same_from_the_disk_and_from_the_storage(
    tmp_path: Path, url: str, clip: bytes
) -> None:
    with serving(tmp_path, storage=url) as client:
        video = ended(client, post(client, clip))
        links = {n: link for n, link in video["links"].items() if n not in ("self", "events")}
        assert "source" in links and "masks.mkv" in links
        before = {name: client.get(link).content for name, link in links.items()}
        move(client, 1)
        assert uploads(tmp_path), "removed while requests may still open the files"
        move(client, 2)
        assert uploads(tmp_path) == []
        assert {name: client.get(link).content for name, link in links.items()} == before
        assert before["source"] == clip


def test_parts_and_conditions_are_those_of_any_file(tmp_path: Path, url: str, clip: bytes) -> None:
    with stored(tmp_path, url, clip) as (client, video):
        link = video["links"]["source"]
        whole = client.get(link)
        assert whole.headers["accept-ranges"] == "bytes"
        assert int(whole.headers["content-length"]) == len(clip)
        etag, modified = whole.headers["etag"], whole.headers["last-modified"]
        part = client.get(link, headers={"Range": "bytes=10-19", "If-Range": etag})
        assert (part.status_code, part.content) == (206, clip[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(clip)}"
        assert client.get(link, headers={"Range": "bytes=-5"}).content == clip[-5:]
        changed = client.get(link, headers={"Range": "bytes=10-19", "If-Range": '"other"'})
        assert (changed.status_code, changed.content) == (200, clip)
        several = client.get(link, headers={"Range": "bytes=0-1,5-6"})
        assert (several.status_code, several.content) == (200, clip)
        answer = client.get(link, headers={"Range": f"bytes={len(clip)}-"})
        assert refused(answer, 416, "requested_range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(clip)}"
        assert client.get(link, headers={"If-None-Match": etag}).status_code == 304
        assert client.get(link, headers={"If-Modified-Since": modified}).status_code == 304
        assert client.get(link, headers={"If-Match": '"other"'}).status_code == 412
        head = client.head(link, headers={"Range": "bytes=10-19"})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(clip))


def test_a_removed_video_leaves_nothing_in_the_storage(
    tmp_path: Path, url: str, clip: bytes
) -> None:
    with stored(tmp_path, url, clip) as (client, video):
        assert client.delete(video["links"]["self"]).status_code == 204
    with serving(tmp_path, storage=url) as client:
        move(client, 1)
        for name in ("masks.mkv", "source"):
            with pytest.raises(Exception, match="not in the server's storage"):
                Storage(url).find(video["id"], name)
        assert list((tmp_path / "data" / "videos.removed").iterdir()) == []


def test_a_storage_that_fails_costs_nothing(
    tmp_path: Path, bucket: str, clip: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert bucket
    with serving(tmp_path, storage="s3://there-is-no-such-bucket/x") as client:
        video = ended(client, post(client, clip))
        move(client, 2)
        assert client.get(video["links"]["source"]).content == clip
    assert "waits" in caplog.text


def test_a_file_that_is_lost_is_not_found(tmp_path: Path, clip: bytes) -> None:
    with serving(tmp_path) as client:
        video = ended(client, post(client, clip))
        (folder,) = uploads(tmp_path)
        (folder / "upload").unlink()
        assert "lost" in refused(client.get(video["links"]["source"]), 404, "not_found")
