"""Names of files, as clients of many kinds write them."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from server.errors import BadRequest
from server.web.videos.disposition import offered, read_part_headers


def disposition(parameters: str) -> bytes:
    return f'Content-Disposition: form-data; name="file"; {parameters}'.encode()


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        ('filename="clip.mp4"', "clip.mp4"),
        ("filename=clip.mp4", "clip.mp4"),
        ("filename=my clip.mp4", "my clip.mp4"),
        ('FileName = "clip.mp4"', "clip.mp4"),
        ('filename=""', ""),
        ('filename="a;b.mp4"', "a;b.mp4"),
        ('filename="a=b.mp4"', "a=b.mp4"),
        (r'filename="a\"b\".mp4"', 'a"b".mp4'),
        ('filename="a%22b%22.mp4"', 'a"b".mp4'),
        ('filename="100%25.mp4"', "100%25.mp4"),
        (r'filename="C:\films\clip.mp4"', r"C:\films\clip.mp4"),
        (r'filename="C:\\films\\clip.mp4"', r"C:\films\clip.mp4"),
        ('filename="straße 🎬.mp4"', "straße 🎬.mp4"),
        ("filename*=UTF-8''stra%C3%9Fe.mp4", "straße.mp4"),
        ("filename*=utf-8'de'stra%C3%9Fe.mp4", "straße.mp4"),
        ("filename*=ISO-8859-1''stra%DFe.mp4", "straße.mp4"),
        ("filename*=windows-1251''%EA%EE%F2.mp4", "кот.mp4"),
        ("filename*=UTF-8''a%22%3B%27b.mp4", "a\";'b.mp4"),
        ("filename*=\"UTF-8''stra%C3%9Fe.mp4\"", "straße.mp4"),
        ("filename*=UTF-8''straße.mp4", "straße.mp4"),
        ("filename*=UTF-8''stra%DFe.mp4", "straße.mp4"),
        ("filename*=clip.mp4", "clip.mp4"),
        ("filename*=UTF-8''", ""),
        ("filename=\"plain.mp4\"; filename*=UTF-8''stra%C3%9Fe.mp4", "straße.mp4"),
        ("filename*=UTF-8''stra%C3%9Fe.mp4; filename=\"plain.mp4\"", "straße.mp4"),
        ("filename=\"plain.mp4\"; filename*=UTF-8''stra%DFe.mp4", "plain.mp4"),
        ("filename=\"plain.mp4\"; filename*=klingon''stra%DFe.mp4", "plain.mp4"),
        ('filename*0="a long "; filename*1="name.mp4"', "a long name.mp4"),
        ("filename*0*=UTF-8''stra%C3; filename*1*=%9Fe; filename*2=.mp4", "straße.mp4"),
        ('filename="=?UTF-8?B?c3RyYcOfZS5tcDQ=?="', "straße.mp4"),
        ('filename="=?utf-8?q?stra=C3=9Fe_1.mp4?="', "straße 1.mp4"),
        ('filename="=?iso-8859-1?Q?stra=DFe?=.mp4"', "straße.mp4"),
        ('filename="=?UTF-8?Q?stra=C3?= =?UTF-8?Q?=9Fe.mp4?="', "straße.mp4"),
        ('filename="=?UTF-8?Q?stra=C3=9F?=\r\n =?UTF-8?Q?e.mp4?="', "straße.mp4"),
        ('filename="=?utf-8*de?q?stra=C3=9Fe.mp4?="', "straße.mp4"),
        ('filename="=?klingon?q?a.mp4?="', "=?klingon?q?a.mp4?="),
        ('filename="=?utf-8?b?!?="', "=?utf-8?b?!?="),
        ('filename="=?utf-8?b?a?="', "=?utf-8?b?a?="),
        ('filename="what=?.mp4"', "what=?.mp4"),
        ("filename=\"=?utf-8?B?c3Ry?=\"; filename*=utf-8''a.mp4", "a.mp4"),
        ('\r\n\tfilename="clip.mp4"', "clip.mp4"),
    ],
)
def test_a_name_is_read_in_every_form(parameters: str, filename: str) -> None:
    headers = read_part_headers(disposition(parameters))
    assert (headers.name, headers.is_file, headers.filename) == ("file", True, filename)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_bytes_beyond_ascii_are_utf_8_or_else_latin_1(encoding: str) -> None:
    block = 'Content-Disposition: form-data; filename="straße.mp4"'.encode(encoding)
    assert read_part_headers(block).filename == "straße.mp4"


@pytest.mark.parametrize(
    ("block", "name", "is_file", "filename"),
    [
        (b'Content-Disposition: form-data; filename="a.mp4"', "", True, "a.mp4"),
        (b"content-disposition: attachment; filename=a.mp4", "", True, "a.mp4"),
        (b'Content-Disposition: form-data; name="file"', "file", True, None),
        (b'Content-Disposition: form-data; name="v"\r\nContent-Type: video/mp4', "v", True, None),
        (b"Content-Type: video/mp4", "", True, None),
        (b"Content-Type: application/octet-stream", "", True, None),
        (b'Content-Type: video/mp4; name="a.mp4"', "", True, "a.mp4"),
        (b'Content-Disposition: form-data; name="artefacts"', "artefacts", False, None),
        (b"Content-Disposition: form-data; name=artefacts", "artefacts", False, None),
        (b"Content-Disposition:form-data;name=artefacts", "artefacts", False, None),
        (
            b'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="x"',
            "x",
            False,
            None,
        ),
        (
            b'Content-Disposition: form-data; name="x"\r\nContent-Type: application/json',
            "x",
            False,
            None,
        ),
        (b"Content-Disposition: form-data", "", False, None),
        (b"Content-Length: 5\nX-Other: 1", "", False, None),
        (b"", "", False, None),
    ],
)
def test_a_part_is_the_file_or_a_field(
    block: bytes, name: str, is_file: bool, filename: str | None
) -> None:
    headers = read_part_headers(block)
    assert (headers.name, headers.is_file, headers.filename) == (name, is_file, filename)


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
def test_an_encoding_that_changes_nothing_is_taken(encoding: str) -> None:
    block = disposition('filename="a"') + f"\r\nContent-Transfer-Encoding: {encoding}".encode()
    assert read_part_headers(block).filename == "a"


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"Content-Transfer-Encoding: base64", "encoded as 'base64': send its bytes"),
        (b"Content-Transfer-Encoding: quoted-printable", "'quoted-printable'"),
        (b'Content-Disposition: form-data; name="' + b";" * 64 + b'"', "more than 64 parameters"),
        (b"bad header", "not well-formed"),
        (b"a: b\r\nbad header\r\nc: d", "not well-formed"),
        (b"  folded: nothing", "not well-formed"),
    ],
)
def test_headers_that_cannot_be_followed_are_refused(block: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_part_headers(block)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("clip.masks.zip", 'attachment; filename="clip.masks.zip"'),
        ("my clip.zip", 'attachment; filename="my clip.zip"'),
        (
            "straße.zip",
            "attachment; filename=\"stra_e.zip\"; filename*=UTF-8''stra%C3%9Fe.zip",
        ),
        ('a"b\\c.zip', "attachment; filename=\"a_b_c.zip\"; filename*=UTF-8''a%22b%5Cc.zip"),
        ("100%.zip", "attachment; filename=\"100_.zip\"; filename*=UTF-8''100%25.zip"),
        ("a;b'c.zip", 'attachment; filename="a;b\'c.zip"'),
        ("🎬.zip", "attachment; filename=\"_.zip\"; filename*=UTF-8''%F0%9F%8E%AC.zip"),
    ],
)
def test_an_offered_name_is_for_old_clients_and_for_new_ones(name: str, header: str) -> None:
    assert offered("attachment", name) == header
    assert Response(headers={"Content-Disposition": header}).headers["content-disposition"]
    assert read_part_headers(f"Content-Disposition: {header}".encode()).filename == name
