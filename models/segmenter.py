"""The whole network: uint8 frames and memory in, masks and memory out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.backbone import STAGE_CHANNELS, ResNet50
from models.heads.base import Head
from models.layers import resize
from models.memory import PCMA, StageFifo, push
from models.options import MemoryOptions
from models.spec import StageMemory


@dataclass(frozen=True)
class Memory:
    """The memory of B streams.

    ``count`` (B,) int64 is the number of entries that are filled; ``fifos`` has one FIFO for each
    stage with PCMA.
    """

    count: Tensor
    fifos: tuple[StageFifo, ...]

    def detach(self) -> Memory:
        """Return the memory without its gradients' history."""
        return Memory(self.count, tuple(StageFifo(k.detach(), v.detach()) for k, v in self.fifos))

    def forget(self, reset: Tensor) -> Memory:
        """Return the memory with each stream emptied whose ``reset`` (B,) bool is true."""
        return Memory(torch.where(reset, torch.zeros_like(self.count), self.count), self.fifos)


class Features(NamedTuple):
    """The result of the encoder.

    ``maps`` are C1..C4 as the head receives them, each (B, c, h, w); ``memory`` is the next memory;
    ``judge`` is the judge's statistic (eq. 4), (B,), by stage.
    """

    maps: tuple[Tensor, ...]
    memory: Memory
    judge: dict[int, Tensor]


class MaResNet50(nn.Module):
    """ResNet-50 with a memory after some stages; without memory if ``options`` is None."""

    def __init__(self, trunk: ResNet50, stages: Sequence[int], options: MemoryOptions | None):
        super().__init__()
        self.trunk = trunk
        self.options = options
        self.memory_stages = tuple(stages) if options else ()
        if options:
            self.pcma = nn.ModuleDict(
                {str(n): PCMA(STAGE_CHANNELS[n - 1], options) for n in self.memory_stages}
            )

    def forward(self, image: Tensor, memory: Memory) -> Features:
        """Encode a normalised image (B, 3, H, W).

        The trunk continues from the un-enhanced map.
        """
        maps, fifos, judge = [], [], {}
        for stage, feature in enumerate(self.trunk.stages(image), start=1):
            seen = feature
            if stage in self.memory_stages:
                fifo = memory.fifos[self.memory_stages.index(stage)]
                seen, key, value, judge[stage] = self.pcma[str(stage)](feature, fifo, memory.count)
                fifos.append(push(fifo, key, value))
            maps.append(seen)
        frames = self.options.frames if self.options else 0
        count = torch.clamp(memory.count + 1, max=frames)
        return Features(tuple(maps), Memory(count, tuple(fifos)), judge)

    def memory_shapes(self, height: int, width: int) -> tuple[StageMemory, ...]:
        """Return the shapes of each stage's memory for pictures of this size."""
        shapes = []
        for stage in self.memory_stages:
            module: PCMA = self.pcma[str(stage)]  # type: ignore[assignment]  # ModuleDict forgets
            h, w = stage_size(height, stage, self.trunk), stage_size(width, stage, self.trunk)
            shapes.append(StageMemory(stage, module.tokens(h, w), module.key_width, module.width))
        return tuple(shapes)

    def blank(self, batch: int, height: int, width: int, like: Tensor) -> Memory:
        """Return an empty memory of ``batch`` streams on ``like``'s device and in its type.

        ``height`` and ``width`` are those of the pictures.
        """
        frames = self.options.frames if self.options else 0
        fifos = tuple(
            StageFifo(
                like.new_zeros(batch, frames, m.tokens, m.key_width),
                like.new_zeros(batch, frames, m.tokens, m.value_width),
            )
            for m in self.memory_shapes(height, width)
        )
        return Memory(torch.zeros(batch, dtype=torch.int64, device=like.device), fifos)


class Segmenter(nn.Module):
    """Encoder and head with pre- and post-processing: the network that is exported and served.

    ``mean`` and ``std`` are those of RGB values in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: MaResNet50,
        head: Head,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)

    def to_half(self) -> None:
        """Convert the weights to float16 in place; pictures are still normalised in float32.

        Raises ValueError, naming the weight, if float16 cannot hold one.
        """
        for name, weights in self.named_parameters():
            if weights.abs().max() > torch.finfo(torch.float16).max:
                raise ValueError(f"{name} is beyond float16; use fp32.")
        mean, std = self.mean, self.std
        self.half()
        self.mean, self.std = mean, std

    def normalise(self, frame: Tensor) -> Tensor:
        """Return uint8 RGB (B, H, W, 3) as a normalised image (B, 3, H, W) in the weights' type."""
        image = frame.permute(0, 3, 1, 2).float()
        weights: Tensor = next(self.head.parameters())
        return ((image - self.mean) / self.std).to(weights.dtype)

    def logits(self, image: Tensor, memory: Memory) -> tuple[Tensor, Features]:
        """Return logits (B, classes, H, W) of a normalised image (B, 3, H, W), and its features."""
        features = self.encoder(image, memory)
        size = (image.shape[2], image.shape[3])
        return resize(self.head(features.maps), size), features

    def step(self, frame: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Return the uint8 mask (B, H, W) of a uint8 frame (B, H, W, 3), and the next memory."""
        logits, features = self.logits(self.normalise(frame), memory)
        return logits.argmax(dim=1).to(torch.uint8), features.memory

    def forward(self, frame: Tensor, count: Tensor, *fifos: Tensor) -> tuple[Tensor, ...]:
        """Compute the served graph.

        ``fifos`` are all keys (B, T, N, d), then all values (B, T, N, s), each by stage. Returns
        mask, count, keys and values in the same order.
        """
        stages = len(fifos) // 2
        memory = Memory(count, tuple(map(StageFifo, fifos[:stages], fifos[stages:])))
        mask, kept = self.step(frame, memory)
        return mask, kept.count, *(f.key for f in kept.fifos), *(f.value for f in kept.fifos)


def stage_size(pixels: int, stage: int, trunk: ResNet50) -> int:
    """Return the height or width of a stage's map for a picture of ``pixels`` height or width."""
    stride = min(2 ** (stage + 1), trunk.output_stride)
    for _ in range(stride.bit_length() - 1):
        pixels = -(-pixels // 2)
    return pixels
