"""/v1/uploads over HTTP: uploads in parts, by tus 1.0.0."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from video_service import MakeClip, ended, refused, serving, uploads

from server.web.videos.tus import PART_TYPE

TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": PART_TYPE}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(tmp_path) as client:
        yield client


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> bytes:
    return make_clip(tmp_path / "clip.mp4").read_bytes()


def metadata(**fields: str) -> str:
    pairs = {name: base64.b64encode(text.encode()).decode() for name, text in fields.items()}
    return ",".join(f"{name} {text}" for name, text in pairs.items())


def create(client: TestClient, length: int, **headers: str) -> str:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    answer = client.post("/v1/uploads", headers=TUS | {"Upload-Length": str(length)} | named)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    return str(answer.headers["Location"])


def send(client: TestClient, link: str, offset: int, part: bytes) -> Any:
    return client.patch(link, headers=PART | {"Upload-Offset": str(offset)}, content=part)


def offset(client: TestClient, link: str) -> int:
    answer = client.head(link, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    return int(answer.headers["Upload-Offset"])


def video_of(client: TestClient, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 204, answer.text
    found: dict[str, Any] = client.get(answer.headers["Video-Location"]).json()
    return found


def test_the_server_describes_what_it_supports(client: TestClient) -> None:
    answer = client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert "creation-with-upload" in answer.headers["Tus-Extension"].split(",")
    assert answer.headers["Tus-Max-Size"] == str(2 * 2**30)


def test_parts_become_the_video_that_a_post_would_give(client: TestClient, clip: bytes) -> None:
    asked = metadata(filename="C:\\a\\straße.mp4", artefacts="summary.json", filetype="video/mp4")
    link = create(client, len(clip), Upload_Metadata=asked)
    assert offset(client, link) == 0
    first = send(client, link, 0, clip[:1000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000")
    assert "Video-Location" not in first.headers
    assert offset(client, link) == 1000
    video = video_of(client, send(client, link, 1000, clip[1000:]))
    assert (video["name"], video["artefacts"]) == ("straße.mp4", ["summary.json", "poster.jpg"])
    assert video["bytes"] == len(clip)
    assert ended(client, video)["state"] == "succeeded"
    answer = client.head(link)
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == str(len(clip))
    assert answer.headers["Video-Location"] == video["links"]["self"]
    again = video_of(client, send(client, link, len(clip), b""))
    assert again["id"] == video["id"]


def test_the_first_part_may_come_with_the_creation(client: TestClient, clip: bytes) -> None:
    length = {"Upload-Length": str(len(clip))}
    answer = client.post("/v1/uploads", headers=PART | length, content=clip[:10])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "10")
    assert video_of(client, send(client, answer.headers["Location"], 10, clip[10:]))
    answer = client.post("/v1/uploads", headers=PART | length, content=clip)
    assert answer.status_code == 201
    assert client.get(answer.headers["Video-Location"]).json()["bytes"] == len(clip)


def test_a_part_must_begin_where_the_last_one_ended(client: TestClient, clip: bytes) -> None:
    link = create(client, len(clip))
    send(client, link, 0, clip[:100])
    for wrong in (0, 99, 101):
        assert "has 100 bytes" in refused(send(client, link, wrong, b"x"), 409, "offset_mismatch")
    assert offset(client, link) == 100


def test_a_part_is_no_longer_than_what_is_missing(client: TestClient, clip: bytes) -> None:
    link = create(client, len(clip))
    assert refused(send(client, link, 0, clip + b"x"), 413, "too_large")

    assert offset(client, link) == 0
    assert video_of(client, send(client, link, 0, clip))


def test_other_versions_and_types_are_refused(client: TestClient) -> None:
    link = create(client, 10)
    answer = client.head(link, headers={"Tus-Resumable": "0.2.2"})
    assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")
    answer = client.patch(link, headers=TUS | {"Upload-Offset": "0"}, content=b"x")
    assert PART_TYPE in refused(answer, 415, "unsupported_media")
    answer = client.patch(link, headers=PART, content=b"x")
    assert "Upload-Offset is missing" in refused(answer, 422, "bad_request")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 422, "bad_request"),
        ({"Upload-Length": "0"}, 422, "bad_video"),
        ({"Upload-Length": "-1"}, 422, "bad_request"),
        ({"Upload-Length": "ten"}, 422, "bad_request"),
        ({"Upload-Length": str(10**15)}, 413, "too_large"),
        ({"Upload-Length": "9" * 5000}, 422, "bad_request"),
        ({"Upload-Length": "5", "Upload-Metadata": "artefacts bm9uZQ=="}, 422, "bad_request"),
        ({"Upload-Length": "5", "Upload-Metadata": "filename !"}, 422, "bad_request"),
        ({"Upload-Length": "5", "Upload-Metadata": "a b c"}, 422, "bad_request"),
        ({"Upload-Length": "5", "Upload-Metadata": "filename /w=="}, 422, "bad_request"),
    ],
)
def test_a_creation_that_is_wrong_is_refused_and_leaves_nothing(
    client: TestClient, tmp_path: Path, headers: dict[str, str], status: int, code: str
) -> None:
    assert refused(client.post("/v1/uploads", headers=TUS | headers), status, code)
    assert uploads(tmp_path) == []


def test_what_is_no_video_is_refused_as_by_a_post_and_its_bytes_are_removed(
    client: TestClient, tmp_path: Path
) -> None:
    content = b"this is no video at all" * 10
    posted = client.post("/v1/videos", content=content)
    link = create(client, len(content))
    answer = send(client, link, 0, content)
    assert answer.status_code == posted.status_code == 415
    assert answer.json() == posted.json()
    assert uploads(tmp_path) == []
    # The answer may have been lost: it is given again.
    assert offset(client, link) == len(content)
    assert send(client, link, len(content), b"").json() == posted.json()
    assert client.get("/v1/videos").json()["videos"] == []


def test_a_removed_upload_leaves_nothing(client: TestClient, tmp_path: Path) -> None:
    link = create(client, 1000)
    send(client, link, 0, bytes(10))
    assert client.delete(link, headers=TUS).status_code == 204
    assert uploads(tmp_path) == []
    assert client.head(link).status_code == 404
    assert refused(send(client, link, 10, b"x"), 404, "not_found")
    assert refused(client.delete(link), 404, "not_found")


def test_a_post_may_stand_for_patch_and_delete(client: TestClient, tmp_path: Path) -> None:
    link = create(client, 10)
    headers = PART | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = client.post(link, headers=headers, content=b"abc")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "3")
    answer = client.post(link, headers={"X-HTTP-Method-Override": "PUT"})
    assert refused(answer, 422, "bad_request")
    assert client.post(link, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert uploads(tmp_path) == []


def test_removing_a_complete_upload_keeps_its_video(client: TestClient, clip: bytes) -> None:
    link = create(client, len(clip))
    video = video_of(client, send(client, link, 0, clip))
    assert client.delete(link).status_code == 204
    assert ended(client, video)["state"] == "succeeded"


def test_the_same_key_continues_the_same_upload(client: TestClient, clip: bytes) -> None:
    link = create(client, len(clip), Idempotency_Key="k")
    send(client, link, 0, clip[:10])
    assert create(client, len(clip), Idempotency_Key="k") == link
    longer = TUS | {"Upload-Length": str(len(clip) + 1), "Idempotency-Key": "k"}
    assert refused(client.post("/v1/uploads", headers=longer), 409, "conflict")
    video = video_of(client, send(client, link, 10, clip[10:]))
    assert create(client, len(clip), Idempotency_Key="k") == link
    posted = client.post("/v1/videos", content=clip, headers={"Idempotency-Key": "k"})
    assert posted.json()["id"] == video["id"]


def test_a_video_posted_before_with_the_key_is_the_uploads_video(
    client: TestClient, clip: bytes, tmp_path: Path
) -> None:
    posted = client.post("/v1/videos", content=clip, headers={"Idempotency-Key": "k"}).json()
    link = create(client, len(clip), Idempotency_Key="k")
    assert video_of(client, send(client, link, 0, clip))["id"] == posted["id"]
    assert [folder.name for folder in uploads(tmp_path)] == [posted["id"]]


def test_unfinished_uploads_are_bounded_in_number_and_bytes(tmp_path: Path) -> None:
    with serving(tmp_path, max_uploads=2, unfinished_bytes=100) as client:
        first = create(client, 60)
        answer = client.post("/v1/uploads", headers=TUS | {"Upload-Length": "41"})
        assert "more than 100 bytes" in refused(answer, 503, "no_capacity")
        create(client, 40)
        answer = client.post("/v1/uploads", headers=TUS | {"Upload-Length": "1"})
        assert "2 uploads are unfinished" in refused(answer, 503, "no_capacity")
        client.delete(first)
        create(client, 1)


def test_an_upload_outlives_the_server_and_expires_after_its_last_byte(
    tmp_path: Path, clip: bytes
) -> None:
    with serving(tmp_path) as client:
        link = create(client, len(clip))
        old = create(client, 10)
        send(client, link, 0, clip[:500])
        send(client, old, 0, clip[:5])
    long_ago = time.time() - 25 * 3600
    os.utime(tmp_path / "data" / "videos" / old.rpartition("/")[2] / "upload", (long_ago,) * 2)
    with serving(tmp_path) as client:
        assert client.head(old).status_code == 404
        assert offset(client, link) == 500
        service = client.app.state.service  # type: ignore[attr-defined]
        assert client.portal is not None
        client.portal.call(service.uploads.expire)
        assert [folder.name for folder in uploads(tmp_path)] == [link.rpartition("/")[2]]
        assert video_of(client, send(client, link, 500, clip[500:]))["bytes"] == len(clip)


def test_the_kill_after_the_video_was_queued_gives_it_once(tmp_path: Path, clip: bytes) -> None:
    with serving(tmp_path) as client:
        link = create(client, len(clip))
        video = video_of(client, send(client, link, 0, clip))
        video = ended(client, video)
        rows = client.app.state.service.uploads._rows  # type: ignore[attr-defined]
        rows.end(video["id"], None, None)
    with serving(tmp_path) as client:
        assert client.head(link).headers["Video-Location"] == video["links"]["self"]
        assert client.get(video["links"]["summary.json"]).status_code == 200


def test_a_full_disk_refuses_a_part_and_keeps_what_has_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as client:
        link = create(client, 5_000_000)
        send(client, link, 0, bytes(2_000_000))
        monkeypatch.setattr("server.videos.files.free_bytes", lambda _: -1)
        assert refused(send(client, link, 2_000_000, bytes(3_000_000)), 503, "no_capacity")
        monkeypatch.undo()
        assert offset(client, link) >= 2_000_000
