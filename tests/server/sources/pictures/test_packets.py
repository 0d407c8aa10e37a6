"""Packets: pictures and raw rows become frames of the model's size."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from server.errors import TooLarge, Undecodable
from server.sources.pictures.packets import Packet, PacketDecoder

PICTURE = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


def test_a_picture_becomes_a_frame_that_remembers_where_it_came_from() -> None:
    packet = Packet(PNG, seq=4, arrived=10.0, pts=0.5, reset=True, replay=True)
    frame = PacketDecoder(20, 40, limit_pixels=200).decode(packet, iter((10.5, 10.75)).__next__)
    assert frame.pixels.shape == (20, 40, 3) and frame.size == (10, 20)
    assert (frame.seq, frame.pts, frame.reset, frame.replay) == (4, Fraction(1, 2), True, True)
    assert (frame.arrived, frame.wait, frame.decode) == (10.0, 0.5, 0.25)
    assert frame.original is None


def test_the_original_is_kept_where_an_overlay_needs_it() -> None:
    frame = PacketDecoder(20, 40, 200, keep_original=True).decode(Packet(PNG, 0, 0.0))
    assert frame.original is not None
    assert np.array_equal(frame.original, cv2.cvtColor(PICTURE, cv2.COLOR_BGR2RGB))
    replayed = Packet(PNG, 0, 0.0, replay=True)
    assert PacketDecoder(20, 40, 200, keep_original=True).decode(replayed).original is None


def test_raw_rows_of_the_model_size_are_taken_as_they_are() -> None:
    decoder, packet = PacketDecoder(10, 20, 200, raw=(10, 20)), Packet(PICTURE.tobytes(), 0, 0.0)
    assert decoder.read(packet).cost == 0
    assert np.array_equal(decoder.decode(packet).pixels, PICTURE)


def test_decoding_and_scaling_each_cost_something() -> None:
    packet, rows = Packet(PNG, 0, 0.0), Packet(PICTURE.tobytes(), 0, 0.0)
    decoding = PacketDecoder(10, 20, 200).read(packet).cost
    scaling = PacketDecoder(20, 40, 200, raw=(10, 20)).read(rows).cost
    assert 0 < decoding < PacketDecoder(20, 40, 200).read(packet).cost and scaling > 0


def test_a_bomb_is_no_cheap_picture() -> None:
    bomb = cv2.imencode(".png", np.zeros((2000, 2000, 3), np.uint8))[1].tobytes()
    assert PacketDecoder(10, 20, 200).read(Packet(bomb, 0, 0.0)).cost > 0.01
    with pytest.raises(Undecodable):
        PacketDecoder(10, 20, 200).read(Packet(b"nothing", 0, 0.0))


def test_bad_pictures_are_refused() -> None:
    with pytest.raises(TooLarge):
        PacketDecoder(10, 20, limit_pixels=199).decode(Packet(PNG, 0, 0.0))
    with pytest.raises(Undecodable):
        PacketDecoder(10, 20, 200).decode(Packet(b"nothing", 0, 0.0))
    with pytest.raises(Undecodable):
        PacketDecoder(10, 20, 200, raw=(10, 20)).decode(Packet(PICTURE.tobytes()[1:], 0, 0.0))


def test_raw_rows_that_no_overlay_could_show_are_refused() -> None:
    rows = Packet(bytes(65501 * 3), 0, 0.0)
    with pytest.raises(TooLarge, match="65501x1 has a side of more than"):
        PacketDecoder(10, 20, 10**6, raw=(1, 65501)).decode(rows)
    assert PacketDecoder(10, 20, 10**6, raw=(1, 65500)).decode(Packet(rows.data[3:], 0, 0.0))


def test_a_huge_file_is_no_cheap_picture_and_only_its_header_is_read() -> None:
    jpeg = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    decoder = PacketDecoder(10, 20, 200)
    huge = decoder.read(Packet(jpeg + bytes(2**20), 0, 0.0)).cost
    assert huge > 0.001 > decoder.read(Packet(jpeg, 0, 0.0)).cost
    cut_off = Packet(jpeg[:-20], 0, 0.0)
    assert decoder.read(cut_off).cost > 0
    with pytest.raises(Undecodable, match="cut off"):
        decoder.decode(cut_off)


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    small = np.random.default_rng(3).integers(0, 256, (height // 32, width // 32, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def turned(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation (6: displayed after a quarter-turn clockwise)."""
    tag = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation]) + bytes(6)
    exif = b"Exif\0\0" + tag
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


@pytest.mark.parametrize(
    ("stored", "orientation", "model", "off_by"),
    [
        ((720, 1280), None, (352, 480), 4),
        ((720, 1280), 6, (352, 352), 4),
        ((720, 1280), 6, (352, 480), 0),  # turned, it is less than twice as wide
        ((720, 1280), None, (361, 480), 0),
        ((721, 1281), None, (352, 480), 0),  # half of an odd size is no half
    ],
)
def test_a_jpeg_of_twice_the_models_size_is_decoded_at_half_and_looks_the_same(
    stored: tuple[int, int], orientation: int | None, model: tuple[int, int], off_by: int
) -> None:
    pixels = smooth(736, 1312)[: stored[0], : stored[1]]
    jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    packet = Packet(turned(jpeg, orientation) if orientation else jpeg, 0, 0.0)
    frame = PacketDecoder(*model, 10**7).decode(packet)
    whole = PacketDecoder(*model, 10**7, keep_original=True).decode(packet)
    displayed = stored[::-1] if orientation == 6 else stored
    assert frame.size == whole.size == displayed
    assert whole.original is not None and whole.original.shape == (*displayed, 3)
    off = np.abs(frame.pixels.astype(int) - whole.pixels)
    assert bool(off.any()) is (off_by > 0)
    assert off.max() <= off_by and off.mean() < 0.5
