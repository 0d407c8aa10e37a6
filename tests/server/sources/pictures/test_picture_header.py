"""The size of a picture without decoding it."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from server.errors import Undecodable
from server.sources.pictures.jpeg_markers import frame_header
from server.sources.pictures.picture_header import PictureHeader, read_header

PICTURE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)


def encoded(suffix: str, *parameters: int) -> bytes:
    return cv2.imencode(suffix, PICTURE, parameters)[1].tobytes()


def webp(kind: bytes, body: bytes) -> bytes:
    chunk = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunk)) + chunk


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (encoded(".jpg"), "jpeg"),
        (encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "jpeg"),
        (encoded(".png"), "png"),
        (encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101), "webp"),
        (encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 60), "webp"),
    ],
)
def test_real_encoders(data: bytes, encoding: str) -> None:
    frame = frame_header(data) if encoding == "jpeg" else 0
    assert read_header(data) == PictureHeader(encoding, 37, 53, frame)
    assert read_header(memoryview(data)) == PictureHeader(encoding, 37, 53, frame)


def test_lossy_and_extended_webp() -> None:
    lossy = b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 53 | 0x4000, 37) + b"\x00" * 8
    extended = b"\x10\x00\x00\x00" + (52).to_bytes(3, "little") + (36).to_bytes(3, "little")
    assert read_header(webp(b"VP8 ", lossy)) == PictureHeader("webp", 37, 53)
    assert read_header(webp(b"VP8X", extended)) == PictureHeader("webp", 37, 53)


def test_jpeg_with_a_thumbnail_in_its_metadata_and_fill_bytes() -> None:
    whole = encoded(".jpg")
    thumbnail = encoded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 1)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = whole[:2] + segment + b"\xff" + whole[2:]
    assert read_header(data) == PictureHeader("jpeg", 37, 53, data.rindex(b"\xff\xc0"))


def test_bytes_after_the_end_are_harmless() -> None:
    assert read_header(encoded(".jpg") + b"\x00" * 20).width == 53


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, world, this is text",
        b"GIF89a" + b"\x00" * 30,
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\x00\x00",
        b"\xff\xd8\xff" + b"\xfe\x00\x02\xff" * 5000,
        b"\xff\xd8" + b"\xff" * 5000 + encoded(".jpg")[2:],
        b"\xff\xd8\xff\x00\x00\x02" + encoded(".jpg")[2:],
        encoded(".png")[:20],
        b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0dIDAT" + b"\x01" * 20,
        b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0dIHDR" + b"\x00" * 20,
        webp(b"ALPH", b"\x00" * 20),
        encoded(".webp")[:-1],
    ],
    ids=range(14),
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read_header(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GIF89a" + bytes(30), "a GIF picture"),
        (b"BM\x36\x10\x0e" + bytes(30), "a BMP picture"),
        (b"II*\0" + bytes(30), "a TIFF picture"),
        (b"\0\0\0\x1cftypavif" + bytes(30), "an AVIF picture"),
        (b"\0\0\0\x18ftypheic" + bytes(30), "a HEIC picture"),
        (b"\0\0\0\x20ftypisom" + bytes(30), "an MP4 or QuickTime video"),
    ],
)
def test_other_files_are_named_in_the_refusal(data: bytes, kind: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read_header(data)
    assert str(caught.value) == f"The bytes are {kind}; pictures must be JPEG, PNG or WebP."
