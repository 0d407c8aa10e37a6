"""Packets: pictures and raw rows become frames of the model's size."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from server.errors import TooLarge, Undecodable
from server.sources.packets import Packet, PacketDecoder

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
    assert decoder.cost(packet) == 0
    assert np.array_equal(decoder.decode(packet).pixels, PICTURE)


def test_decoding_and_scaling_each_cost_something() -> None:
    packet, rows = Packet(PNG, 0, 0.0), Packet(PICTURE.tobytes(), 0, 0.0)
    decoding = PacketDecoder(10, 20, 200).cost(packet)
    scaling = PacketDecoder(20, 40, 200, raw=(10, 20)).cost(rows)
    assert 0 < decoding < PacketDecoder(20, 40, 200).cost(packet) and scaling > 0


def test_a_bomb_is_no_cheap_picture() -> None:
    bomb = cv2.imencode(".png", np.zeros((2000, 2000, 3), np.uint8))[1].tobytes()
    assert PacketDecoder(10, 20, 200).cost(Packet(bomb, 0, 0.0)) > 0.01
    with pytest.raises(Undecodable):
        PacketDecoder(10, 20, 200).cost(Packet(b"nothing", 0, 0.0))


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
    huge = decoder.cost(Packet(jpeg + bytes(2**20), 0, 0.0))
    assert huge > 0.001 > decoder.cost(Packet(jpeg, 0, 0.0))
    cut_off = Packet(jpeg[:-20], 0, 0.0)
    assert decoder.cost(cut_off) > 0
    with pytest.raises(Undecodable, match="cut off"):
        decoder.decode(cut_off)
