"""Forms read chunk by chunk."""

from __future__ import annotations

import pytest

from server.errors import BadRequest
from server.web.videos.multipart import FORM_BYTES, MultipartBody, RawBody, body_of

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


NEARLY = [
    b"\r\n--frontierX\r\n",
    b"\r\n--frontier-\r\n",
    b"\r\n--frontier" + b" " * 65 + b"\r\n",
    b"--frontier",
    b" --frontier--",
    b"\r\r\n--fronti",
    b"\r\n--frontier x",
    b"\r",
    b"\n",
    b"\r\n--frontier\r",
]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 11, 10_000])
@pytest.mark.parametrize("nearly", NEARLY)
def test_what_is_nearly_a_boundary_is_content(nearly: bytes, step: int) -> None:
    for content in (nearly, nearly * 3, b"v" + nearly, nearly + b"v"):
        body = MultipartBody(BOUNDARY)
        assert read(body, form(part(b'name="file"; filename="a"', content)), step) == content


@pytest.mark.parametrize("step", [1, 4, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"This is a multipart message.\r\n" + form(FILE),
        b"\r\n\r\n" + form(FILE),
        b"-- not the boundary\r\n--front\r\n" + form(FILE),
        form(FILE) + b"The end.\r\n--frontier\r\nA: b\r\n\r\n",
        form(FILE)[:-2],
        form(FILE).replace(b"--frontier\r\n", b"--frontier \t\r\n"),
        form(FILE).replace(b"; filename", b";\r\n\tfilename"),
        form(FILE).replace(b"Content-D", b"Content-Type: video/mp4\r\ncontent-d"),
    ],
    ids=["preamble", "lines", "dashes", "epilogue", "no end", "padding", "folded", "types"],
)
def test_what_mail_and_older_clients_send_around_the_file_is_taken(data: bytes, step: int) -> None:
    body = MultipartBody(BOUNDARY)
    assert read(body, data, step) == CONTENT
    assert body.name == "clip.mp4"


@pytest.mark.parametrize("step", [1, 10_000])
def test_lines_may_end_without_carriage_returns(step: int) -> None:
    body = MultipartBody(BOUNDARY)
    data = form(part(b'name="a"', b"b"), part(b'name="file"; filename="c"', b"v\nv\n"))
    assert read(body, data.replace(b"\r\n", b"\n"), step) == b"v\nv\n"
    assert (body.name, body.fields) == ("c", {"a": "b"})


BLANK = part(b'name="other"; filename=""\r\nContent-Type: application/octet-stream', b"")
BLANK_STAR = part(b"name=\"other\"; filename*=utf-8''", b"")


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    "parts", [(BLANK, FILE), (FILE, BLANK), (BLANK, BLANK, FILE, BLANK), (FILE, BLANK_STAR)]
)
def test_unused_inputs_of_a_form_are_no_files(parts: tuple[bytes, ...], step: int) -> None:
    body = MultipartBody(BOUNDARY)
    assert read(body, form(*parts), step) == CONTENT
    assert (body.name, body.fields) == ("clip.mp4", {})


def test_a_file_may_be_empty_and_may_have_no_name() -> None:
    body = MultipartBody(BOUNDARY)
    assert read(body, form(BLANK, part(b'name="file"; filename="a.mp4"', b"")), 9) == b""
    assert body.name == "a.mp4"
    for headers in (b'name="file"', b'name="v"\r\nContent-Type: video/mp4', b'filename=""'):
        body = MultipartBody(BOUNDARY)
        assert read(body, form(part(headers, CONTENT)), 9) == CONTENT
        assert not body.name


def test_a_field_that_comes_twice_is_a_list() -> None:
    body = MultipartBody(BOUNDARY)
    some = [part(b'name="artefacts"', name) for name in (b"masks.mkv", b"masks.zip")]
    read(body, form(some[0], FILE, some[1]), 1000)
    assert body.fields == {"artefacts": "masks.mkv,masks.zip"}


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
        (form(FILE, part(b'name="b"; filename="b"', b"")), "more than one file"),
        (form(FILE, part(b'name="b"; filename=""', b"v")), "more than one file"),
        (form(part(b'name="b"; filename=""', b"v"), FILE), "more than one file"),
        (form(BLANK), "no file"),
        (form(BLANK, part(b'name="artefacts"', b"x")), "no file"),
        (form(), "no file"),
        (b"x" * FORM_BYTES + b"\r\n" + form(FILE), "fields hold more"),
        (
            form(part(b'name="file"; filename="' + b"x" * 8192 + b'"', b"v")),
            "8192 bytes of headers",
        ),
        (form(part(b'name="file"\r\nContent-Transfer-Encoding: base64', b"v")), "'base64'"),
        (form(FILE).replace(BOUNDARY, b"another"), "not well-formed.*closing boundary"),
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
    for other in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; x",
    ):
        with pytest.raises(BadRequest, match="no boundary"):
            body_of(other)
    for same in (
        'Multipart/Form-Data; charset=utf-8; Boundary="frontier"',
        "multipart/form-data;boundary=frontier; x=y",
        "multipart/form-data; boundary*=us-ascii''frontier",
    ):
        body = body_of(same)
        assert isinstance(body, MultipartBody)
        assert read(body, form(FILE), 1000) == CONTENT
    with pytest.raises(BadRequest, match="not well-formed"):
        body_of("multipart/form-data; boundary=" + "x" * 5000)


def test_a_raw_body_is_the_file() -> None:
    body = RawBody()
    assert body.feed(b"abc") == b"abc"
    body.finish()
    assert (body.name, body.fields) == (None, {})
