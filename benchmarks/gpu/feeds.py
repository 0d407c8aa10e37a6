"""How pictures reach the device: they are already there, or copied to it, or decoded first."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from os import cpu_count

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.gpu.network import Network


class Feed(ABC):
    """Puts the next ``batch`` pictures into the network's ``frames``.

    ``lead`` is how many seconds before its use the feed starts to work on a picture.
    """

    name: str
    lead: float = 0.0

    @abstractmethod
    def fill(self, batch: int) -> None:
        """Put the next pictures in place. May return before the device is done; the steps wait."""

    def close(self) -> None:  # noqa: B027  most have nothing to free
        """Free threads and files."""


class Resident(Feed):
    """Decoding excluded: the pictures are already on the device."""

    name = "excluded"

    def __init__(self, _network: Network) -> None: ...

    def fill(self, batch: int) -> None: ...


class Upload(Feed):
    """Copies raw pictures from the host's pinned memory."""

    name = "raw, copied up"

    def __init__(self, network: Network) -> None:
        self._frames = network.frames
        pinned = network.device.type == "cuda"
        self._host = torch.randint(0, 256, self._frames.shape, dtype=torch.uint8)
        self._host = self._host.pin_memory() if pinned else self._host

    def fill(self, batch: int) -> None:
        self._frames[:batch].copy_(self._host[:batch], non_blocking=True)


class Decoding(Feed):
    """Decodes the pictures of the next batch in threads while the device works on this one."""

    def __init__(self, network: Network, threads: int) -> None:
        self._frames = network.frames
        self._cuda = network.device.type == "cuda"
        self._threads = ThreadPoolExecutor(threads)
        self._side = 0
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._given: list[list[Tensor]] = [[], []]
        """Pictures that are being copied, kept alive until the copy is done."""
        self.lead = self._seconds_of_one()
        self._jobs = self._submit(0, len(self._frames))

    @abstractmethod
    def decode(self, side: int, slot: int) -> Tensor:
        """Return the next picture of a slot, (H, W, 3), on any device. There are two sides of
        slots; a side is reused only after its last pictures have been copied."""

    def fill(self, batch: int) -> None:
        self._jobs += self._submit(len(self._jobs), batch)
        pictures = [job.result() for job in self._jobs]
        for slot in range(batch):
            self._frames[slot].copy_(pictures[slot], non_blocking=True)
        self._given[self._side] = pictures
        self._copied[self._side] = self._mark()
        self._side = 1 - self._side
        self._release(self._side)
        self._jobs = self._submit(0, batch)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _submit(self, first: int, end: int) -> list[Future[Tensor]]:
        slots = range(first, end)
        return [self._threads.submit(self.decode, self._side, slot) for slot in slots]

    def _mark(self) -> torch.cuda.Event | None:
        if not self._cuda:
            return None
        mark = torch.cuda.Event()  # type: ignore[no-untyped-call]
        mark.record()
        return mark

    def _release(self, side: int) -> None:
        if (copied := self._copied[side]) is not None:
            copied.synchronize()
        self._given[side] = []

    def _seconds_of_one(self) -> float:
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            self.decode(0, 0)
            taken.append(time.perf_counter() - began)
        return min(taken)


class Jpegs(Decoding):
    """Decodes JPEGs, as sockets deliver them, with OpenCV on all cores and copies the pictures."""

    name = "JPEG on the CPU"

    def __init__(self, network: Network) -> None:
        height, width = network.frames.shape[1:3]
        self._jpeg = picture(height, width)
        pinned = network.device.type == "cuda"
        shape = (2, *network.frames.shape)
        self._host = torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned)
        super().__init__(network, cpu_count() or 1)

    def decode(self, side: int, slot: int) -> Tensor:
        target = self._host[side, slot]
        target.numpy()[...] = cv2.imdecode(self._jpeg, cv2.IMREAD_COLOR_RGB)
        return target


FEEDS: dict[str, str] = {
    "excluded": "benchmarks.gpu.feeds:Resident",
    "upload": "benchmarks.gpu.feeds:Upload",
    "jpeg": "benchmarks.gpu.feeds:Jpegs",
    "nvdec": "benchmarks.gpu.video_feed:Videos",
}
"""Imported only when used: the last one needs PyAV and ONNX Runtime."""


def make_feed(name: str, network: Network) -> Feed:
    """Return the feed of that name. Raises ImportError or MastreamError if it is not available."""
    module, _, attribute = FEEDS[name].partition(":")
    feed = getattr(import_module(module), attribute)(network)
    assert isinstance(feed, Feed)
    return feed


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Return a JPEG with about as much detail as a street scene."""
    small = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3))
    soft = cv2.resize(small.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", soft, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
