"""NVIDIA's video decoder, through PyAV, whose frames stay on the device, and a fake one."""

from __future__ import annotations

import logging
from typing import ClassVar

from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from server.errors import Fault
from server.frame import HOST
from server.sources.converter import Converter
from server.sources.hardware import Hardware, HardwareDecoder
from server.sources.pictures.cuda_driver import driver
from server.sources.pictures.nvjpeg import DevicePictures, FakeJpeg, NvJpeg
from server.sources.surface import Plane, Surface

_log = logging.getLogger(__name__)
_SAMPLE_BYTES = {"nv12": 1, "p010le": 2}


class Nvdec(HardwareDecoder):
    """NVIDIA's video decoder through PyAV. Raises Fault if FFmpeg cannot use the device."""

    name = "nvdec"

    def __init__(self, device: int) -> None:
        self.device = device
        self._driver = driver(device)
        try:
            self.acceleration().create(Codec("h264", "r"))
        except (FFmpegError, NotImplementedError) as error:
            raise Fault(f"FFmpeg cannot decode on CUDA device {device}: {error}.") from error

    def acceleration(self) -> HWAccel:
        # Renderer decides for each frame whether software may decode it instead.
        return HWAccel("cuda", device=self.device, allow_software_fallback=True, is_hw_owned=True)

    def surface(self, frame: VideoFrame) -> Surface | None:
        if frame.format.name != "cuda" or frame.sw_format is None:
            return None
        if frame.sw_format.name not in _SAMPLE_BYTES:
            return None
        self._driver.wait()
        return _describe(frame, frame.sw_format.name, self.device)


class FakeNvdec(HardwareDecoder):
    """A decoder that needs no GPU: pictures in 4:2:0 as surfaces in the host's memory.

    Other formats do not count as decoded in hardware, like 4:4:4 with a real decoder.
    """

    name = "fake"
    device = HOST

    _FORMATS: ClassVar = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}

    def acceleration(self) -> None:
        return None

    def surface(self, frame: VideoFrame) -> Surface | None:
        wanted = self._FORMATS.get(frame.format.name)
        if wanted is None:
            return None
        return _describe(frame.reformat(format=wanted, threads=1), wanted, HOST)


def open_nvdec(device: int, *, required: bool = False) -> Hardware:
    """Return decoding and converting on a CUDA device. Raises Fault if either does not work.

    Pushed JPEGs are decoded there, too, if nvImageCodec is installed; otherwise that is logged.
    """
    converter = Converter(device)
    return Hardware(Nvdec(device), converter.convert, required, _pictures(device, converter))


def open_fake(*, required: bool = False) -> Hardware:
    """Return the same without a GPU, for tests."""
    converter = Converter(HOST)
    pictures = DevicePictures(FakeJpeg(), converter.scale)
    return Hardware(FakeNvdec(), converter.convert, required, pictures)


def _pictures(device: int, converter: Converter) -> DevicePictures | None:
    try:
        return DevicePictures(NvJpeg(device), converter.scale)
    except Fault as fault:
        _log.warning("pushed JPEGs are decoded on the CPU: %s", fault)
        return None


def _describe(frame: VideoFrame, layout: str, device: int) -> Surface:
    """Return a frame of ``layout`` ("nv12" or "p010le") as a Surface that keeps it alive."""
    luma, chroma = frame.planes
    return Surface(
        luma=Plane(luma.buffer_ptr, frame.height, luma.line_size),
        chroma=Plane(chroma.buffer_ptr, (frame.height + 1) // 2, chroma.line_size),
        height=frame.height,
        width=frame.width,
        sample_bytes=_SAMPLE_BYTES[layout],
        matrix=frame.colorspace,
        full=frame.color_range == ColorRange.JPEG,
        device=device,
        owner=frame,
    )
