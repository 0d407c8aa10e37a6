"""/v1/videos over HTTP."""

from __future__ import annotations

import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import fastapi.routing
import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient
from job_process import write_clip
from living import children
from video_service import MakeClip, OnStep, ended, events, post, refused, serving, uploads

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Pixels
from server.settings import DecodeSettings, Settings, VideoSettings
from server.sinks.recorder import ALWAYS, ARTEFACTS, USUAL
from server.sources.sandbox.system_calls import architecture


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service for all tests that do not care which videos others have sent."""
    with serving(tmp_path_factory.mktemp("lasting")) as client:
        yield client


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "clip.mp4")


def held(step: int) -> tuple[OnStep, threading.Event]:
    """A fake step that is held from this number on, until the event is set."""
    steps, go_on = iter(range(step)), threading.Event()

    def on_step(_: Sequence[Pixels]) -> None:
        if next(steps, None) is None:
            assert go_on.wait(30), "nobody let the engine go on"

    return on_step, go_on


def test_a_video_goes_in_and_its_artefacts_come_out(client: TestClient, clip: Path) -> None:
    video = post(client, clip.read_bytes(), content_type="video/mp4")
    assert video["state"] in ("queued", "running")
    assert video["source"]["frames"] == 12
    assert (video["source"]["width"], video["source"]["height"]) == (64, 48)
    done = ended(client, video)
    assert done["state"] == "succeeded"
    assert done["error"] is None
    assert done["progress"]["frames_done"] == done["progress"]["frames_total"] == 12
    assert done["progress"]["fps"] > 0
    assert done["progress"]["eta_s"] == 0
    assert set(done["links"]) == {"self", "events", "source", *USUAL, *ALWAYS}
    for name in (*USUAL, *ALWAYS):
        assert client.get(done["links"][name]).status_code == 200


@pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine")
def test_in_the_sandbox_a_video_is_checked_cut_and_decoded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 30)
    with serving(tmp_path, decode=DecodeSettings(sandbox=True), piece_frames=10) as client:
        video = post(client, clip.read_bytes())
        assert children("sandboxed")
        done = ended(client, video)
        assert (done["state"], done["progress"]["frames_done"]) == ("succeeded", 30)
        refused(client.post("/v1/videos", content=b"text" * 100), 415, "unsupported_media")


def test_a_form_is_taken_with_its_name_and_artefacts(
    client: TestClient, clip: Path, tmp_path: Path
) -> None:
    file = {"file": ("C:\\films\\straße.mp4", clip.read_bytes(), "video/mp4")}
    form = {"artefacts": "summary.json, masks.zip"}
    answer = client.post("/v1/videos", files=file, data=form)
    assert answer.status_code == 202, answer.text
    done = ended(client, answer.json())
    assert done["name"] == "straße.mp4"
    made = ["masks.zip", "summary.json", "poster.jpg"]
    assert done["artefacts"] == made
    assert set(done["links"]) == {"self", "events", "source", *made}
    (tmp_path / "masks.zip").write_bytes(client.get(done["links"]["masks.zip"]).content)
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        assert len(archive.namelist()) == 12
    assert refused(client.get(f"{done['links']['self']}/masks.mkv"), 404, "not_found")


@pytest.mark.parametrize(
    ("name", "shown", "offered"),
    [
        ("filename*=UTF-8''stra%C3%9Fe.mp4", "straße.mp4", "UTF-8''stra%C3%9Fe.summary.json"),
        ('filename="=?UTF-8?B?c3RyYcOfZS5tcDQ=?="', "straße.mp4", 'filename="stra_e.summary.json"'),
        ('filename="C:\\films\\a.mp4"', "a.mp4", 'filename="a.summary.json"'),
        ('filename="../../etc/a.mp4"', "a.mp4", 'filename="a.summary.json"'),
        ('filename="a\u202e%0D%0Ab.mp4 "', "ab.mp4", 'filename="ab.summary.json"'),
        ('filename=".."', "video", 'filename="video.summary.json"'),
        ('filename="C:\\films\\"', "video", 'filename="video.summary.json"'),
        ('filename=""', "video", 'filename="video.summary.json"'),
        ("x=y", "video", 'filename="video.summary.json"'),
    ],
)
def test_a_form_of_a_foreign_client_is_taken_and_its_name_kept(
    name: str, shown: str, offered: str, lasting: TestClient, clip: Path
) -> None:
    blank = b'--b\r\nContent-Disposition: form-data; name="more"; filename=""\r\n\r\n\r\n'
    head = f'--b\r\nContent-Disposition: form-data; name="file"; {name}\r\n\r\n'.encode()
    form = b"A preamble.\r\n" + blank + head + clip.read_bytes() + b"\r\n--b--\r\nAn epilogue."
    answer = lasting.post(
        "/v1/videos?artefacts=summary.json",
        content=form,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 202, answer.text
    done = ended(lasting, answer.json())
    assert (done["state"], done["name"]) == ("succeeded", shown)
    assert offered in lasting.get(done["links"]["summary.json"]).headers["content-disposition"]


def test_a_raw_body_may_say_its_name_and_artefacts(client: TestClient, clip: Path) -> None:
    asked = {"name": "trip.mp4", "artefacts": "masks.mkv"}
    video = client.post("/v1/videos", params=asked, content=clip.read_bytes()).json()
    assert (video["name"], video["artefacts"]) == ("trip.mp4", ["masks.mkv", "poster.jpg"])


def test_an_unknown_artefact_is_refused_before_the_upload(
    client: TestClient, tmp_path: Path
) -> None:
    answer = client.post("/v1/videos?artefacts=masks.mov", content=b"v")
    assert "masks.mov" in refused(answer, 422, "bad_request")
    assert uploads(tmp_path) == []


def sound(path: Path) -> bytes:
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def archive(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "no video" * 100)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (archive, 415, "unsupported_media"),
        (sound, 422, "bad_video"),
        (lambda _: b"", 422, "bad_video"),
        (lambda _: b"just some text, longer than a header\n" * 100, 415, "unsupported_media"),
    ],
    ids=["zip called mp4", "audio only", "zero bytes", "text"],
)
@pytest.mark.parametrize("as_form", [False, True])
def test_what_is_no_video_is_refused_and_leaves_nothing(
    *,
    make: Callable[[Path], bytes],
    status: int,
    code: str,
    as_form: bool,
    client: TestClient,
    clip: Path,
    tmp_path: Path,
) -> None:
    content = make(tmp_path / "bad.mp4")
    if as_form:
        answer = client.post("/v1/videos", files={"file": ("bad.mp4", content, "video/mp4")})
    else:
        answer = client.post("/v1/videos", content=content, headers={"Content-Type": "video/mp4"})
    refused(answer, status, code)
    assert f'mastream_rejected_total{{reason="{code}"}} 1.0' in client.get("/metrics").text
    assert uploads(tmp_path) == []
    assert client.get("/v1/videos").json()["videos"] == []
    assert ended(client, post(client, clip.read_bytes()))["state"] == "succeeded"


def test_a_post_that_is_not_valid_is_counted_too(client: TestClient) -> None:
    answer = client.post("/v1/videos", params={"name": "n" * 256}, content=b"")
    refused(answer, 422, "bad_request")
    assert answer.json()["errors"][0]["field"] == "query.name"
    assert 'mastream_rejected_total{reason="bad_request"} 1.0' in client.get("/metrics").text


def test_a_video_cut_off_half_way_is_refused(
    client: TestClient, clip: Path, tmp_path: Path
) -> None:
    content = clip.read_bytes()
    answer = client.post("/v1/videos", content=content[: len(content) // 2])
    refused(answer, 422, "bad_video")
    assert uploads(tmp_path) == []


@pytest.mark.parametrize("kind", ["video/mp4", "multipart/form-data; boundary=b"])
def test_an_upload_cut_off_half_way_leaves_nothing(
    kind: str, client: TestClient, clip: Path, tmp_path: Path
) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    half = head + clip.read_bytes()[:2000]
    messages = iter(
        [
            {"type": "http.request", "body": half, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    found: list[list[Path]] = []

    async def receive() -> Any:
        found.append(uploads(tmp_path))
        return next(messages)

    async def send(_: Any) -> None:
        pass

    headers = [(b"content-type", kind.encode()), (b"content-length", b"100000")]
    scope = {"type": "http", "method": "POST", "path": "/v1/videos", "headers": headers}
    assert client.portal is not None
    client.portal.call(client.app, scope | {"query_string": b""}, receive, send)
    assert len(found[0]) == 1, "it was being stored"
    assert uploads(tmp_path) == []
    assert ended(client, post(client, clip.read_bytes()))["state"] == "succeeded"


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        ({"max_seconds": 0.2}, 422, "bad_video"),
        ({"max_pixels": 100}, 422, "bad_video"),
        ({"max_bytes": 1000}, 413, "too_large"),
    ],
    ids=["too long", "too large a picture", "too many bytes"],
)
@pytest.mark.parametrize("as_form", [False, True])
def test_a_video_over_a_limit_is_refused_and_leaves_nothing(
    *, limits: dict[str, Any], status: int, code: str, as_form: bool, clip: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, **limits) as client:
        sent: dict[str, Any] = {"content": clip.read_bytes()}
        if as_form:
            sent = {"files": {"file": ("clip.mp4", clip.read_bytes())}}
        refused(client.post("/v1/videos", **sent), status, code)
        assert uploads(tmp_path) == []


def test_an_upload_without_length_stops_at_the_limit(tmp_path: Path) -> None:
    sent = []

    def chunks() -> Iterator[bytes]:
        for _ in range(1000):
            sent.append(1000)
            yield b"v" * 1000

    with serving(tmp_path, max_bytes=5000) as client:
        refused(client.post("/v1/videos", content=chunks()), 413, "too_large")
        assert uploads(tmp_path) == []


def test_a_size_that_changes_in_the_middle_is_served(
    client: TestClient, make_clip: MakeClip, tmp_path: Path
) -> None:
    parts = [make_clip(tmp_path / f"{n}.h264", 5, (64 * n, 48 * n)).read_bytes() for n in (1, 2)]
    done = ended(client, post(client, b"".join(parts)))
    assert done["state"] == "succeeded"
    assert done["progress"]["frames_done"] == 10


def test_the_queue_is_bounded(tmp_path: Path, clip: Path) -> None:
    on_step, go_on = held(0)
    with serving(tmp_path, on_step, max_jobs=1) as client:
        first = post(client, clip.read_bytes())
        while client.get(first["links"]["self"]).json()["state"] != "running":
            pass
        second = post(client, clip.read_bytes(), idempotency_key="known")
        answer = client.post("/v1/videos", content=clip.read_bytes())
        refused(answer, 503, "no_capacity")
        assert answer.headers["retry-after"]
        again = post(client, clip.read_bytes(), idempotency_key="known")
        assert again["id"] == second["id"]
        assert len(uploads(tmp_path)) == 2
        go_on.set()
        assert ended(client, second)["state"] == "succeeded"


def test_a_disk_nearly_full_refuses(tmp_path: Path, clip: Path) -> None:
    settings = {"min_free_bytes": 2**62}
    app = create_app(
        Settings(folder=tmp_path / "data", videos=VideoSettings(**settings)),
        lambda: FakeEngine(fake_spec(48, 64)),
    )
    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(app.state.service.loaded)
        answer = client.post("/v1/videos", content=clip.read_bytes())
        assert "disk" in refused(answer, 503, "no_capacity")


def test_a_key_gives_the_same_video_again(client: TestClient, clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    video = post(client, content, idempotency_key="k")
    again = post(client, content, idempotency_key="k")
    assert again["id"] == video["id"]
    assert post(client, content)["id"] != video["id"]
    assert post(client, content, idempotency_key="l")["id"] != video["id"]
    answer = client.post(
        "/v1/videos?artefacts=masks.mkv", content=content, headers={"Idempotency-Key": "k"}
    )
    assert "Idempotency-Key" in refused(answer, 409, "conflict")
    answer = client.post("/v1/videos", content=b"other", headers={"Idempotency-Key": "k"})
    refused(answer, 409, "conflict")
    assert len(uploads(tmp_path)) == 3


def test_a_running_video_is_cancelled_and_then_removed(tmp_path: Path, clip: Path) -> None:
    on_step, go_on = held(3)
    with serving(tmp_path, on_step) as client:
        video = post(client, clip.read_bytes())
        this = video["links"]["self"]
        while (now := client.get(this).json())["progress"]["frames_done"] < 3:
            assert now["state"] in ("queued", "running")
        assert now["progress"]["eta_s"] > 0
        refused(client.get(f"{this}/masks.mkv"), 409, "conflict")
        answer = client.delete(this)
        assert (answer.status_code, answer.content) == (204, b"")
        assert client.get(this).json()["state"] == "cancelled"
        assert uploads(tmp_path) == []
        refused(client.get(f"{this}/masks.mkv"), 404, "not_found")
        assert client.delete(this).status_code == 204
        for method in ("GET", "DELETE"):
            refused(client.request(method, this), 404, "not_found")
        refused(client.get(f"{this}/events"), 404, "not_found")
        go_on.set()


def test_the_metrics_count_videos_by_state(client: TestClient, clip: Path) -> None:
    ended(client, post(client, clip.read_bytes()))
    told = client.get("/metrics").text
    assert re.search(r'mastream_jobs{folder="[0-9a-f]{32}",state="succeeded"} 1\.0', told)
    assert re.search(r'mastream_jobs{folder="[0-9a-f]{32}",state="running"} 0\.0', told)
    assert "mastream_pieces_held 0.0" in told


def test_a_video_that_succeeded_is_removed_with_its_files(
    client: TestClient, clip: Path, tmp_path: Path
) -> None:
    done = ended(client, post(client, clip.read_bytes()))
    assert client.delete(done["links"]["self"]).status_code == 204
    assert uploads(tmp_path) == []
    refused(client.get(done["links"]["masks.mkv"]), 404, "not_found")


def test_artefacts_have_types_names_and_parts(client: TestClient, clip: Path) -> None:
    file = {"file": ("my trip.mp4", clip.read_bytes())}
    done = ended(client, client.post("/v1/videos", files=file).json())
    whole = client.get(done["links"]["overlay.mp4"])
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-disposition"].startswith("inline")
    assert whole.headers["accept-ranges"] == "bytes"
    zipped = client.get(done["links"]["masks.zip"])
    assert zipped.headers["content-type"] == "application/zip"
    assert "my trip.masks.zip" in zipped.headers["content-disposition"]
    assert client.get(done["links"]["masks.mkv"]).headers["content-type"] == "video/x-matroska"
    assert client.get(done["links"]["summary.json"]).json()["totals"]["frames"] == 12

    link, etag, size = done["links"]["overlay.mp4"], whole.headers["etag"], len(whole.content)

    def get(**headers: str) -> Any:
        return client.get(link, headers={k.replace("_", "-"): v for k, v in headers.items()})

    part = get(Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    assert get(Range="bytes=-5").content == whole.content[-5:]
    assert get(Range="bytes=10-", If_Range=etag).content == whole.content[10:]
    assert get(Range="bytes=10-19", If_Range='"other"').content == whole.content
    beyond = get(Range=f"bytes={size}-")
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    refused(beyond, 416, "requested_range_not_satisfiable")
    for ignored in ("pages=1-2", "bytes=9-5", "bytes=x", "junk"):
        whole_again = get(Range=ignored)
        assert (whole_again.status_code, whole_again.content) == (200, whole.content)
    two = get(Range="bytes=0-3,10-19,12-21")
    assert two.status_code == 206
    assert two.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert two.headers["content-length"] == str(len(two.content))
    assert two.content.count(b"Content-Range: ") == 2
    assert whole.content[10:22] in two.content


def test_the_uploaded_file_is_served_while_it_is_kept(tmp_path: Path, clip: Path) -> None:
    content, on_step = clip.read_bytes(), held(1)
    with serving(tmp_path, on_step[0], keep_uploads=False) as client:
        link = post(client, content)["links"]["source"]
        whole = client.get(link)
        assert (whole.status_code, whole.content) == (200, content)
        part = client.get(link, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
        etag = {"If-None-Match": whole.headers["etag"]}
        assert client.get(link, headers=etag).status_code == 304
        on_step[1].set()
        done = ended(client, client.get(link.removesuffix("/source")).json())
        assert "source" not in done["links"]
        refused(client.get(link), 404, "not_found")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.MP4", "video/mp4"), ("a.webm", "video/webm"), ("a.html", "application/octet-stream")],
)
def test_the_uploaded_file_is_never_a_page(
    lasting: TestClient, clip: Path, name: str, kind: str
) -> None:
    file = {"file": (name, clip.read_bytes(), "text/html")}
    done = ended(lasting, lasting.post("/v1/videos", files=file).json())
    answer = lasting.get(done["links"]["source"])
    assert answer.content == clip.read_bytes()
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_artefacts_obey_conditions(client: TestClient, clip: Path) -> None:
    link = ended(client, post(client, clip.read_bytes()))["links"]["overlay.mp4"]
    whole = client.get(link)
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    past = "Sun, 06 Nov 1994 08:49:37 GMT"
    for method in ("GET", "HEAD"):
        for name, text, status in (
            ("If-None-Match", etag, 304),
            ("If-None-Match", "*", 304),
            ("If-None-Match", '"other"', 200),
            ("If-Modified-Since", modified, 304),
            ("If-Modified-Since", past, 200),
            ("If-Match", etag, 200),
            ("If-Match", '"other"', 412),
            ("If-Unmodified-Since", modified, 200),
            ("If-Unmodified-Since", past, 412),
        ):
            answer = client.request(method, link, headers={name: text})
            assert answer.status_code == status, (method, name, text)
            if status == 304:
                assert answer.headers["etag"] == etag
                assert answer.headers["cache-control"] == whole.headers["cache-control"]
    for ranged in ("bytes=0-1", "bytes=999999999-"):
        answer = client.get(link, headers={"If-Match": '"other"', "Range": ranged})
        refused(answer, 412, "precondition_failed")
    for if_range in (etag, modified):
        answer = client.get(link, headers={"If-Range": if_range, "Range": "bytes=0-1"})
        assert answer.status_code == 206
    for if_range in (f"W/{etag}", '"other"', past):
        answer = client.get(link, headers={"If-Range": if_range, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content) == (200, whole.content)
    missing = client.get(link.replace("overlay.mp4", "x"), headers={"If-Match": '"other"'})
    refused(missing, 404, "not_found")


def test_head_is_get_without_a_body_and_without_ranges(client: TestClient, clip: Path) -> None:
    done = ended(client, post(client, clip.read_bytes()))
    for path in ("/v1/videos", *done["links"].values(), "/v1/models", "/health/ready", "/docs"):
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        if "events" not in path:
            assert head.headers["content-length"] == str(len(get.content)), path
    link = done["links"]["overlay.mp4"]
    for ranged in ("bytes=0-1", "bytes=999999999-", "bytes=0-1,5-6"):
        head = client.head(link, headers={"Range": ranged})
        assert head.status_code == 200
        assert head.headers["content-length"] == str(len(client.get(link).content))
    assert client.head("/v1/videos/unknown").status_code == 404


def test_head_of_events_does_not_wait_for_them(tmp_path: Path, clip: Path) -> None:
    on_step, go_on = held(0)
    with serving(tmp_path, on_step) as client:
        head = client.head(post(client, clip.read_bytes())["links"]["events"])
        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        assert "no-store" in head.headers["cache-control"]
        go_on.set()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/videos", "GET, HEAD, POST"),
        ("/v1/videos/x", "GET, HEAD, DELETE"),
        ("/v1/videos/x/events", "GET, HEAD"),
        ("/v1/videos/x/masks.mkv", "GET, HEAD"),
        ("/v1/models", "GET, HEAD"),
        ("/health/live", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    path: str, allowed: str, lasting: TestClient
) -> None:
    answer = lasting.put(path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("name", ["upload", "masks.mkv.part", "..%2Fupload", "%2e%2e", "x.mp4"])
def test_no_other_file_is_served(name: str, lasting: TestClient, clip: Path) -> None:
    done = ended(lasting, post(lasting, clip.read_bytes()))
    refused(lasting.get(f"{done['links']['self']}/{name}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/videos/a%00b", "/v1/videos?cursor=%00"])
def test_a_nul_is_no_part_of_an_id(path: str, lasting: TestClient) -> None:
    refused(lasting.get(path), 422, "bad_request")


@pytest.mark.parametrize("video", ["unknown", "..", "%2e%2e", "a" * 64])
def test_an_unknown_video_is_not_found(video: str, lasting: TestClient) -> None:
    for path in ("", "/events", "/masks.mkv"):
        assert lasting.get(f"/v1/videos/{video}{path}").status_code == 404


def test_events_report_every_change_and_resume(tmp_path: Path, clip: Path) -> None:
    with serving(tmp_path) as client:
        video = post(client, clip.read_bytes())
        told = events(client, video)
        ids = [event for event, _ in told]
        assert len(set(ids)) == len(ids)
        assert told[-1][1] == client.get(video["links"]["self"]).json()
        assert told[-1][1]["state"] == "succeeded"
        answer = client.get(video["links"]["events"], headers={"Last-Event-ID": ids[-1]})
        assert (answer.status_code, answer.content) == (204, b"")
        assert [data for _, data in events(client, video, seen="older")] == [told[-1][1]]


def test_events_have_heart_beats(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.02)
    on_step, go_on = held(2)
    with serving(tmp_path, on_step) as client:
        video = post(client, clip.read_bytes())
        threading.Timer(0.5, go_on.set).start()
        answer = client.get(video["links"]["events"])
        assert ": ping\n\n" in answer.text
        assert "no-store" in answer.headers["cache-control"]


def test_pages_hold_every_video_once(client: TestClient, clip: Path) -> None:
    made = [post(client, clip.read_bytes())["id"] for _ in range(5)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/videos", params=params).json()
        seen += [video["id"] for video in page["videos"]]
        cursor, pages = page["next"], pages + 1
    assert (seen, pages) == (made[::-1], 3)
    for limit in (0, 201, "x"):
        refused(client.get("/v1/videos", params={"limit": limit}), 422, "bad_request")


def test_the_documentation_knows_uploads_and_answers(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    paths, listed = (
        described["paths"],
        described["components"]["schemas"]["VideoBody"]["properties"],
    )
    upload = paths["/v1/videos"]["post"]
    assert set(upload["requestBody"]["content"]) == {
        "multipart/form-data",
        "video/*",
        "application/octet-stream",
    }
    assert "202" in upload["responses"]
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    (asked,) = [one for one in upload["parameters"] if one["name"] == "artefacts"]
    assert (asked["style"], asked["explode"]) == ("form", False)
    for some in (asked["schema"], form["artefacts"], listed["artefacts"]):
        assert (some["type"], some["items"]["enum"]) == ("array", list(ARTEFACTS))
    assert set(paths["/v1/videos/{video}/{name}"]["get"]["responses"]["200"]["content"]) == {
        "video/x-matroska",
        "video/mp4",
        "application/zip",
        "application/json",
        "text/csv",
        "image/jpeg",
    }
    answers = paths["/v1/videos/{video}/events"]["get"]["responses"]
    assert answers["200"]["content"] == {"text/event-stream": {"schema": {"type": "string"}}}
    assert "204" in answers
    assert "204" in paths["/v1/videos/{video}"]["delete"]["responses"]
    parameters = paths["/v1/videos/{video}/{name}"]["get"]["parameters"]
    (name,) = [one for one in parameters if one["name"] == "name"]
    assert name["schema"]["enum"] == list(ARTEFACTS)


def test_the_documentation_describes_the_summary(client: TestClient, clip: Path) -> None:
    described = client.get("/openapi.json").json()
    answers = described["paths"]["/v1/videos/{video}/{name}"]["get"]["responses"]["200"]["content"]
    assert answers["video/mp4"]["schema"] == {"type": "string", "format": "binary"}
    schema = answers["application/json"]["schema"]
    done = ended(client, post(client, clip.read_bytes()))
    summary = client.get(done["links"]["summary.json"]).json()
    jsonschema.validate(summary, schema | {"components": described["components"]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            summary | {"frames": 12}, schema | {"components": described["components"]}
        )
    body = described["components"]["schemas"]["SummaryBody"]
    assert set(body["properties"]) == set(summary), "each field is described, and no other"
