"""The contract of an engine: frames and memories in, masks and memories out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from server.frame import AnyPixels, Labels

Memory = Any
"""The memory of one stream. Opaque to all but the engine that made it."""

SavedMemory = Mapping[str, NDArray[Any]]
"""A memory on the host: count () int64 and, for each stage, its key and value (T, tokens, C)."""


class Engine(ABC):
    """Runs one model. Synchronous; one thread uses it at a time.

    A memory is never changed in place: :meth:`step` returns new ones, so a failed step leaves every
    stream as it was. The contents of one stream's memory, even NaN, never reach another stream.
    """

    spec: ModelSpec
    max_batch: int
    provider: str
    """What actually runs it, as /v1/models reports it: "CPUExecutionProvider", "fake", ..."""
    device: str = "cpu"
    """Where it runs: "cpu", or CUDA's number of the GPU and its name."""
    passed_over: tuple[str, ...] = ()
    """Providers tried before this one, each with the reason why it failed: "cuda: ..."."""
    step_seconds: Mapping[int, float] = MappingProxyType({})
    """How long a step takes by batch size, measured when the engine was warmed up."""

    @abstractmethod
    def blank(self) -> Memory:
        """Return the memory of a stream that has had no frame yet."""

    @abstractmethod
    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[Memory]
    ) -> tuple[list[Labels], list[Memory]]:
        """Segment one frame of each of 1 to ``max_batch`` streams.

        ``frames[i]`` is (height, width, 3) uint8 of the spec's size and belongs to
        ``memories[i]``; it may be on a device (DevicePixels). Return labels (height, width) uint8
        and the memories to keep. Raises EngineFault if this step failed, and EngineDead if all
        later ones would fail, too.
        """

    @abstractmethod
    def filled(self, memory: Memory) -> int:
        """Return how many frames a memory holds, 0 to T."""

    @abstractmethod
    def save(self, memory: Memory) -> SavedMemory:
        """Return a copy on the host that :meth:`restore` accepts, in this process or another."""

    @abstractmethod
    def restore(self, saved: SavedMemory) -> Memory:
        """Return the memory that was saved. Raises BadRequest if it has another model's shape."""

    @abstractmethod
    def close(self) -> None:
        """Free the device. Idempotent."""


def check_batch(spec: ModelSpec, frames: Sequence[AnyPixels], memories: Sequence[Memory]) -> None:
    """Assert the preconditions of :meth:`Engine.step`."""
    assert len(frames) == len(memories) > 0, "a step takes one memory for each frame"
    for frame in frames:
        assert frame.shape == (spec.height, spec.width, 3), f"frame of shape {frame.shape}"
        assert frame.dtype == np.uint8, f"frame of type {frame.dtype}"
