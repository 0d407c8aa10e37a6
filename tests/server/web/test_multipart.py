"""Forms read chunk by chunk."""

from __future__ import annotations

import pytest

from server.errors import BadRequest
from server.web.multipart import FORM_BYTES, MultipartBody, RawBody, body_of

BOUNDARY = b"frontier"


def part(headers: bytes, content: bytes) -> bytes:
    disposition = b"Content-Disposition: form-data; " + headers
    return b"--" + BOUNDARY + b"\r\n" + disposition + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def read(body: MultipartBody, data: bytes, step: int) -> bytes:
    found = b"".join(body.feed(data[i : i + step]) for i in range(0, len(data), step))
    body.finish()
    return found


CONTENT = bytes(range(256)) * 3 + b"\r\n--fron\r\n--\r\n"
FILE = part(b'name="file"; filename="clip.mp4"', CONTENT)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_the_file_comes_out_whole_however_it_is_cut(step: int) -> None:
    body = MultipartBody(BOUNDARY)
    data = form(part(b'name="artefacts"', b"masks.mkv"), FILE, part(b'name="x"', b""))
    assert read(body, data, step) == CONTENT
    assert body.name == "clip.mp4"
    assert body.fields == {"artefacts": "masks.mkv", "x": ""}


def test_a_chunk_holds_no_more_than_it_was_fed() -> None:
    body = MultipartBody(BOUNDARY)
    data = form(part(b'name="file"; filename="a"', b"v" * 100_000))
    held = [len(body.feed(data[i : i + 1000])) for i in range(0, len(data), 1000)]
    assert max(held) <= 1100
    assert sum(held) == 100_000


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ('name="file"; filename="straße 🎬.mp4"', "straße 🎬.mp4"),
        ('name="file"; filename="a;b=\\"c\\".mp4"', 'a;b="c".mp4'),
        ('name="file"; filename=""', ""),
    ],
)
def test_names_of_files_are_read_as_written(headers: str, name: str) -> None:
    body = MultipartBody(BOUNDARY)
    assert read(body, form(part(headers.encode(), b"v")), 5) == b"v"
    assert body.name == name


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (form(FILE)[:-30], "closing boundary"),
        (FILE, "closing boundary"),
        (b"", "closing boundary"),
        (form(part(b'name="artefacts"', b"x")), "no file"),
        (form(FILE, FILE), "more than one file"),
        (form(part(b'name="x"', b"x" * FORM_BYTES), FILE), "fields hold more"),
        (form(*[part(b"", b"")] * FORM_BYTES), "fields hold more"),
        (b"this is no form at all, but it is long enough to tell", "not well-formed"),
        (b"--frontier\r\nbad header\r\n\r\n", "not well-formed"),
    ],
)
def test_a_bad_form_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read(MultipartBody(BOUNDARY), data, 1000)


def test_the_content_type_chooses_how_to_read() -> None:
    assert isinstance(body_of("multipart/form-data; boundary=abc"), MultipartBody)
    for other in (None, "video/mp4", "application/x-www-form-urlencoded", "application/json"):
        assert isinstance(body_of(other), RawBody)
    with pytest.raises(BadRequest, match="no boundary"):
        body_of("multipart/form-data")
    with pytest.raises(BadRequest, match="not well-formed"):
        body_of("multipart/form-data; boundary=" + "x" * 5000)


def test_a_raw_body_is_the_file() -> None:
    body = RawBody()
    assert body.feed(b"abc") == b"abc"
    body.finish()
    assert (body.name, body.fields) == (None, {})
