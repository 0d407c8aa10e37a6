import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocol import ProtocolError, png

labels_of_any_size = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
PALETTE = np.arange(768).reshape(256, 3).astype(np.uint8)


def noise(height: int, width: int, classes: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, classes, (height, width), dtype=np.uint8)


@given(labels_of_any_size)
def test_round_trip(labels: np.ndarray) -> None:
    height, width = labels.shape
    assert (png.decode(png.encode(labels, PALETTE), width, height) == labels).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 64)])
def test_opencv_reads_the_colours(size: tuple[int, int]) -> None:
    labels = noise(*size, 200)
    data = np.frombuffer(png.encode(labels, PALETTE), np.uint8)
    assert (cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) == PALETTE[labels]).all()


def test_without_a_palette_a_label_is_its_grey() -> None:
    labels = noise(6, 9, 256)
    data = np.frombuffer(png.encode(labels), np.uint8)
    assert (cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) == labels).all()


def test_every_label_needs_a_colour() -> None:
    with pytest.raises(ValueError, match="Label 3 has no colour in a palette of 3"):
        png.encode(np.full((2, 2), 3, np.uint8), PALETTE[:3])


def test_a_view_is_written_like_its_copy() -> None:
    labels = noise(8, 8, 5)
    assert png.encode(labels[::2, ::-1]) == png.encode(labels[::2, ::-1].copy())


def test_masks_become_no_larger_than_opencv_makes_them() -> None:
    rows, columns = np.indices((120, 160))
    labels = ((rows // 20 + columns // 31) % 7).astype(np.uint8)
    assert len(png.encode(labels, PALETTE[:7])) <= cv2.imencode(".png", labels)[1].size


def test_rows_without_a_filter_are_read_too() -> None:
    labels = noise(3, 4, 9)
    rows = np.pad(labels, ((0, 0), (1, 0)))
    chunks = {b"IHDR": png._HEADER.pack(4, 3, 8, 3, 0, 0, 0), b"IDAT": zlib.compress(rows)}
    data = png.SIGNATURE + b"".join(png._chunk(*chunk) for chunk in chunks.items())
    assert (png.decode(data, 4, 3) == labels).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: b"GIF89a" + data, "not a PNG"),
        (lambda data: data[:-20], "cut off"),
        (lambda data: data[:-4], "cut off"),
        (lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], "damaged"),
    ],
)
def test_a_broken_png_is_a_protocol_error(change: object, says: str) -> None:
    assert callable(change)
    with pytest.raises(ProtocolError, match=says):
        png.decode(change(png.encode(noise(4, 4, 3), PALETTE[:3])), 4, 4)


def test_another_size_or_kind_is_refused() -> None:
    with pytest.raises(ProtocolError, match="palette picture of 5x4"):
        png.decode(png.encode(noise(4, 4, 3)), 5, 4)
    grey = cv2.imencode(".png", noise(4, 4, 3))[1].tobytes()
    with pytest.raises(ProtocolError, match="palette picture"):
        png.decode(grey, 4, 4)


def test_a_bomb_is_not_unpacked() -> None:
    chunks = {b"IHDR": png._HEADER.pack(4, 4, 8, 3, 0, 0, 0), b"IDAT": zlib.compress(bytes(10**6))}
    data = png.SIGNATURE + b"".join(png._chunk(*chunk) for chunk in chunks.items())
    with pytest.raises(ProtocolError, match="not of its size"):
        png.decode(data, 4, 4)


@given(st.binary(max_size=64), st.booleans())
def test_foreign_bytes_raise_nothing_but_protocol_errors(data: bytes, signed: bool) -> None:
    with pytest.raises(ProtocolError):
        png.decode(png.SIGNATURE + data if signed else data, 3, 3)
