import json

import pytest

from protocol import MAX_HEADER_BYTES, ProtocolError, foreign_kind, is_json_text, pack, unpack

FILES = {
    "a GIF picture": b"GIF87a" + bytes(40),
    "a BMP picture": b"BM\x36\x84\x03\x00" + bytes(40),
    "a TIFF picture": b"MM\0*\0\0\0\x08" + bytes(40),
    "an AVIF picture": b"\0\0\0\x20ftypavif" + bytes(40),
    "a HEIC picture": b"\0\0\0\x18ftypheic" + bytes(40),
    "a HEIC or AVIF picture": b"\0\0\0\x18ftypmif1" + bytes(40),
    "an MP4 or QuickTime video": b"\0\0\0\x1cftypisom" + bytes(40),
    "a WebM or Matroska video": b"\x1aE\xdf\xa3" + bytes(40),
    "an AVI video": b"RIFF\x10\0\0\0AVI LIST" + bytes(40),
    "raw H.264 or H.265 video": b"\0\0\0\1\x67" + bytes(40),
    "a JPEG picture as base64 text": b"/9j/4AAQSkZJRg" + bytes(40),
    "a PNM picture": b"P6\n64 48\n255\n" + bytes(40),
}


@pytest.mark.parametrize(("name", "data"), FILES.items(), ids=FILES)
def test_a_bare_file_of_another_kind_is_named_and_taken_for_a_frame(name: str, data: bytes) -> None:
    assert foreign_kind(data) == name
    assert foreign_kind(memoryview(data)) == name
    assert unpack(data, 1000) == ({}, data)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"hello, world"])
def test_what_is_not_known_has_no_name(data: bytes) -> None:
    assert foreign_kind(data) is None


@pytest.mark.parametrize("length", [0x0AFF, 0x4D42, 0x8B1F, 0x3050])
def test_no_legal_message_is_taken_for_a_file(length: int) -> None:
    header = {"a": "x" * (length - len('{"a":""}'))}
    data = pack(header, b"picture")
    assert data[:4] == length.to_bytes(4, "little") and length <= MAX_HEADER_BYTES
    assert unpack(data, 10**6) == (header, b"picture")


def test_what_nobody_knows_is_told_what_to_send() -> None:
    with pytest.raises(ProtocolError, match="JPEG, PNG or WebP") as caught:
        unpack(b"hello, world", 1000)
    assert caught.value.close == 1009


def test_json_text_is_known_and_no_message_of_ours_is_taken_for_it() -> None:
    for value in ({"type": "open"}, {"a": 1}, {"type": "ping"}):
        assert is_json_text(json.dumps(value).encode())
        assert is_json_text(json.dumps(value, indent=2).encode())
    for length in (0x7B, 0x7B + 256):
        assert not is_json_text(pack({"a": "x" * (length - len('{"a":""}'))}))
    assert not is_json_text(b"") and not is_json_text(b"{}") and not is_json_text(b"\xff\xd8\xff")
