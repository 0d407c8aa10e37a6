"""Pushed pictures: decoded as displayed, refused before they cost anything."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from server.errors import TooLarge, Undecodable
from server.sources.pictures.picture import decode_picture, fit, raw_picture

LIMIT = 10_000
RGB = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
BGR = np.ascontiguousarray(RGB[:, :, ::-1])


def png(picture: NDArray[np.generic]) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_lossless_encodings_come_back_exactly_as_rgb() -> None:
    webp = cv2.imencode(".webp", BGR, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    for data in (png(BGR), webp, memoryview(png(BGR))):
        picture = decode_picture(data, LIMIT)
        np.testing.assert_array_equal(picture, RGB)
        assert picture.dtype == np.uint8 and picture.flags.c_contiguous


def test_grey_alpha_and_16_bits_become_rgb_of_8_bits() -> None:
    grey = RGB[:, :, 0].copy()
    alpha = np.dstack([BGR, np.full((20, 30), 7, np.uint8)])
    np.testing.assert_array_equal(decode_picture(png(grey), LIMIT), np.dstack([grey] * 3))
    np.testing.assert_array_equal(decode_picture(png(alpha), LIMIT), RGB)
    np.testing.assert_array_equal(decode_picture(png(BGR.astype(np.uint16) * 257), LIMIT), RGB)


def test_exif_orientation_is_applied() -> None:
    smooth = cv2.resize(BGR[:4, :6], (48, 32), interpolation=cv2.INTER_LINEAR)
    data = cv2.imencode(".jpg", smooth)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    upright = decode_picture(data, LIMIT)
    displayed = decode_picture(turned, LIMIT)
    np.testing.assert_array_equal(displayed, np.rot90(upright, -1))


def test_a_huge_png_is_refused_before_it_is_decoded() -> None:
    # Its data is garbage: a decoder that looked at it would answer Undecodable.
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )
    with pytest.raises(TooLarge, match="20000x20000"):
        decode_picture(data, 4096 * 4096)


def test_a_side_that_no_overlay_can_have_is_refused() -> None:
    assert decode_picture(png(np.zeros((1, 65500, 3), np.uint8)), 4096 * 4096).shape[1] == 65500
    with pytest.raises(TooLarge, match="65500"):
        decode_picture(png(np.zeros((1, 65501, 3), np.uint8)), 4096 * 4096)


def test_the_limit_itself_is_allowed() -> None:
    assert decode_picture(png(BGR), 600).shape == (20, 30, 3)
    with pytest.raises(TooLarge):
        decode_picture(png(BGR), 599)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_truncated_picture_is_refused(suffix: str, share: float) -> None:
    data = cv2.imencode(suffix, BGR)[1].tobytes()
    with pytest.raises(Undecodable):
        decode_picture(data[: int(len(data) * share)], LIMIT)


SMOOTH = cv2.resize(BGR, (96, 64), interpolation=cv2.INTER_CUBIC)
JPEGS = [
    (),
    (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    (cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    (cv2.IMWRITE_JPEG_RST_INTERVAL, 5, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
]


def jpeg(parameters: tuple[int, ...]) -> bytes:
    return cv2.imencode(".jpg", SMOOTH, parameters)[1].tobytes()


@pytest.mark.parametrize("parameters", JPEGS)
def test_a_whole_jpeg_without_an_end_marker_is_that_picture(parameters: tuple[int, ...]) -> None:
    data = jpeg(parameters)
    expected = decode_picture(data, LIMIT)
    np.testing.assert_array_equal(decode_picture(data[:-2], LIMIT), expected)
    np.testing.assert_array_equal(decode_picture(data[:-1], LIMIT), expected)


@pytest.mark.parametrize("parameters", JPEGS)
def test_a_jpeg_that_is_cut_off_is_refused_or_lacks_nothing(parameters: tuple[int, ...]) -> None:
    data = jpeg(parameters)
    expected = decode_picture(data, LIMIT)
    scan = data.rindex(b"\xff\xda") + 20
    refused = 0
    for end in range(scan, len(data) - 2):
        try:
            np.testing.assert_array_equal(decode_picture(data[:end], LIMIT), expected)
        except Undecodable as error:
            refused += "cut off" in str(error)
    assert refused >= len(data) - 2 - scan - 1


def test_bytes_after_the_end_of_a_jpeg_change_nothing() -> None:
    data = jpeg(())
    tail = b"MotionPhoto_Data" + b"\xff\xda\x00\x0c" * 500
    np.testing.assert_array_equal(decode_picture(data + tail, LIMIT), decode_picture(data, LIMIT))


def test_damage_and_garbage_are_refused() -> None:
    data = bytearray(png(BGR))
    data[len(data) // 2] ^= 0xFF
    for bad in (bytes(data), b"", b"text", bytes(1000)):
        with pytest.raises(Undecodable):
            decode_picture(bad, LIMIT)


def test_raw_rows() -> None:
    np.testing.assert_array_equal(raw_picture(RGB.tobytes(), 20, 30), RGB)
    for height, width in ((20, 31), (0, 30), (-20, -30)):
        with pytest.raises(Undecodable):
            raw_picture(RGB.tobytes(), height, width)


def test_fit_copies_nothing_where_the_size_is_right() -> None:
    assert fit(RGB, 20, 30) is RGB


def test_fit_averages_when_shrinking_and_interpolates_when_enlarging() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (fit(stripes, 4, 4) == 100).all()
    ramp = np.repeat(np.array([[[0], [100]]], np.uint8), 3, axis=2)
    wide = fit(ramp, 1, 4)[0, :, 0]
    assert wide.tolist() == sorted(wide.tolist()) and len(set(wide.tolist())) > 2


@pytest.mark.parametrize("size", [(528, 704), (360, 640), (353, 481)])
def test_a_thin_line_stays_visible_wherever_it_is_when_shrinking_slightly(
    size: tuple[int, int],
) -> None:
    share = 480 / size[1]
    for column in range(100, 120):
        picture = np.zeros((*size, 3), np.uint8)
        picture[:, column] = 240
        shown = fit(picture, 352, 480)[176, :, 0].astype(int).sum() / 240
        assert 0.7 * share <= shown <= 1.35 * share


@pytest.mark.parametrize("size", [(5, 7), (40, 60), (5, 60), (40, 7)])
def test_fit_gives_contiguous_rgb_of_the_size_asked_for(size: tuple[int, int]) -> None:
    fitted = fit(RGB[:, ::-1], *size)
    assert fitted.shape == (*size, 3) and fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous
    assert fit(RGB[:, ::-1], 20, 30).flags.c_contiguous
