"""Pushed JPEGs on a "device": as on the CPU, refused alike, and no copy."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from server.errors import Fault, TooLarge, Undecodable
from server.frame import HOST, HOST_COPIES, DevicePixels, Frame, Pixels, host_pixels
from server.sources.converter import Converter
from server.sources.pictures.nvjpeg import DevicePictures, FakeJpeg, JpegDecoder, NvJpeg
from server.sources.pictures.packets import Packet, PacketDecoder

LIMIT = 10_000


def nvjpeg() -> JpegDecoder:
    """The real library, running on the CPU."""
    pytest.importorskip("nvidia.nvimgcodec", reason="nvImageCodec is not installed")
    return NvJpeg(HOST)


@pytest.fixture(scope="module", params=[FakeJpeg, nvjpeg], ids=["fake", "nvimgcodec"])
def pictures(request: pytest.FixtureRequest) -> DevicePictures:
    return DevicePictures(request.param(), Converter(HOST).scale)


def picture(height: int = 40, width: int = 64) -> Pixels:
    small = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def encoded(kind: str = ".jpg", pixels: Pixels | None = None) -> bytes:
    return cv2.imencode(kind, picture() if pixels is None else pixels)[1].tobytes()


def both(pictures: DevicePictures, data: bytes, height: int, width: int) -> tuple[Frame, Frame]:
    """The frame by the device, and by the CPU from the whole picture."""
    plain = PacketDecoder(height, width, LIMIT)
    packet = Packet(data, 0, 0.0)
    whole = replace(plain, keep_original=True)
    return replace(plain, device=pictures).decode(packet), whole.decode(packet)


@pytest.mark.parametrize("size", [(40, 64), (20, 32), (33, 47), (80, 100)])
def test_as_on_the_cpu_but_on_the_device(pictures: DevicePictures, size: tuple[int, int]) -> None:
    before = HOST_COPIES.count
    found, expected = both(pictures, encoded(), *size)
    assert isinstance(found.pixels, DevicePixels) and found.pixels.shape == (*size, 3)
    assert (found.size, found.original) == ((40, 64), None)
    assert (found.decoder, expected.decoder) == (pictures.decoder.name, "cpu")
    shown = host_pixels(found.pixels).astype(int)
    assert np.abs(shown - host_pixels(expected.pixels).astype(int)).max() <= 1
    assert HOST_COPIES.count == before


def test_a_copy_is_the_same_picture(pictures: DevicePictures) -> None:
    found, expected = both(pictures, encoded(), 40, 64)
    np.testing.assert_array_equal(np.asarray(found.pixels), expected.pixels)


def test_exif_orientation_is_applied(pictures: DevicePictures) -> None:
    turned = (
        b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    )
    data = encoded()
    found, expected = both(pictures, data[:2] + turned + data[2:], 64, 40)
    assert found.size == expected.size == (64, 40)
    np.testing.assert_array_equal(host_pixels(found.pixels), expected.pixels)


def test_grey_is_rgb_too(pictures: DevicePictures) -> None:
    found, expected = both(pictures, encoded(pixels=picture()[..., 0]), 40, 64)
    np.testing.assert_array_equal(host_pixels(found.pixels), expected.pixels)


@pytest.mark.parametrize("kind", [".png", ".webp"])
def test_other_encodings_are_the_cpus(pictures: DevicePictures, kind: str) -> None:
    found, expected = both(pictures, encoded(kind), 40, 64)
    assert found.decoder == "cpu"
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_what_the_device_cannot_is_the_cpus(pictures: DevicePictures) -> None:
    class Unable(FakeJpeg):
        def decode(self, data: object) -> None: ...

    unable = DevicePictures(Unable(), pictures.scale)
    assert both(unable, encoded(), 40, 64)[0].decoder == "cpu"


def test_a_jpeg_without_an_end_marker_is_the_cpus(pictures: DevicePictures) -> None:
    found, expected = both(pictures, encoded()[:-2], 40, 64)
    assert found.decoder == "cpu"
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_bytes_after_the_end_are_not_for_the_device(pictures: DevicePictures) -> None:
    found, expected = both(pictures, encoded() + b"\xff\xda" * 5000, 40, 64)
    assert found.decoder == pictures.decoder.name
    np.testing.assert_array_equal(np.asarray(found.pixels), expected.pixels)


def test_an_original_is_wanted_on_the_host(pictures: DevicePictures) -> None:
    decoder = PacketDecoder(20, 32, LIMIT, keep_original=True, device=pictures)
    frame = decoder.decode(Packet(encoded(), 0, 0.0))
    assert frame.decoder == "cpu" and isinstance(frame.original, np.ndarray)


def test_bad_pictures_are_refused_before_they_are_decoded(pictures: DevicePictures) -> None:
    decoder = PacketDecoder(20, 32, LIMIT, device=pictures)
    with pytest.raises(Undecodable, match="cut off"):
        decoder.decode(Packet(encoded()[:-300], 0, 0.0))
    with pytest.raises(Undecodable, match="not a JPEG"):
        decoder.decode(Packet(b"garbage", 0, 0.0))
    with pytest.raises(TooLarge, match="200x160"):
        decoder.decode(Packet(encoded(pixels=picture(160, 200)), 0, 0.0))


def test_more_threads_than_decoders(pictures: DevicePictures) -> None:
    decoder = PacketDecoder(20, 32, LIMIT, device=pictures)
    packets = [Packet(encoded(), seq, 0.0) for seq in range(40)]
    with ThreadPoolExecutor(8) as threads:
        frames = list(threads.map(decoder.decode, packets))
    expected = host_pixels(frames[0].pixels)
    assert all(np.array_equal(host_pixels(frame.pixels), expected) for frame in frames)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)
    with pytest.raises(Fault, match="nvidia-nvimgcodec-cu13"):
        NvJpeg(0)
