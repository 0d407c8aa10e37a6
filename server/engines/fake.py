"""An engine without a network: instant, deterministic, with a real memory.

Its labels depend on the frame and, in order, on the last T frames of the same stream. So masks
reveal memories that are mixed up between streams, a lost reset or a wrong order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.spec import ClassLabel, ModelSpec, StageMemory
from server.engines import host_memory
from server.engines.base import Engine, SavedMemory, check_batch
from server.engines.host_memory import HostMemory
from server.engines.warming import buckets
from server.errors import EngineDead
from server.frame import AnyPixels, Labels, Pixels, host_pixels
from server.settings import EngineSettings

BLOCK = 16
"""Side in pixels of the squares that share a label; one pixel of each is remembered."""

CLASSES = (
    ClassLabel("sky", (128, 128, 128)),
    ClassLabel("building", (128, 0, 0)),
    ClassLabel("pole", (192, 192, 128)),
    ClassLabel("road", (128, 64, 128)),
    ClassLabel("pavement", (60, 40, 222)),
    ClassLabel("tree", (128, 128, 0)),
    ClassLabel("sign", (192, 128, 128)),
    ClassLabel("fence", (64, 64, 128)),
    ClassLabel("car", (64, 0, 128)),
    ClassLabel("pedestrian", (64, 64, 0)),
    ClassLabel("bicyclist", (0, 128, 192)),
)


def fake_spec(height: int = 352, width: int = 480, frames: int = 2) -> ModelSpec:
    """Return the spec of a fake model of this size that remembers T = ``frames`` frames."""
    tokens = -(-height // BLOCK) * -(-width // BLOCK)
    return ModelSpec(
        name="fake",
        head="none",
        backbone="none",
        classes=CLASSES,
        height=height,
        width=width,
        output_stride=BLOCK,
        memory=(StageMemory(1, tokens, key_width=1, value_width=2),),
        memory_frames=frames,
        memory_horizon=frames,
        preset="default",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        fingerprint="fake",
    )


class FakeEngine(Engine):
    """Labels squares of the picture with a hash of the picture and of the memory.

    Every step sleeps ``step_seconds``, without the GIL. ``on_step`` is called before each step with
    its frames: if it raises an error (EngineFault, EngineDead or any other), so does the step, and
    while it blocks, the step hangs.
    """

    provider = "fake"

    def __init__(
        self,
        spec: ModelSpec | None = None,
        *,
        max_batch: int = 4,
        step_seconds: float = 0.0,
        on_step: Callable[[Sequence[AnyPixels]], None] | None = None,
    ) -> None:
        self.spec = spec or fake_spec()
        self.max_batch = max_batch
        self._step_seconds = step_seconds
        if step_seconds:
            self.step_seconds = dict.fromkeys(buckets(max_batch), step_seconds)
        self._on_step = on_step
        self._blank = host_memory.blank(self.spec, np.float32)
        self._closed = False

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Self:
        spec = fake_spec(settings.fake_height, settings.fake_width)
        return cls(spec, max_batch=settings.max_batch, step_seconds=settings.fake_step_ms / 1000)

    def blank(self) -> HostMemory:
        return self._blank

    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[HostMemory]
    ) -> tuple[list[Labels], list[HostMemory]]:
        check_batch(self.spec, frames, memories)
        if self._closed:
            raise EngineDead("The fake engine is closed.")
        if self._on_step:
            self._on_step(frames)
        if self._step_seconds:
            time.sleep(self._step_seconds)
        results = [self._segment(host_pixels(f), m) for f, m in zip(frames, memories, strict=True)]
        return [labels for labels, _ in results], [memory for _, memory in results]

    def filled(self, memory: HostMemory) -> int:
        return memory.count

    def save(self, memory: HostMemory) -> SavedMemory:
        return host_memory.save(self.spec, memory)

    def restore(self, saved: SavedMemory) -> HostMemory:
        return host_memory.restore(self.spec, np.float32, saved)

    def close(self) -> None:
        self._closed = True

    def _segment(self, frame: Pixels, memory: HostMemory) -> tuple[Labels, HostMemory]:
        tokens = frame[::BLOCK, ::BLOCK].reshape(-1, 3).astype(np.float32)
        codes = (_hash(tokens) + self._recall(memory)) % len(self.spec.classes)
        return self._paint(codes.astype(np.uint8)), self._remember(tokens, memory)

    def _recall(self, memory: HostMemory) -> NDArray[np.int64]:
        """Return one number per token from the frames held, newest first, weighted by their age."""
        keys, values = memory.tensors
        held = np.concatenate([keys, values], axis=2)[: memory.count]
        recalled = np.full(held.shape[1], 5 * memory.count, np.int64)
        for age, tokens in enumerate(held, start=1):
            recalled += 7 * age * _hash(tokens)
        return recalled

    def _remember(self, tokens: NDArray[Any], memory: HostMemory) -> HostMemory:
        fresh = (tokens[None, :, :1], tokens[None, :, 1:])
        count = min(memory.count + 1, self.spec.memory_frames)
        shifted = (
            np.concatenate([new, held[:-1]])
            for new, held in zip(fresh, memory.tensors, strict=True)
        )
        return HostMemory(count, tuple(shifted))

    def _paint(self, codes: NDArray[np.uint8]) -> Labels:
        rows, columns = -(-self.spec.height // BLOCK), -(-self.spec.width // BLOCK)
        blocks = codes.reshape(rows, columns).repeat(BLOCK, axis=1).repeat(BLOCK, axis=0)
        return np.ascontiguousarray(blocks[: self.spec.height, : self.spec.width])


def _hash(tokens: NDArray[Any]) -> NDArray[np.int64]:
    """Return one integer per token from its three channels; NaN counts as 255."""
    red, green, blue = np.nan_to_num(tokens, nan=255.0).astype(np.int64).T
    hashed: NDArray[np.int64] = red + 3 * green + 5 * blue
    return hashed
