"""Videos decoded on the GPU by the server's own sources, or on the CPU by their fake."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from benchmarks.gpu.feeds import Decoding, picture
from benchmarks.gpu.network import Network
from server.frame import HOST, HOST_COPIES, DevicePixels, Frame, host_pixels
from server.sources.decoding import Reading, read_frames
from server.sources.hardware import Hardware
from server.sources.nvdec import open_fake, open_nvdec

FRAMES = 60


class Videos(Decoding):
    """One H.264 video per slot, decoded by NVDEC, converted and copied on the device."""

    def __init__(self, network: Network) -> None:
        device = network.device
        hardware = open_nvdec(device.index or 0) if device.type == "cuda" else open_fake()
        self.name = f"H.264 by {hardware.decoder.name}"
        self._folder = TemporaryDirectory()
        count, height, width, _ = network.frames.shape
        clip = _clip(Path(self._folder.name) / "clip.mp4", height, width)
        self._streams = [_endless(clip, height, width, hardware) for _ in range(count)]
        self._copies = HOST_COPIES.count
        super().__init__(network, threads=count)

    @property
    def host_copies(self) -> int:
        """Pictures copied to the host since this feed was made; there should be none."""
        return HOST_COPIES.count - self._copies

    def decode(self, side: int, slot: int) -> Tensor:
        del side
        pixels = next(self._streams[slot]).pixels
        assert isinstance(pixels, DevicePixels), "decoded in software"
        if pixels.device == HOST:
            return torch.from_numpy(host_pixels(pixels).copy())
        return torch.as_tensor(_OnDevice(pixels), device=f"cuda:{pixels.device}")

    def close(self) -> None:
        super().close()
        for stream in self._streams:
            stream.close()
        self._folder.cleanup()


class _OnDevice:
    """A picture that PyTorch can use without a copy."""

    def __init__(self, pixels: DevicePixels) -> None:
        self.pixels = pixels
        self.__cuda_array_interface__ = {
            "shape": pixels.shape,
            "typestr": "|u1",
            "data": (pixels.pointer, False),
            "version": 3,
        }


def _endless(
    clip: Path, height: int, width: int, hardware: Hardware
) -> Generator[Frame, None, None]:
    while True:
        yield from read_frames(
            Reading(clip, height, width, False, None, 10**8, None, 1, hardware=hardware)
        )


def _clip(path: Path, height: int, width: int) -> Path:
    """Write a video of a moving picture; its sides must be even."""
    still = np.asarray(cv2.imdecode(picture(height, width), cv2.IMREAD_COLOR_RGB), np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FRAMES):
            moved = np.ascontiguousarray(np.roll(still, 4 * number, axis=1))
            container.mux(stream.encode(VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode(None))
    return path
