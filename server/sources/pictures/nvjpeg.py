"""Decoding pushed JPEGs on the GPU with nvJPEG, through NVIDIA's nvImageCodec, and a fake
decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.errors import Fault, Undecodable
from server.frame import HOST, DevicePixels
from server.sources.pictures.cuda_driver import driver
from server.sources.pictures.jpeg_markers import PictureBytes, extent
from server.sources.pictures.picture import check_pixels, decode_picture
from server.sources.pictures.picture_header import PictureHeader

DECODERS = 4
"""Pictures decoded at the same time; each decoder holds buffers on the device."""

Scale = Callable[[DevicePixels, int, int], DevicePixels]
"""Scales a picture to this height and width, on the same device."""


class JpegDecoder(ABC):
    """Decodes complete JPEGs to pictures on a device, with the EXIF orientation applied. Any thread
    may use it."""

    name: str

    @abstractmethod
    def decode(self, data: PictureBytes) -> DevicePixels | None:
        """Return the picture; None if the device cannot decode it."""


class NvJpeg(JpegDecoder):
    """nvImageCodec's decoders on one device; with HOST the same calls decode on the CPU.

    Raises Fault if nvImageCodec is not installed or cannot use the device.
    """

    name = "nvjpeg"

    def __init__(self, device: int) -> None:
        try:
            nvimgcodec = import_module("nvidia.nvimgcodec")
        except ImportError as error:
            raise Fault(
                "JPEGs on a GPU need pip install 'nvidia-nvimgcodec-cu13[nvjpeg]'."
            ) from error
        self._device = device
        self._driver = None if device == HOST else driver(device)
        self._wish = nvimgcodec.DecodeParams(sample_format=nvimgcodec.SampleFormat.I_RGB)
        self._idle: LifoQueue[Any] = LifoQueue()
        try:
            for _ in range(DECODERS):
                self._idle.put(_decoder(nvimgcodec, device))
        except RuntimeError as error:
            raise Fault(f"nvImageCodec cannot use CUDA device {device}: {error}") from error

    def decode(self, data: PictureBytes) -> DevicePixels | None:
        decoder = self._idle.get()
        try:
            image = decoder.decode(np.frombuffer(data, np.uint8), params=self._wish)
        finally:
            self._idle.put(decoder)
        if image is None:
            return None
        if self._driver:
            self._driver.wait()
        height, width, _ = image.shape
        memory = _memory(image, self._device)
        return DevicePixels((height, width, 3), self._device, memory["data"][0], _Image(image))


class FakeJpeg(JpegDecoder):
    """A decoder that needs no GPU: OpenCV's pictures in the host's memory."""

    name = "fake"

    def decode(self, data: PictureBytes) -> DevicePixels | None:
        try:
            picture = decode_picture(data, 2**31)
        except Undecodable:
            return None
        height, width, _ = picture.shape
        return DevicePixels((height, width, 3), HOST, picture.ctypes.data, _Array(picture))


@dataclass(frozen=True, slots=True)
class DevicePictures:
    """Turns pushed JPEGs into pixels at the model's size, on one device."""

    decoder: JpegDecoder
    scale: Scale

    def decode(
        self,
        data: PictureBytes,
        header: PictureHeader,
        height: int,
        width: int,
        limit_pixels: int,
    ) -> tuple[DevicePixels, tuple[int, int]] | None:
        """Return the pixels, and the size of the picture as displayed; None if the CPU must decode.

        The CPU must decode other encodings, and JPEGs that the device cannot decode or that have no
        end marker. Raises TooLarge and Undecodable before anything is decoded.
        """
        if header.encoding != "jpeg":
            return None
        check_pixels(header.height, header.width, limit_pixels)
        found = extent(data, header.frame)
        whole = self.decoder.decode(memoryview(data)[: found.end]) if found.has_marker else None
        if whole is None:
            return None
        size = whole.shape[:2]
        return (whole if size == (height, width) else self.scale(whole, height, width)), size


class _Image:
    """An image of nvImageCodec as the owner of pixels."""

    def __init__(self, image: Any) -> None:
        self._image = image

    def numpy(self) -> NDArray[Any]:
        return np.array(self._image.cpu())


class _Array:
    """A host array as the owner of pixels."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array

    def numpy(self) -> NDArray[Any]:
        return self._array.copy()


def _decoder(nvimgcodec: Any, device: int) -> Any:
    kinds = nvimgcodec.BackendKind
    if device == HOST:
        wanted, ordinal = [kinds.CPU_ONLY], nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY
    else:
        wanted = [kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU]
        ordinal = device
    backends = [nvimgcodec.Backend(kind) for kind in wanted]
    return nvimgcodec.Decoder(device_id=ordinal, max_num_cpu_threads=1, backends=backends)


def _memory(image: Any, device: int) -> Any:
    """Return the image's array interface; its rows must be contiguous."""
    found = image.__array_interface__ if device == HOST else image.__cuda_array_interface__
    assert found["strides"] is None and found["typestr"] == "|u1", "rows without padding, 8 bits"
    return found
