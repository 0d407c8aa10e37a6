"""Where a JPEG ends, and whether its scans are complete."""

from __future__ import annotations

import random
import struct

import cv2
import numpy as np
import pytest

from server.errors import Undecodable
from server.sources.pictures.jpeg_markers import (
    Extent,
    extent,
    frame_header,
    frame_size,
    next_restart,
)

PICTURE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 3)


def encoded(*parameters: int) -> bytes:
    return cv2.imencode(".jpg", PICTURE, parameters)[1].tobytes()


def walk(data: bytes | memoryview) -> Extent:
    return extent(data, frame_header(data))


def scan_of(data: bytes) -> int:
    return data.index(b"\xff\xda")


@pytest.mark.parametrize("parameters", [(), PROGRESSIVE, RESTARTS, PROGRESSIVE + RESTARTS])
@pytest.mark.parametrize(
    "tail",
    [
        b"",
        random.Random(7).randbytes(2**20),
        b"MotionPhoto_Data" + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 5000,
        encoded(),
        b"\xff" * 5000,
    ],
    ids=["none", "random", "film", "picture", "fill"],
)
def test_what_follows_the_end_marker_is_not_looked_at(
    parameters: tuple[int, ...], tail: bytes
) -> None:
    data = encoded(*parameters)
    assert walk(data + tail) == Extent(len(data), has_marker=True, covered=True)
    assert walk(memoryview(data + tail)).end == len(data)


@pytest.mark.parametrize("parameters", [(), PROGRESSIVE, RESTARTS])
def test_without_its_end_marker_a_picture_ends_with_its_data(parameters: tuple[int, ...]) -> None:
    data = encoded(*parameters)[:-2]
    assert walk(data) == Extent(len(data), has_marker=False, covered=True)


def test_the_end_marker_of_a_thumbnail_is_not_the_pictures() -> None:
    data, thumbnail = encoded(), encoded(cv2.IMWRITE_JPEG_QUALITY, 1)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    for place in (2, scan_of(data)):
        whole = data[:place] + segment + data[place:]
        assert frame_size(whole, frame_header(whole)) == (37, 53)
        assert walk(whole) == Extent(len(whole), has_marker=True, covered=True)
        assert walk(whole[:-2]).has_marker is False


def test_a_progressive_picture_that_lacks_a_scan_is_not_covered() -> None:
    data = encoded(*PROGRESSIVE)
    last = data.rindex(b"\xff\xda")
    assert walk(data[:last]) == Extent(last, has_marker=False, covered=False)


def test_a_picture_without_the_scan_of_a_component_is_not_covered() -> None:
    data = encoded()
    scan = scan_of(data)
    grey_only = data[:scan] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\x55" * 20
    assert walk(grey_only).covered is False


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_data_that_ends_within_a_segment(cut: int) -> None:
    data = encoded()
    scan = scan_of(data)
    assert walk(data[: scan + cut]) == Extent(scan + cut, has_marker=False, covered=False)


def test_endless_scans_are_refused() -> None:
    data = encoded()
    scan = scan_of(data)
    with pytest.raises(Undecodable, match="more than 100 scans"):
        walk(data[:scan] + b"\xff\xda\x00\x02" * 5000 + data[scan:])
    assert walk(data[:scan] + b"\xff\xda\x00\x02" * 10 + data[scan:]).covered


@pytest.mark.parametrize("segment", [b"\xff\xfe\x00\x02", b"\xff\xd8", b"\xff\xe1\0\0"])
def test_endless_segments_are_refused(segment: bytes) -> None:
    data = encoded()
    scan = scan_of(data)
    with pytest.raises(Undecodable, match="more than 1000 segments"):
        walk(data[:scan] + segment * 5000 + data[scan:])


def test_a_marker_that_lies_across_two_searches_is_found() -> None:
    data = encoded()
    place = frame_header(data)
    for size in range(2**18 - 3, 2**18 + 4):
        body = data[: scan_of(data) + 14] + b"\x01" * (size - (scan_of(data) + 14 - place))
        assert walk(body + b"\xff\xd9" + bytes(10)).end == len(body) + 2


@pytest.mark.parametrize("unit", [b"\xff\x00", b"\xff\xd0", b"\xff", b"\x00"])
def test_compressed_data_without_end(unit: bytes) -> None:
    data = encoded()[: scan_of(encoded()) + 14] + unit * 2**20
    assert walk(data) == Extent(len(data), has_marker=False, covered=True)


def test_the_restart_marker_that_comes_next() -> None:
    assert next_restart(b"abc") == b"\xff\xd0"
    assert next_restart(b"a\xff\xd0b\xff\xd1c") == b"\xff\xd2"
    assert next_restart(b"a\xff\xd0b\xff\xd7c") == b"\xff\xd0"
